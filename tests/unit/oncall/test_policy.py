"""Escalation as a pure machine: what news and time do to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.incidents.oncall.policy import (
    ASKING,
    EMPTY_STEP_MS,
    Look,
    Phase,
    Policy,
    Progress,
    Step,
    Target,
    TargetKind,
    advance,
    follow,
    is_over,
)
from vezha.incidents.state import State
from vezha.model.severity import Severity

WHO = (Target(TargetKind.PERSON, "a"),)
POLICY = Policy("p", (Step(WHO, 100_000), Step(WHO, 200_000)), repeat=1, ack_timeout_ms=600_000)
OPEN = Look(State.OPEN, Severity.WARNING, False)


def look(state: State, severity: Severity = Severity.WARNING, silent: bool = False) -> Look:
    return Look(state, severity, silent, 5_000)


@pytest.mark.parametrize(
    ("progress", "seen", "kinds", "phase", "due_ms"),
    [
        (None, OPEN, ["opened"], Phase.PAGING, 9_000),
        (None, look(State.RESOLVED), ["opened", "resolved"], None, None),
        (None, look(State.OPEN, Severity.INFO), ["opened"], None, None),
        (None, look(State.OPEN, silent=True), ["opened", "silenced"], Phase.QUIET, None),
        (Progress(Phase.PAGING, 1, 0, 50_000), OPEN, ["joined"], Phase.PAGING, 50_000),
        (Progress(Phase.PAGING, 1, 0, 50_000), OPEN, ["worse"], Phase.PAGING, 9_000),
        (Progress(Phase.PAGING, 1, 0, 50_000), look(State.ACKNOWLEDGED), ["acknowledged"],
         Phase.HELD, 605_000),
        (Progress(Phase.HELD, due_ms=605_000), OPEN, ["unacknowledged"], Phase.PAGING, 9_000),
        (Progress(Phase.HELD, due_ms=605_000), look(State.RESOLVED), ["resolved"], Phase.ENDED, None),
        (Progress(Phase.PAGING, 1, 0, 50_000), look(State.SNOOZED), ["snoozed"], Phase.ASLEEP, None),
        (Progress(Phase.ASLEEP), OPEN, ["woke"], Phase.PAGING, 9_000),
        (Progress(Phase.QUIET), OPEN, ["unsilenced"], Phase.PAGING, 9_000),
        (Progress(Phase.EXHAUSTED), OPEN, ["joined"], Phase.EXHAUSTED, None),
        (Progress(Phase.EXHAUSTED), OPEN, ["worse"], Phase.PAGING, 9_000),
        (Progress(Phase.ENDED), OPEN, ["reopened"], Phase.PAGING, 9_000),
        (Progress(Phase.PAGING, 1, 0, 50_000), look(State.MERGED), ["merged_into"], Phase.ENDED, None),
    ],
)  # fmt: skip
def test_what_news_do(
    progress: Progress | None, seen: Look, kinds: list[str], phase: Phase | None, due_ms: int | None
) -> None:
    after = follow(POLICY, progress, seen, kinds, 9_000)
    assert (after and after.phase, after and after.due_ms) == (phase, due_ms)


def test_without_a_policy_nothing_goes_on() -> None:
    assert follow(None, None, OPEN, ["opened"], 0) is None
    ended = follow(None, Progress(Phase.PAGING, 0, 0, 0), OPEN, ["assigned"], 0)
    assert ended is not None
    assert ended.phase is Phase.ENDED


def test_rounds_end() -> None:
    progress = Progress(Phase.PAGING, 0, 0, 0)
    seen = []
    now_ms = 0
    while not is_over(POLICY, progress):
        now_ms = progress.due_ms or 0
        seen.append((progress.step, progress.round, now_ms))
        progress = advance(POLICY, progress, now_ms, reached=True)
    assert seen == [(0, 0, 0), (1, 0, 100_000), (0, 1, 300_000), (1, 1, 400_000)]
    # whoever was asked last has the last step's time to answer
    assert (progress.phase, progress.due_ms) == (Phase.PAGING, 600_000)


def test_a_step_that_reaches_nobody_does_not_wait() -> None:
    after = advance(POLICY, Progress(Phase.PAGING, 0, 0, 0), 1_000, reached=False)
    assert (after.step, after.due_ms) == (1, 1_000 + EMPTY_STEP_MS)
    last = advance(POLICY, after, 2_000, reached=False)
    assert (last.round, last.due_ms) == (1, 2_000 + 200_000)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(State)),
            st.sampled_from([*ASKING, "joined", "recovered", "acknowledged", "resolved", ""]),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_only_an_open_incident_that_is_not_silent_pages(
    story: list[tuple[State, str, bool]],
) -> None:
    progress: Progress | None = None
    for at_ms, (state, kind, silent) in enumerate(story):
        progress = follow(POLICY, progress, look(state, silent=silent), [kind], at_ms)
        pages = state is State.OPEN and not silent
        assert (progress is not None and progress.phase is Phase.PAGING) == pages
        if progress is not None and progress.phase is Phase.PAGING:
            assert progress.due_ms is not None
