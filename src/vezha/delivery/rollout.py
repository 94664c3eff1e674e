"""The states of a rollout, as a table. Pure.

A rollout is running, held, going back, or over; while it is running or held, a wave of it is in a
phase: opening (may it begin?), rolling (hosts are offered it), baking (all are through; it is
watched).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What a rollout is in."""

    RUNNING = "running"
    HELD = "held"
    REVERTING = "reverting"
    DONE = "done"
    REVERTED = "reverted"
    ABORTED = "aborted"


class Phase(Enum):
    """How far its wave is."""

    OPENING = "opening"
    ROLLING = "rolling"
    BAKING = "baking"


class Event(Enum):
    """What can happen to it."""

    OPENED = "opened"
    SETTLED = "settled"
    NEXT = "next"
    FINISHED = "finished"
    HOLD = "hold"
    GO_ON = "go_on"
    TAKE_BACK = "take_back"
    TAKEN_BACK = "taken_back"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Row:
    """In this state and phase (None: any), at this event → that state and phase (None: as is)."""

    state: State
    phase: Phase | None
    event: Event
    to: State
    to_phase: Phase | None


_R, _H, _B = State.RUNNING, State.HELD, State.REVERTING

TABLE: tuple[Row, ...] = (
    Row(_R, Phase.OPENING, Event.OPENED, _R, Phase.ROLLING),
    Row(_R, Phase.ROLLING, Event.SETTLED, _R, Phase.BAKING),
    Row(_R, Phase.BAKING, Event.NEXT, _R, Phase.OPENING),
    Row(_R, Phase.BAKING, Event.FINISHED, State.DONE, None),
    Row(_R, None, Event.HOLD, _H, None),
    Row(_H, None, Event.GO_ON, _R, None),
    Row(_R, None, Event.TAKE_BACK, _B, None),
    Row(_H, None, Event.TAKE_BACK, _B, None),
    Row(State.DONE, None, Event.TAKE_BACK, _B, None),
    Row(_B, None, Event.TAKEN_BACK, State.REVERTED, None),
    Row(_R, None, Event.ABORT, State.ABORTED, None),
    Row(_H, None, Event.ABORT, State.ABORTED, None),
)
OPEN = (State.RUNNING, State.HELD, State.REVERTING)


def step(state: State, phase: Phase, event: Event) -> tuple[State, Phase] | None:
    """Where *event* leads; None where it cannot happen."""
    for row in TABLE:
        if row.state is state and row.phase in (None, phase) and row.event is event:
            return row.to, row.to_phase or phase
    return None


def diagram() -> str:
    """The table as a Mermaid state diagram for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> running", "    state running {"]
    lines.append("        [*] --> opening")
    outside = []
    for row in TABLE:
        if row.phase is not None and row.to_phase is not None:
            lines.append(f"        {row.phase.value} --> {row.to_phase.value}: {row.event.value}")
        else:
            outside.append(f"    {row.state.value} --> {row.to.value}: {row.event.value}")
    return "\n".join([*lines, "    }", *outside]) + "\n"
