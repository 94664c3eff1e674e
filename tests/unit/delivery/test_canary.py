"""The canary comparison: false stops, power, and what cannot be told."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from benchmarks.canary import EVERY_MINUTE, Case, kayenta, ours, share

from vezha.delivery.canary import compare, count_failures

Floats = npt.NDArray[np.float64]


def fleet(canaries: int, controls: int, seed: int = 1, noise: float = 0.05) -> tuple[Floats, ...]:
    chance = np.random.default_rng(seed)
    n = canaries + controls
    before = 100 * (1 + noise * chance.normal(size=(n, 60)))
    after = 100 * (1 + noise * chance.normal(size=(n, 30)))
    return before[:canaries], after[:canaries], before[canaries:], after[canaries:]


def test_autocorrelated_samples_stop_nothing_though_one_looks_often() -> None:
    case = Case("A/A", phi=0.8, controls=20)
    assert share(case, ours(0.0), 80, EVERY_MINUTE, 3) <= 0.05


def test_a_regression_of_a_fifth_is_found() -> None:
    assert share(Case("", effect=0.2), ours(0.1), 40, EVERY_MINUTE, 4) >= 0.9


def test_what_befalls_all_hosts_is_nobodys_fault() -> None:
    cb, ca, kb, ka = fleet(8, 20)
    told = compare(cb, ca * 3, kb, ka * 3)
    assert told.verdict == "pass"
    assert told.low <= told.effect <= told.high
    assert kayenta(ca[0] * 3, kb[0])  # which a comparison with before alone would not know


def test_direction_says_what_is_bad() -> None:
    cb, ca, kb, ka = fleet(8, 20)
    assert compare(cb, ca * 0.5, kb, ka, direction="up").verdict == "pass"
    assert compare(cb, ca * 0.5, kb, ka, direction="down").verdict == "fail"
    assert compare(cb, ca * 0.5, kb, ka, direction="both").verdict == "fail"
    assert compare(cb, ca * 1.5, kb, ka, direction="both").verdict == "fail"
    assert compare(cb, ca, kb, ka, direction="both").verdict == "pass"


def test_plain_regressions_that_ranks_miss() -> None:
    cb, ca, kb, ka = fleet(3, 20)
    ca = ca.copy()
    ca[:, 9:] *= 100
    assert compare(cb, ca, kb, ka).verdict == "fail"
    zeros = np.zeros((20, 30))
    errors = np.zeros((5, 30))
    errors[:, ::10] = 5.0
    assert compare(np.zeros((5, 30)), errors, zeros, zeros).verdict == "fail"


def test_few_hosts_are_no_evidence_and_it_says_why() -> None:
    cb, ca, kb, ka = fleet(1, 5)
    told = compare(cb, ca * 100, kb, ka)
    assert told.verdict == "no_evidence"
    assert "too few" in told.reason
    assert told.high == math.inf


def test_hosts_without_data_are_left_out() -> None:
    cb, ca, kb, ka = (part.copy() for part in fleet(6, 20))
    ca[0, :] = np.nan
    kb[3, :40] = np.nan
    ka[5, ::3] = np.nan  # a third is missing: still enough
    told = compare(cb, ca, kb, ka)
    assert (told.n_canary, told.n_control) == (5, 19)
    assert told.verdict == "pass"
    nothing = compare(cb, np.full_like(ca, np.nan), kb, ka)
    assert nothing.verdict == "no_evidence"
    assert (nothing.n_canary, nothing.n_control) == (0, 19)
    early = compare(cb, ca[:, :2], kb, ka[:, :2])
    assert early.verdict == "no_evidence"
    assert "2 samples" in early.reason
    empty = np.empty((0, 60))
    assert compare(empty, np.empty((0, 30)), kb, ka).verdict == "no_evidence"


@pytest.mark.parametrize("level", [0.0, 1.0, -3.0])
def test_constant_series(level: float) -> None:
    flat = np.full((6, 40), level)
    told = compare(flat, flat, flat, flat)
    assert told.verdict == "pass"
    assert told.effect == 0.0
    assert compare(flat, flat + 1.0, flat, flat).verdict == "fail"


def test_a_verdict_can_be_computed_again() -> None:
    drawn = fleet(10, 40)
    assert compare(*drawn) == compare(*drawn)


def test_a_stop_stays_a_stop() -> None:
    """Evidence only grows, so that a gate that looks seldom misses nothing."""
    cb, ca, kb, ka = fleet(8, 20)
    bad = ca.copy()
    bad[:, :16] *= 2
    seen = [compare(cb, bad[:, :n], kb, ka[:, :n]).e_value for n in range(5, 31)]
    assert all(a <= b for a, b in itertools.pairwise(seen))
    assert seen[-1] >= 20


def test_what_makes_no_sense_is_refused() -> None:
    cb, ca, kb, ka = fleet(3, 5)
    with pytest.raises(ValueError, match="same hosts"):
        compare(cb[:2], ca, kb, ka)
    with pytest.raises(ValueError, match="same times"):
        compare(cb, ca, kb[:, :10], ka)
    with pytest.raises(ValueError, match=r"\[hosts, samples\]"):
        compare(cb[0], ca, kb, ka)
    with pytest.raises(ValueError, match="alpha"):
        compare(cb, ca, kb, ka, alpha=0.0)
    with pytest.raises(ValueError, match="cannot have failed"):
        count_failures(4, 3)


def test_failing_hosts_are_counted() -> None:
    assert count_failures(3, 10).verdict == "fail"
    assert count_failures(2, 10).verdict == "no_evidence"
    assert count_failures(0, 10).verdict == "pass"
    assert count_failures(0, 0).verdict == "no_evidence"
    told = count_failures(9, 100)
    assert told.verdict == "fail"
    assert told.low < 0.09 < told.high


def test_failing_hosts_at_the_tolerated_rate_stop_rarely() -> None:
    chance = np.random.default_rng(11)
    known: dict[tuple[int, int], bool] = {}
    stops = 0
    for _ in range(100):
        total = np.cumsum(chance.random(60) < 0.02)
        for n in range(2, 60, 6):
            key = (int(total[n]), n + 1)
            if key not in known:
                known[key] = count_failures(*key).verdict == "fail"
            if known[key]:
                stops += 1
                break
    assert stops <= 5
