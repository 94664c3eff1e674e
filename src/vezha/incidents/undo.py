"""Undoing a line of an incident's timeline, whoever wrote it: Vezha or a person.

The timeline is only added to: an undone line stays, and a line `undone` names it. What undoing
means stands in one table; lines that only say what the data said have nothing to undo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from vezha.incidents.case import SYSTEM, Case
from vezha.incidents.errors import NoSuchIncident, OperatorError, WrongState
from vezha.incidents.limits import FINGERPRINTS_KEPT_MAX, SNOOZE_MS_DEFAULT
from vezha.incidents.merge import join, split_in
from vezha.incidents.rows import read_case, read_cases, read_place, write_case
from vezha.incidents.state import Act, State
from vezha.ledger.tables import incident_event


@dataclass(frozen=True, slots=True)
class _Undoing:
    """One line that somebody takes back."""

    connection: Connection
    id: int
    kind: str
    data: Mapping[str, Any]
    actor: str
    now_ms: int

    def change(self, how: Callable[[Case], None]) -> None:
        case = read_case(self.connection, self.id)
        how(case)
        write_case(self.connection, case, read_place(self.connection), self.now_ms)

    def act(self, act: Act) -> None:
        def change(case: Case) -> None:
            case.act(act, self.actor, "", self.now_ms)

        self.change(change)

    @property
    def fingerprints(self) -> list[str]:
        """The alerts that the line is about. Raises OperatorError where it did not keep them."""
        kept = [str(f) for f in self.data.get("fingerprints", ())]
        if not kept or int(self.data.get("count", 0)) > FINGERPRINTS_KEPT_MAX:
            raise OperatorError("this line does not name all of its alerts; split them off by name")
        return kept


def undo_in(connection: Connection, id_: int, event_id: int, actor: str, now_ms: int) -> str:
    """Take back line *event_id* of incident *id_*, in the caller's transaction; what it was.

    Raises OperatorError.
    """
    case = read_case(connection, id_)
    row = connection.execute(
        select(incident_event).where(
            incident_event.c.id == event_id, incident_event.c.incident_id == id_
        )
    ).one_or_none()
    if row is None:
        raise NoSuchIncident(f"incident {id_} has no line {event_id}")
    how = UNDO.get(row.kind)
    if how is None:
        raise OperatorError(f'a line "{row.kind}" says what happened; there is nothing to undo')
    done = connection.execute(
        select(incident_event.c.data).where(
            incident_event.c.incident_id == id_, incident_event.c.kind == "undone"
        )
    ).scalars()
    if any(data.get("event") == event_id for data in done):
        raise WrongState(f"line {event_id} is undone already")
    how(_Undoing(connection, id_, row.kind, row.data, actor, now_ms))
    case = read_case(connection, id_)
    case.tell(now_ms, "undone", actor, row.kind, event=event_id)
    write_case(connection, case, read_place(connection), now_ms)
    return str(row.kind)


def _dismiss(what: _Undoing) -> None:
    if what.data.get("incident"):
        _unsplit(what, int(what.data["incident"]), what.id)
        return
    what.act(Act.RESOLVE)


def _separate(what: _Undoing) -> None:
    """Alerts that were put here are an incident of their own."""
    split_in(what.connection, what.id, what.fingerprints, what.actor, "", what.now_ms)


def _close_again(what: _Undoing) -> None:
    """A relapse that was none: the old incident stays over, its alerts go to a new one."""
    if what.data.get("fingerprints"):
        split_in(
            what.connection, what.id, what.fingerprints, what.actor, "", what.now_ms, copies=True
        )
    case = read_case(what.connection, what.id)
    if not case.state.is_over:
        what.act(Act.RESOLVE)


def _forget_mitigation(what: _Undoing) -> None:
    def forget(case: Case) -> None:
        case.mitigated_ms = case.mitigated_by = None
        case.changed.add("")

    what.change(forget)


def _snooze_again(what: _Undoing) -> None:
    until_ms = what.now_ms + SNOOZE_MS_DEFAULT
    what.change(lambda case: case.snooze(until_ms, what.actor, "", what.now_ms))


def _unmerge(what: _Undoing) -> None:
    """Of the incident that took the other in."""
    _part(what, target=what.id, source=int(what.data["incident"]), data=what.data)


def _unmerge_into(what: _Undoing) -> None:
    """Of the incident that was taken in: the other one's line has what moved."""
    target = int(what.data["incident"])
    rows = what.connection.execute(
        select(incident_event.c.data)
        .where(incident_event.c.incident_id == target, incident_event.c.kind == "merged")
        .order_by(incident_event.c.id.desc())
    ).scalars()
    data = next((d for d in rows if d.get("incident") == what.id), None)
    if data is None:
        raise OperatorError(f"incident {target} does not remember what it took in")
    _part(what, target=target, source=what.id, data=data)


