"""Merging and splitting: a person says which alerts have one cause. Rows only.

The alerts move, with their whole rows; what moved stands in both timelines, so that it can be
taken back (`undo`). An incident without alerts that was merged keeps its title and its timeline.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from vezha.incidents.case import SYSTEM, Case
from vezha.incidents.errors import NoSuchIncident, OperatorError, WrongState
from vezha.incidents.limits import FINGERPRINTS_KEPT_MAX, MERGED_MAX, NOTE_CHARS_MAX
from vezha.incidents.rows import create_case, read_case, read_cases, read_place, write_case
from vezha.incidents.state import Act, State
from vezha.incidents.words import main_member, worst_of


def merge_in(
    connection: Connection, into: int, others: Sequence[int], actor: str, text: str, now_ms: int
) -> Case:
    """Make *others* part of incident *into*, in the caller's transaction. Raises OperatorError."""
    wanted = list(dict.fromkeys(others))
    if not wanted or len(wanted) > MERGED_MAX:
        raise OperatorError(f"name 1 to {MERGED_MAX} incidents to merge")
    if into in wanted:
        raise OperatorError("an incident cannot be merged into itself")
    _check_text(text)
    cases = read_cases(connection, [into, *wanted])
    for id_ in [into, *wanted]:
        if id_ not in cases:
            raise NoSuchIncident(f"there is no incident {id_}")
    target = cases[into]
    if target.state is State.MERGED:
        raise WrongState(f"incident {into} is part of incident {target.merged_into}")
    place = read_place(connection)
    for id_ in wanted:
        join(target, cases[id_], actor, text, now_ms)
        write_case(connection, cases[id_], place, now_ms)
    write_case(connection, target, place, now_ms)
    return target


def join(target: Case, source: Case, actor: str, text: str, now_ms: int) -> None:
    """Move all alerts of *source* to *target*. Pure. Raises WrongState."""
    before = source.state
    moved = sorted(source.members)
    entry = source.act(Act.MERGE, actor, text, now_ms)
    entry.data["incident"] = target.id
    entry.text = " ".join(part for part in (f"#{target.id} {target.title}", text) if part)
    source.merged_into = target.id
    had = target.severity
    members = source.give(moved)
    target.receive(members)
    target.began_ms = min(target.began_ms, source.began_ms)
    target.detected_ms = min(target.detected_ms, source.detected_ms)
    target.tell(
        now_ms, "merged", actor, f"#{source.id} {source.title}",
        incident=source.id, state=before.value, fingerprints=moved[:FINGERPRINTS_KEPT_MAX],
    )  # fmt: skip
    live = [m for m in members if m.is_open]
    if not live:
        return
    if target.state is State.RESOLVED:
        target.act(Act.REOPEN, actor, "", now_ms)
    elif worst_of(live).rank < had.rank:
        # as if the worse alert had fired here: who took a warning has not taken that
        target.act(Act.WORSE, SYSTEM, "", now_ms).name(main_member(live))
        target.severity = worst_of(live)


def split_in(
    connection: Connection,
    id_: int,
    fingerprints: Sequence[str],
    actor: str,
    text: str,
    now_ms: int,
    *,
    copies: bool = False,
) -> tuple[Case, Case]:
    """Make a new incident of some alerts of *id_*: (what is left, the new one).

    With *copies* the alerts stay where they are, too, as resolved. Raises OperatorError.
    """
    _check_text(text)
    case = read_case(connection, id_)
    if case.state is State.MERGED:
        raise WrongState(f"incident {id_} is part of incident {case.merged_into}")
    wanted = [f for f in dict.fromkeys(fingerprints) if f in case.members]
    if not wanted:
        raise OperatorError(f"incident {id_} has none of these alerts")
    if len(wanted) == len(case.members) and not copies:
        raise OperatorError("nothing would be left of the incident; split off fewer alerts")
    members = case.give(wanted, copies=copies)
    severity = worst_of([m for m in members if m.is_open] or members)
    first_ms = min(m.first_ms for m in members)
    new = Case(0, State.OPEN, severity, case.team, first_ms, first_ms, now_ms)
    new.service = case.service
    place = read_place(connection)
    new.receive(members)
    new.describe(place)
    create_case(connection, new)
    entry = new.tell(now_ms, "opened", actor, text, incident=id_)
    for member in members:
        entry.name(member)
    entry.text = " ".join(part for part in (f"from #{id_}: {entry.text}", text) if part)
    if new.is_all_over:
        new.act(Act.ALL_OVER, SYSTEM, "", now_ms)
    case.tell(
        now_ms, "split_off", actor, f"#{new.id} {new.title}",
        incident=new.id, fingerprints=wanted[:FINGERPRINTS_KEPT_MAX],
    )  # fmt: skip
    if case.is_all_over and not case.state.is_over:
        case.act(Act.ALL_OVER, SYSTEM, "", now_ms)
    write_case(connection, case, place, now_ms)
    write_case(connection, new, place, now_ms)
    return case, new


def _check_text(text: str) -> None:
    if len(text) > NOTE_CHARS_MAX:
        raise OperatorError(f"the text is longer than {NOTE_CHARS_MAX} characters")
