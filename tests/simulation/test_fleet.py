"""Whole fleets from seeds: crashes, cuts, power losses, full disks, set clocks; nothing is lost.

`VEZHA_TEST_SEED=7` (or `make sim SEED=7`) runs that seed alone and prints all that happened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

from vezha.testing.fleet.simulation import simulate
from vezha.testing.fleet.storage import StoreStorage

CHOSEN = os.environ.get("VEZHA_TEST_SEED", "")
SEEDS = [int(CHOSEN)] if CHOSEN else range(1, 31)
STORE_SEEDS = [int(CHOSEN)] if CHOSEN else range(101, 107)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_nothing_doubled(seed: int) -> None:
    verdict = simulate(seed)
    assert not verdict.violations, f"\n{verdict}"
    if CHOSEN:
        print(verdict, *verdict.faults, sep="\n")


@pytest.mark.parametrize("seed", STORE_SEEDS)
def test_the_real_store_holds_every_sample(seed: int) -> None:
    verdict = simulate(seed, StoreStorage)
    assert not verdict.violations, f"\n{verdict}"


def test_the_same_seed_gives_the_same_run() -> None:
    first, again = simulate(3), simulate(3)
    assert first == again
    assert len(first.faults) > 5
    assert first.sampled > 100


def test_the_runs_check_what_they_claim() -> None:
    verdicts = [simulate(seed) for seed in range(1, 6)]
    assert sum(v.live_checked for v in verdicts) > 200
    assert sum(v.excused for v in verdicts) > 0
    assert all(v.stored > 0.9 * v.sampled - v.dropped - v.excused for v in verdicts)
