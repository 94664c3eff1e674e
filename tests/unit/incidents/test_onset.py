"""When trouble began: found where it is, and nowhere where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.incidents.test_desk import Clock, tell

from vezha.alerting.book import RuleBook
from vezha.alerting.errors import EvaluationError
from vezha.incidents.loop import Desk
from vezha.incidents.onset import Onset, Onsets, find_onset, measured, pick
from vezha.incidents.undo import undo_in
from vezha.incidents.views import get_incident, get_timeline
from vezha.ledger import Ledger
from vezha.model.labels import Labels, metric
from vezha.query.parser import parse
from vezha.world import World


@given(
    st.integers(12, 300), st.integers(3, 100), st.floats(-1e6, 1e6), st.floats(0.01, 1e3),
    st.integers(0, 2**32), st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_a_step_is_found_where_it_is(
    before: int, after: int, level: float, noise: float, seed: int, up: bool
) -> None:
    chance = np.random.default_rng(seed)
    values = level + chance.uniform(-noise, noise, before + after)
    values[before:] += (20 if up else -20) * noise + (0.1 * abs(level) if up else -0.1 * abs(level))
    found = find_onset(values)
    assert found is not None
    assert abs(found.index - before) <= 1


@given(st.integers(20, 200), st.integers(30, 200), st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_a_ramp_is_found_near_its_foot(before: int, after: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    values = 50 + chance.normal(0, 0.5, before + after)
    values[before:] += np.arange(1, after + 1) * (60.0 / after)
    found = find_onset(values)
    assert found is not None
    assert found.shape == "ramp"
    assert abs(found.index - before) <= max(6, after // 8)


@given(st.integers(0, 600), st.floats(-1e9, 1e9), st.floats(0, 1e6), st.integers(0, 2**32))
@settings(deadline=None, max_examples=80)
def test_noise_is_no_onset(n: int, level: float, noise: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    assert find_onset(level + chance.normal(0, noise, n)) is None


def test_flat_and_short_say_nothing() -> None:
    assert find_onset(np.zeros(100)) is None
    assert find_onset(np.full(100, 7.5)) is None
    assert find_onset(np.arange(10.0)) is None
    assert find_onset(np.r_[np.zeros(50), np.ones(20)]) == Onset(50, "step")


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        ("up == 0", 'up{instance="h"}'),
        ('node_load1{job="node"} > 4', 'node_load1{instance="h",job="node"}'),
        ("4 < (a{} + b)", '(a{instance="h",} + b{instance="h"})'),
        ('rate(x{a="{"}[5m]) > 1 and y == 1', 'rate(x{instance="h",a="{"}[5m])'),
        ("x offset 5m >= -3", 'x{instance="h"} offset 5m'),
        ('{"a.b", c="d"} > 1', '{instance="h","a.b", c="d"}'),
        ("a > b", ""),
        ("absent(up)", ""),
    ],
)
def test_what_a_rule_measures(expr: str, wanted: str) -> None:
    text = measured(expr, "h")
    assert text.removeprefix("(").removesuffix(")") == wanted.removeprefix("(").removesuffix(")")
    if text:
        parse(text)


def test_every_rule_of_ours_that_measures_something_can_be_asked() -> None:
    seen = 0
    for group in RuleBook().loaded().groups:
        for rule in group.rules:
            text = measured(rule.expr, 'a"b') if hasattr(rule, "for_ms") else ""
            if text:
                parse(text)
                seen += 1
    assert seen >= 15


def test_the_alerts_own_series_is_taken() -> None:
    alert = {"instance": "a", "mountpoint": "/", "alertname": "X"}
    rows = [
        metric("f", instance="a", mountpoint="/data"),
        metric("f", instance="a"),
        metric("f", instance="a", mountpoint="/"),
    ]
    assert pick(rows, alert) == 2
    assert pick(rows[:1], alert) is None


RULES = """
groups:
  - name: g
    rules:
      - alert: Hot
        expr: heat > 90
        for: 1m
"""


def test_an_incident_is_dated_back_once_and_that_can_be_undone(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "r.yml").write_text(RULES)
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    clock = Clock()
    world = World(clock=clock)
    desk = Desk(ledger, world)
    fired_ms = int(clock.seconds * 1000)
    rose_ms = fired_ms - 300_000
    asked: list[str] = []

    def ask(
        expr: str, start_ms: int, end_ms: int, step_ms: int
    ) -> tuple[list[Labels], npt.NDArray[np.float64]]:
        asked.append(expr)
        times = np.arange(start_ms, end_ms + 1, step_ms)
        values = np.where(times >= rose_ms, 95.0, 40.0) + np.sin(times / 7_000.0)
        return [metric("heat", instance="db-1")], values[None, :]

    with ledger.begin() as connection:
        tell(connection, "fired", "db-1", fired_ms, "Hot")
    desk.step()
    onsets = Onsets(ledger, world, RuleBook((str(tmp_path / "rules"),), builtin=False), ask)
    assert onsets.step() == 1
    assert onsets.step() == 0
    assert asked[0] == 'heat{instance="db-1"}'
    with ledger.read() as connection:
        assert abs(get_incident(connection, 1).began_ms - rose_ms) <= 1_000
        line = get_timeline(connection, 1)[-1]
    assert line.kind == "began"
    assert "step in its data" in line.text
    with ledger.begin() as connection:
        undo_in(connection, 1, line.id, "alice", fired_ms)
    with ledger.read() as connection:
        assert get_incident(connection, 1).began_ms == fired_ms
    ledger.close()


def test_a_store_that_does_not_answer_leaves_it_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "r.yml").write_text(RULES)
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    clock = Clock()
    world = World(clock=clock)

    def ask(*_: object) -> tuple[list[Labels], npt.NDArray[np.float64]]:
        raise EvaluationError("the store is away")

    with ledger.begin() as connection:
        tell(connection, "fired", "db-1", int(clock.seconds * 1000), "Hot")
    Desk(ledger, world).step()
    book = RuleBook((str(tmp_path / "rules"),), builtin=False)
    assert Onsets(ledger, world, book, ask).step() == 0
    ledger.close()
