"""The states of one host in one rollout, as a table. Pure.

Agents tell steps; a step may be missing (it was lost with a disk) or come twice, so each later
step is taken in each earlier state, and a step that is behind changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What an attempt is in."""

    WAITING = "waiting"
    OFFERED = "offered"
    DOWNLOADED = "downloaded"
    STAGED = "staged"
    STARTED = "started"
    PROVEN = "proven"
    FAILED = "failed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    REFUSED = "refused"
    SKIPPED = "skipped"


class Act(Enum):
    """What can happen to it: the server's own acts, then what the agent tells."""

    OFFER = "offer"
    SKIP = "skip"
    TAKE_BACK = "take_back"
    LEAVE = "leave"
    TOLD_DOWNLOADED = "told_downloaded"
    TOLD_STAGED = "told_staged"
    TOLD_STARTED = "told_started"
    TOLD_PROVEN = "told_proven"
    TOLD_REVERTED = "told_reverted"
    TOLD_REFUSED = "told_refused"
    TOLD_FAILED = "told_failed"
    TOLD_EXCUSED = "told_excused"
    TOLD_BACK = "told_back"


@dataclass(frozen=True, slots=True)
class Row:
    """In this state, at this act → that state."""

    state: State
    act: Act
    to: State


IN_FLIGHT = (State.OFFERED, State.DOWNLOADED, State.STAGED, State.STARTED)
"""Between the offer and its end; `max_in_flight` counts these and those going back."""
TOUCHED = (*IN_FLIGHT, State.PROVEN, State.REVERTING)
"""States in which the host may run what the rollout brought."""
BAD = (State.FAILED, State.REVERTED, State.REFUSED)
ENDED = (State.PROVEN, State.FAILED, State.REVERTED, State.REFUSED, State.SKIPPED)
_STEPS = (
    (Act.TOLD_DOWNLOADED, State.DOWNLOADED),
    (Act.TOLD_STAGED, State.STAGED),
    (Act.TOLD_STARTED, State.STARTED),
    (Act.TOLD_PROVEN, State.PROVEN),
)


def _rows() -> tuple[Row, ...]:
    rows = [
        Row(State.WAITING, Act.OFFER, State.OFFERED),
        Row(State.WAITING, Act.SKIP, State.SKIPPED),
    ]
    # a host that came back is offered what it missed once the rollout is done
    rows.append(Row(State.SKIPPED, Act.OFFER, State.OFFERED))
    for at, state in enumerate(IN_FLIGHT):
        for act, to in _STEPS[at:]:
            rows.append(Row(state, act, to))
        rows.append(Row(state, Act.TOLD_REVERTED, State.REVERTED))
        rows.append(Row(state, Act.TOLD_REFUSED, State.REFUSED))
        rows.append(Row(state, Act.TOLD_FAILED, State.FAILED))
        # it went back for what is not the version's fault: its turn comes again
        rows.append(Row(state, Act.TOLD_EXCUSED, State.WAITING))
        rows.append(Row(state, Act.TAKE_BACK, State.REVERTING))
        # a script that is not heard of cannot be taken back
        rows.append(Row(state, Act.LEAVE, State.FAILED))
    # it was away before anything was switched: nothing of it runs, and nothing of it may begin
    rows += [
        Row(state, Act.SKIP, State.SKIPPED)
        for state in (State.OFFERED, State.DOWNLOADED, State.STAGED)
    ]
    # the launcher watches longer than the proof takes
    rows.append(Row(State.PROVEN, Act.TOLD_REVERTED, State.REVERTED))
    rows.append(Row(State.PROVEN, Act.TAKE_BACK, State.REVERTING))
    rows.append(Row(State.REVERTING, Act.TOLD_BACK, State.REVERTED))
    # it went back by itself before it was told to
    rows.append(Row(State.REVERTING, Act.TOLD_REVERTED, State.REVERTED))
    rows.append(Row(State.REVERTING, Act.TOLD_REFUSED, State.REVERTED))
    return tuple(rows)


TABLE: tuple[Row, ...] = _rows()
_BY_CASE = {(row.state, row.act): row.to for row in TABLE}


def step(state: State, act: Act) -> State | None:
    """The state after *act* in *state*; None where it changes nothing."""
    return _BY_CASE.get((state, act))


def act_of(told: str, exit_code: int | None, *, going_back: bool) -> Act | None:
    """What a step that an agent told means; None for one that only informs.

    *going_back* says that the step belongs to the directive that takes the host back.
    """
    if going_back:
        # a refusal of the way back leaves it where it is: the next directive tries again
        return Act.TOLD_BACK if told == "proven" else None
    if told == "finished":
        return Act.TOLD_PROVEN if exit_code == 0 else Act.TOLD_FAILED
    return {
        "downloaded": Act.TOLD_DOWNLOADED,
        "staged": Act.TOLD_STAGED,
        "started": Act.TOLD_STARTED,
        "proven": Act.TOLD_PROVEN,
        "reverted": Act.TOLD_REVERTED,
        "refused": Act.TOLD_REFUSED,
    }.get(told)


def diagram() -> str:
    """The table as a Mermaid state diagram for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> waiting"]
    seen: dict[tuple[str, str], list[str]] = {}
    for row in TABLE:
        seen.setdefault((row.state.value, row.to.value), []).append(row.act.value)
    lines += [f"    {a} --> {b}: {', '.join(acts)}" for (a, b), acts in seen.items()]
    return "\n".join(lines) + "\n"
