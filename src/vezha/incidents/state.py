"""The states of an incident, as a table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What an incident is in."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Act(Enum):
    """What can happen to an incident. The first four come from alerts, the others from people."""

    FIRED = "fired"
    LOST = "lost"
    ALL_OVER = "all_over"
    WORSE = "worse"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Row:
    """In this state, at this act → that state, and what the timeline calls it."""

    state: State
    act: Act
    to: State
    event: str


_O, _A, _R = State.OPEN, State.ACKNOWLEDGED, State.RESOLVED

TABLE: tuple[Row, ...] = (
    Row(_O, Act.FIRED, _O, "joined"),
    Row(_A, Act.FIRED, _A, "joined"),
    Row(_R, Act.FIRED, _O, "reopened"),
    Row(_O, Act.LOST, _O, "lost"),
    Row(_A, Act.LOST, _A, "lost"),
    Row(_O, Act.WORSE, _O, "worse"),
    # who acknowledged a warning has not acknowledged a critical state
    Row(_A, Act.WORSE, _O, "worse"),
    Row(_R, Act.WORSE, _O, "reopened"),
    Row(_O, Act.ALL_OVER, _R, "resolved"),
    Row(_A, Act.ALL_OVER, _R, "resolved"),
    Row(_O, Act.ACKNOWLEDGE, _A, "acknowledged"),
    Row(_O, Act.RESOLVE, _R, "resolved"),
    Row(_A, Act.RESOLVE, _R, "resolved"),
    Row(_R, Act.REOPEN, _O, "reopened"),
    Row(_O, Act.NOTE, _O, "note"),
    Row(_A, Act.NOTE, _A, "note"),
    Row(_R, Act.NOTE, _R, "note"),
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
