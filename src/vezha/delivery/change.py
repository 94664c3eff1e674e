"""The states of a change, as a table, and what it lacks to be started. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """What is changed. `EXTERNAL` happened elsewhere: reported, never delivered."""

    AGENT = "agent"
    CONFIG = "config"
    RULES = "rules"
    SCRIPT = "script"
    EXTERNAL = "external"


DIRECTIVE_KINDS = {Kind.AGENT: "release", Kind.CONFIG: "config", Kind.SCRIPT: "script"}
"""How directives and progress call what a change of that kind gives to hosts."""
RISKS = ("low", "medium", "high")
TOPIC = "changes"
"""What is nudged after anything of changes was written."""


class State(Enum):
    """What a change is in."""

    DRAFT = "draft"
    PLANNED = "planned"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    REVERTING = "reverting"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    REPORTED = "reported"


class Act(Enum):
    """What can happen to a change. People's first, then what its rollout does, then reports."""

    EDIT = "edit"
    PLAN = "plan"
    START = "start"
    CANCEL = "cancel"
    HOLD = "hold"
    RESUME = "resume"
    FINISH = "finish"
    TAKE_BACK = "take_back"
    TAKEN_BACK = "taken_back"
    END = "end"


@dataclass(frozen=True, slots=True)
class Row:
    """In this state, at this act → that state, and what the timeline calls it."""

    state: State
    act: Act
    to: State
    event: str


_D, _P, _R, _H = State.DRAFT, State.PLANNED, State.RUNNING, State.HELD

TABLE: tuple[Row, ...] = (
    Row(_D, Act.EDIT, _D, "edited"),
    # what was planned is not what is written any more
    Row(_P, Act.EDIT, _D, "edited"),
    Row(_D, Act.PLAN, _P, "planned"),
    Row(_P, Act.PLAN, _P, "planned"),
    Row(_P, Act.START, _R, "started"),
    Row(_D, Act.CANCEL, State.CANCELLED, "cancelled"),
    Row(_P, Act.CANCEL, State.CANCELLED, "cancelled"),
    Row(_R, Act.CANCEL, State.CANCELLED, "aborted"),
    Row(_H, Act.CANCEL, State.CANCELLED, "aborted"),
    Row(_R, Act.HOLD, _H, "held"),
    Row(_H, Act.HOLD, _H, "held"),
    Row(_H, Act.RESUME, _R, "resumed"),
    Row(_R, Act.FINISH, State.DONE, "done"),
    Row(_R, Act.TAKE_BACK, State.REVERTING, "reverting"),
    Row(_H, Act.TAKE_BACK, State.REVERTING, "reverting"),
    # also what went well may be taken back
    Row(State.DONE, Act.TAKE_BACK, State.REVERTING, "reverting"),
    Row(State.REVERTING, Act.TAKEN_BACK, State.REVERTED, "reverted"),
    Row(State.REPORTED, Act.END, State.DONE, "done"),
)
_BY_CASE = {(row.state, row.act): row for row in TABLE}
OPEN = (State.RUNNING, State.HELD, State.REVERTING)
"""States in which a rollout of the change has something to do."""


def step(state: State, act: Act) -> Row | None:
    """The row for *act* in *state*; None where it cannot happen."""
    return _BY_CASE.get((state, act))


def lacking(why: str, owner: str, checklist: str, gates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What keeps a change from being started: sentences, none where nothing does.

    Useful: it says why. Stable: a gate that decides guards it. Supported: it has an owner and a
    checklist.
    """
    out = []
    if not why.strip():
        out.append("it is not said why the change is useful (why)")
    if not any(not gate.get("shadow") for gate in gates):
        out.append("no gate guards it (gates; one in shadow mode does not count)")
    if not owner.strip():
        out.append("nobody owns it (owner)")
    if not checklist.strip():
        out.append("no checklist supports it (checklist)")
    return out


def diagram() -> str:
    """The table as a Mermaid state diagram for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> draft", "    [*] --> reported"]
    seen: dict[tuple[str, str], list[str]] = {}
    for row in TABLE:
        if row.state is not row.to:
            seen.setdefault((row.state.value, row.to.value), []).append(row.act.value)
    lines += [f"    {a} --> {b}: {', '.join(acts)}" for (a, b), acts in seen.items()]
    ends = {State.REVERTED, State.CANCELLED}
    lines += [f"    {state.value} --> [*]" for state in State if state in ends]
    return "\n".join(lines) + "\n"
