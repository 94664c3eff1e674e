"""The table of states, the columns that it moves, and telling recovery from absence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.alerting.instances import Findings, Instances
from vezha.alerting.presence import leading_selector, presence_expression
from vezha.alerting.rule import AlertRule
from vezha.alerting.state import (
    OPEN_STATES,
    TABLE,
    Event,
    Signal,
    State,
    advance,
    table_as_markdown,
)
from vezha.model.labels import Labels, metric

A, B = metric("", instance="a"), metric("", instance="b")
REFERENCE = Path(__file__).parents[3] / "docs/reference/rules.md"


def test_the_documentation_has_the_table_as_it_is() -> None:
    assert table_as_markdown() in REFERENCE.read_text()


@given(
    st.lists(
        st.tuples(st.sampled_from(State), st.sampled_from(Signal), st.booleans(), st.booleans()),
        min_size=1,
    )
)
@settings(deadline=None)
def test_many_at_once_move_as_each_alone(cases: list[tuple[State, Signal, bool, bool]]) -> None:
    states, signals, ran_out, unstable = (np.array(c) for c in zip(*cases, strict=True))
    to, events = advance(
        states.astype(np.int8), signals.astype(np.int8), ran_out.astype(bool), unstable.astype(bool)
    )
    for i, (state, signal, out, shaky) in enumerate(cases):
        row = next(
            r
            for r in TABLE
            if r.state is state
            and r.signal is signal
            and r.ran_out in (None, out)
            and r.unstable in (None, shaky)
        )
        assert (to[i], events[i]) == (row.to, row.event)


def test_vanishing_never_resolves() -> None:
    for row in TABLE:
        if row.signal is Signal.GONE and row.state in OPEN_STATES:
            assert row.event is not Event.RESOLVED
            assert row.to is State.UNKNOWN or row.event is Event.EXPIRED


def test_nobody_is_told_anything_while_held() -> None:
    for row in TABLE:
        if row.signal is Signal.HELD:
            assert row.event in (Event.NONE, Event.QUIET)


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(1, 40)), max_size=60
    ),
    st.sampled_from([0, 3_000]),
    st.sampled_from([0, 5_000]),
)
@settings(deadline=None)
def test_told_events_alternate(
    steps: list[tuple[bool, bool, bool, int]], for_ms: int, keep_ms: int
) -> None:
    """Whatever comes: an alert opens before it ends, and never opens or ends twice in a row."""
    instances = Instances(AlertRule("X", "x > 1", for_ms, keep_ms))
    now_ms = 1_000_000
    is_open = False
    for true, present, held, seconds in steps:
        now_ms += seconds * 1000
        found = Findings({A: 1.0} if true else {}, present={A} if present or true else set())
        for change in instances.update(found, now_ms, held):
            if change.event is Event.FIRED:
                assert not is_open
                is_open = True
            elif change.event in (Event.RESOLVED, Event.EXPIRED):
                assert is_open
                is_open = False
            elif change.event in (Event.LOST, Event.FOUND, Event.FLAPS):
                assert is_open
        instances.forget(now_ms)
        assert is_open == (len(instances.open_rows()) == 1)


def test_for_counts_from_the_first_true_evaluation() -> None:
    instances = Instances(AlertRule("X", "x > 1", for_ms=5_000))
    events = []
    for t in range(8):
        events += [(t, c.event) for c in instances.update(Findings({A: 1.0}), t * 1000, False)]
    assert events == [(0, Event.QUIET), (5, Event.FIRED)]


def test_alerts_are_independent() -> None:
    instances = Instances(AlertRule("X", "x > 1"))
    instances.update(Findings({A: 1.0, B: 2.0}), 0, False)
    (change,) = instances.update(Findings({B: 2.0}), 1000, False)
    assert (change.labels, change.event) == (A, Event.RESOLVED)
    assert [instances.labels[i] for i in instances.open_rows()] == [B]


def test_forget_keeps_columns_in_step() -> None:
    instances = Instances(AlertRule("X", "x > 1", for_ms=60_000))
    many = {metric("", instance=f"h{i}"): float(i) for i in range(100)}
    instances.update(Findings(many), 0, False)
    rest: dict[Labels, float] = {k: v for k, v in many.items() if v % 3 == 0}
    instances.update(Findings(rest), 1000, False)
    gone = instances.forget(2000)
    assert len(gone) == 66
    assert len(instances) == 34
    for labels, row in instances.rows.items():
        assert instances.labels[row] == labels
        assert instances.value[row] == many[labels]


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        ("x > 5", "x > bool  5"),
        ("x > bool 5", None),
        ("up == 0 unless on (instance) y == 1", "up == bool  0"),
        ("a / b < 0.1 and c == 0", "a / b < bool  0.1 and c == bool  0"),
        ("count by (job) (up == 0) > 3", "count by (job) (up == bool  0) > bool  3"),
        ("absent(up)", None),
        ("md_failed", None),
        ("(a unless b) > 1", "(a) > bool  1"),
    ],
)
def test_presence_expressions(expr: str, wanted: str | None) -> None:
    assert presence_expression(expr) == wanted


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        ('rate(x{a="b"}[5m]) > 1', 'x{a="b"}'),
        ("x offset 1d > 1", None),
        ("vector(1)", None),
        ("1 - avg(y) > 0", "y"),
    ],
)
def test_leading_selectors(expr: str, wanted: str | None) -> None:
    assert leading_selector(expr) == wanted
