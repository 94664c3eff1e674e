"""Named limits of the canary comparison."""

from __future__ import annotations

PERMUTATIONS_MAX = 4_000
"""Assignments looked at; where fewer are possible, all. Also the most evidence of one look."""
PERMUTATION_SEED = 20_210_827
"""Fixed, so that a verdict can be computed again from its samples."""
STRENGTHS = (2.5, 4.5)
"""Bets on the canaries' standardised difference: small and sure, or large."""
T_MAX = 60.0
"""Standardised differences beyond it count as this."""
FIRST_EPOCH_SAMPLES = 5
"""Samples after the change before the first look."""
EPOCH_GROWTH = 1.5
EPOCHS_MAX = 40
SAMPLES_PART_MIN = 0.5
"""A host with a smaller part of its samples is left out."""
LEVEL_FLOOR_PART = 0.1
"""Part of the common level that is added to each host's own before dividing by it."""
BOUND_DOUBLINGS = 24
BOUND_HALVINGS = 18
LOG_E_MAX = 600.0


EPOCHS_EVEN = 8
"""The first epochs (an hour of minutes, or so) have the same weight; later ones share a fifth."""
EPOCHS_EVEN_PART = 0.8


def weight(epoch: int) -> float:
    """An epoch's part of the evidence, from 0 on; together 1."""
    if epoch < EPOCHS_EVEN:
        return EPOCHS_EVEN_PART / EPOCHS_EVEN
    later = epoch - EPOCHS_EVEN
    return (1.0 - EPOCHS_EVEN_PART) / ((later + 1) * (later + 2))
