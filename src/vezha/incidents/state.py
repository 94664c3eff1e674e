"""The states of an incident, as a table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What an incident is in."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    """Somebody wants to be asked again later."""
    RESOLVED = "resolved"
    MERGED = "merged"
    """Its alerts are another incident's now."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to be done."""
        return self in (State.RESOLVED, State.MERGED)


OVER = tuple(state.value for state in State if state.is_over)
"""Values of the states in which nothing is left to be done."""


class Act(Enum):
    """What can happen to an incident.

    The first four come from alerts, `WAKE` and `UNACKNOWLEDGE` from the clock or from people, the
    others from people.
    """

    FIRED = "fired"
    LOST = "lost"
    ALL_OVER = "all_over"
    WORSE = "worse"
    WAKE = "wake"
    UNACKNOWLEDGE = "unacknowledge"
    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"
    MITIGATE = "mitigate"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    MERGE = "merge"
    UNMERGE = "unmerge"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Row:
    """In this state, at this act → that state, and what the timeline calls it."""

    state: State
    act: Act
    to: State
    event: str


_O, _A, _S, _R, _M = (
    State.OPEN, State.ACKNOWLEDGED, State.SNOOZED, State.RESOLVED, State.MERGED,
)  # fmt: skip

TABLE: tuple[Row, ...] = (
    Row(_O, Act.FIRED, _O, "joined"),
    Row(_A, Act.FIRED, _A, "joined"),
    Row(_S, Act.FIRED, _S, "joined"),
    Row(_R, Act.FIRED, _O, "reopened"),
    Row(_O, Act.LOST, _O, "lost"),
    Row(_A, Act.LOST, _A, "lost"),
    Row(_S, Act.LOST, _S, "lost"),
    Row(_O, Act.WORSE, _O, "worse"),
    # who acknowledged (or put off) a warning has not acknowledged a critical state
    Row(_A, Act.WORSE, _O, "worse"),
    Row(_S, Act.WORSE, _O, "worse"),
    Row(_R, Act.WORSE, _O, "reopened"),
    Row(_O, Act.ALL_OVER, _R, "resolved"),
    Row(_A, Act.ALL_OVER, _R, "resolved"),
    Row(_S, Act.ALL_OVER, _R, "resolved"),
    Row(_S, Act.WAKE, _O, "woke"),
    Row(_A, Act.UNACKNOWLEDGE, _O, "unacknowledged"),
    Row(_O, Act.ACKNOWLEDGE, _A, "acknowledged"),
    Row(_S, Act.ACKNOWLEDGE, _A, "acknowledged"),
    Row(_O, Act.SNOOZE, _S, "snoozed"),
    Row(_A, Act.SNOOZE, _S, "snoozed"),
    Row(_S, Act.SNOOZE, _S, "snoozed"),
    # who says that the harm is over has it in hand
    Row(_O, Act.MITIGATE, _A, "mitigated"),
    Row(_A, Act.MITIGATE, _A, "mitigated"),
    Row(_S, Act.MITIGATE, _A, "mitigated"),
    Row(_O, Act.RESOLVE, _R, "resolved"),
    Row(_A, Act.RESOLVE, _R, "resolved"),
    Row(_S, Act.RESOLVE, _R, "resolved"),
    Row(_R, Act.REOPEN, _O, "reopened"),
    Row(_O, Act.MERGE, _M, "merged_into"),
    Row(_A, Act.MERGE, _M, "merged_into"),
    Row(_S, Act.MERGE, _M, "merged_into"),
    Row(_R, Act.MERGE, _M, "merged_into"),
    Row(_M, Act.UNMERGE, _O, "unmerged"),
    Row(_O, Act.NOTE, _O, "note"),
    Row(_A, Act.NOTE, _A, "note"),
    Row(_S, Act.NOTE, _S, "note"),
    Row(_R, Act.NOTE, _R, "note"),
    Row(_M, Act.NOTE, _M, "note"),
)
_BY_CASE = {(row.state, row.act): row for row in TABLE}


def step(state: State, act: Act) -> Row | None:
    """The row for *act* in *state*; None where it cannot happen."""
    return _BY_CASE.get((state, act))


def table_as_markdown() -> str:
    """The table for the documentation."""
    lines = ["| State | Happens | Next | Timeline |", "|---|---|---|---|"]
    lines += [f"| {r.state.value} | {r.act.value} | {r.to.value} | {r.event} |" for r in TABLE]
    return "\n".join(lines) + "\n"