def _part(what: _Undoing, target: int, source: int, data: Mapping[str, Any]) -> None:
    cases = read_cases(what.connection, [target, source])
    if source not in cases or cases[source].merged_into != target:
        raise WrongState(f"incident {source} is not part of incident {target} any more")
    whole, part = cases[target], cases[source]
    part.receive(whole.give([str(f) for f in data.get("fingerprints", ())]))
    part.merged_into = None
    part.act(Act.UNMERGE, what.actor, f"#{target}", what.now_ms)
    if part.is_all_over:
        part.act(Act.ALL_OVER, SYSTEM, "", what.now_ms)
    elif data.get("state") == State.ACKNOWLEDGED.value:
        part.act(Act.ACKNOWLEDGE, what.actor, "", what.now_ms)
    if whole.is_all_over and not whole.state.is_over:
        whole.act(Act.ALL_OVER, SYSTEM, "", what.now_ms)
    whole.tell(what.now_ms, "split_off", what.actor, f"#{source} {part.title}", incident=source)
    place = read_place(what.connection)
    write_case(what.connection, part, place, what.now_ms)
    write_case(what.connection, whole, place, what.now_ms)


def _rejoin(what: _Undoing) -> None:
    _unsplit(what, what.id, int(what.data["incident"]))


def _unsplit(what: _Undoing, target: int, source: int) -> None:
    """What was split off goes back."""
    cases = read_cases(what.connection, [target, source])
    if source not in cases or target not in cases or cases[source].state is State.MERGED:
        raise WrongState(f"incident {source} is not there by itself any more")
    if cases[target].state is State.MERGED:
        raise WrongState(f"incident {target} is part of incident {cases[target].merged_into}")
    join(cases[target], cases[source], what.actor, "", what.now_ms)
    place = read_place(what.connection)
    for case in cases.values():
        write_case(what.connection, case, place, what.now_ms)


def _begin_as_before(what: _Undoing) -> None:
    def restore(case: Case) -> None:
        case.began_ms = int(what.data["was_ms"])
        case.changed.add("")

    what.change(restore)


def _give_back(what: _Undoing) -> None:
    def restore(case: Case) -> None:
        case.team = str(what.data["was"])
        case.changed.add("")

    what.change(restore)


UNDO: Mapping[str, Callable[[_Undoing], None]] = {
    "opened": _dismiss,
    "joined": _separate,
    "worse": _separate,
    "reopened": _close_again,
    "eased": _forget_mitigation,
    "mitigated": _forget_mitigation,
    "acknowledged": lambda what: what.act(Act.UNACKNOWLEDGE),
    "unacknowledged": lambda what: what.act(Act.ACKNOWLEDGE),
    "snoozed": lambda what: what.act(Act.WAKE),
    "woke": _snooze_again,
    "resolved": lambda what: what.act(Act.REOPEN),
    "merged": _unmerge,
    "merged_into": _unmerge_into,
    "split_off": _rejoin,
    "began": _begin_as_before,
    "assigned": _give_back,
}
"""What undoing a line means, by its kind."""


def table_as_markdown() -> str:
    """Which lines can be undone, for the documentation."""
    return ", ".join(f"`{kind}`" for kind in UNDO) + "\n"
