"""How far the load moved when a change came."""

from __future__ import annotations

import numpy as np
import pytest

from vezha.incidents.limits import SHIFT_BEFORE_MS, SHIFT_STEP_MS
from vezha.incidents.shift import FIGURES, deviations, measure
from vezha.model.labels import Labels, metric
from vezha.query.parser import parse

CAME = {"db-1": 10_000_000, "db-2": 10_030_000}


def _values(jump: float, hosts: int = 2, seed: int = 1) -> np.ndarray:
    steps = np.arange(90) * SHIFT_STEP_MS + (10_000_000 - SHIFT_BEFORE_MS)
    noise = np.random.default_rng(seed).normal(0.0, 0.02, (hosts, len(steps)))
    return 0.3 + noise + jump * (steps >= 10_030_000)


def _start() -> int:
    return 10_000_000 - SHIFT_BEFORE_MS


def test_a_jump_is_seen_and_noise_is_not() -> None:
    names = ["db-1", "db-2"]
    jumped = deviations(names, _values(0.3), CAME, _start(), 0.01)
    quiet = deviations(names, _values(0.0), CAME, _start(), 0.01)
    assert jumped is not None
    assert jumped > 6.0
    assert quiet is not None
    assert quiet < 1.0


def test_one_odd_host_of_three_is_no_jump_of_all() -> None:
    values = np.vstack([_values(0.5, 1), _values(0.0, 2)])
    came = dict.fromkeys(("a", "b", "c"), 10000000)
    moved = deviations(["a", "b", "c"], values, came, _start(), 0.01)
    assert moved is not None
    assert moved < 2.0


@pytest.mark.parametrize("gap", ["before", "after"])
def test_without_data_on_one_side_it_is_not_known(gap: str) -> None:
    values = _values(0.3)
    half = SHIFT_BEFORE_MS // SHIFT_STEP_MS
    values[:, slice(0, half) if gap == "before" else slice(half + 1, None)] = np.nan
    assert deviations(["db-1", "db-2"], values, CAME, _start(), 0.01) is None


def test_the_figure_that_moved_most_speaks() -> None:
    asked: list[str] = []

    def ask(expr: str, start: int, end: int, step: int) -> tuple[list[Labels], np.ndarray]:
        parse(expr)
        asked.append(expr)
        count = (end - start) // step + 1
        jump = 0.4 if "MemAvailable" in expr else 0.0
        return [metric("x", instance=h) for h in CAME], _values(jump)[:, :count]

    shift = measure(ask, CAME, 10_600_000)
    assert shift is not None
    assert shift.figure == "memory"
    assert len(asked) == len(FIGURES)
    assert all('instance=~"db\\\\-2|db\\\\-1"' in expr for expr in asked), asked[0]


def test_a_change_that_came_over_days_has_no_one_moment() -> None:
    def ask(*_: object) -> tuple[list[Labels], np.ndarray]:
        raise AssertionError("nothing is asked")

    assert measure(ask, {"a": 0, "b": 86_400_000}, 90_000_000) is None
