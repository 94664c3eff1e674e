"""What the supervisor decides, without any process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.server.children import Action, Child, Phase, Plan, decide, has_settled
from vezha.server.limits import (
    CONTOUR_READY_TIMEOUT_S,
    CONTOUR_STOP_TIMEOUT_S,
    FIRST_START_TRIES,
    RESTART_CALM_S,
    RESTART_DELAY_FIRST_S,
    RESTART_DELAY_MAX_S,
)

PLAN = Plan("data", ("true",))


def test_a_new_child_is_started_at_once() -> None:
    assert decide(Child(PLAN), 0.0) is Action.START


def test_a_running_child_is_left_alone() -> None:
    child = Child(PLAN).started(0.0).became_ready(1.0)
    assert child.phase is Phase.READY
    assert decide(child, 1e9) is Action.NOTHING


def test_a_child_that_is_never_ready_is_killed() -> None:
    child = Child(PLAN).started(0.0)
    assert decide(child, CONTOUR_READY_TIMEOUT_S - 0.1) is Action.NOTHING
    assert decide(child, CONTOUR_READY_TIMEOUT_S) is Action.KILL


def test_a_child_that_announces_nothing_is_ready_by_running() -> None:
    assert Child(Plan("agent", ("true",), announces=False)).started(0.0).phase is Phase.READY


def test_a_crash_is_followed_by_a_start_after_a_delay() -> None:
    child = Child(PLAN).started(0.0).became_ready(1.0).exited(10.0)
    assert child.phase is Phase.WAITING
    assert decide(child, 10.0 + RESTART_DELAY_FIRST_S / 2) is Action.NOTHING
    assert decide(child, 10.0 + RESTART_DELAY_FIRST_S) is Action.START


def test_delays_double_up_to_a_limit() -> None:
    child, now, delays = Child(PLAN), 0.0, []
    for _ in range(10):
        child = child.started(now).exited(now)
        delays.append(child.delay_s)
        now = child.due_s
    assert delays[:3] == [
        RESTART_DELAY_FIRST_S,
        RESTART_DELAY_FIRST_S * 2,
        RESTART_DELAY_FIRST_S * 4,
    ]
    assert delays[-1] == RESTART_DELAY_MAX_S
    assert child.restarts == 10


def test_a_calm_minute_is_forgiven() -> None:
    child = Child(PLAN).started(0.0).exited(0.0).started(1.0).exited(1.0)
    assert child.delay_s > RESTART_DELAY_FIRST_S
    calm = child.started(5.0).became_ready(6.0).exited(6.0 + RESTART_CALM_S)
    assert calm.delay_s == RESTART_DELAY_FIRST_S


def test_a_child_that_does_not_stop_is_killed() -> None:
    child = Child(PLAN).started(0.0).became_ready(1.0).asked_to_stop(5.0)
    assert decide(child, 5.0 + CONTOUR_STOP_TIMEOUT_S / 2) is Action.NOTHING
    assert decide(child, 5.0 + CONTOUR_STOP_TIMEOUT_S) is Action.KILL
    assert child.exited(20.0).phase is Phase.GONE


def test_a_waiting_child_that_is_asked_to_stop_is_gone() -> None:
    child = Child(PLAN).started(0.0).exited(1.0).asked_to_stop(1.1)
    assert child.phase is Phase.GONE
    assert decide(child, 1e9) is Action.NOTHING


_EVENTS = ("started", "became_ready", "exited", "asked_to_stop")


@given(st.lists(st.sampled_from(_EVENTS), max_size=30))
def test_who_was_asked_to_stop_is_never_started_again(events: list[str]) -> None:
    child, asked = Child(PLAN), False
    for now, event in enumerate(events):
        if event == "started" and decide(child, float(now) + 1e6) is not Action.START:
            continue
        child = getattr(child, event)(float(now))
        asked = asked or event == "asked_to_stop"
        if asked:
            assert decide(child, 1e9) is not Action.START


@pytest.mark.parametrize("phase", [Phase.STOPPING, Phase.GONE])
def test_a_late_word_changes_nothing(phase: Phase) -> None:
    child = Child(PLAN, phase=phase)
    assert child.became_ready(3.0) == child


def test_the_first_start_is_over_when_all_serve_or_have_failed_often() -> None:
    ready = Child(PLAN).started(0.0).became_ready(1.0)
    assert has_settled([ready, ready])
    assert not has_settled([ready, Child(PLAN).started(0.0)])
    failing = Child(PLAN)
    for _ in range(FIRST_START_TRIES):
        assert not has_settled([ready, failing])
        failing = failing.started(0.0).exited(0.0)
    assert has_settled([ready, failing])
