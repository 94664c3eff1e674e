"""Incidents as rows: reading a case into the hand and writing it back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from vezha.incidents.case import Case
from vezha.incidents.errors import NoSuchIncident
from vezha.incidents.state import State
from vezha.incidents.words import Member, Place
from vezha.ledger.tables import cursor, host, incident, incident_alert, incident_event
from vezha.model.severity import Severity

_SELECT_MAX = 500
"""Values in one IN list: SQLite's and PostgreSQL's drivers both take as many."""


def read_cases(connection: Connection, ids: Iterable[int]) -> dict[int, Case]:
    """Cases by id, with all their alerts."""
    wanted = sorted(set(ids))
    cases: dict[int, Case] = {}
    for at in range(0, len(wanted), _SELECT_MAX):
        part = wanted[at : at + _SELECT_MAX]
        # locked on PostgreSQL, so that two who act at one time do so one after the other;
        # on SQLite the transaction is alone from its beginning
        rows = select(incident).where(incident.c.id.in_(part)).order_by(incident.c.id)
        for row in connection.execute(rows.with_for_update()):
            cases[row.id] = _case_of(row)
        members = select(incident_alert).where(incident_alert.c.incident_id.in_(part))
        for row in connection.execute(members):
            cases[row.incident_id].members[row.fingerprint] = member_of(row)
    return cases


def read_case(connection: Connection, id_: int) -> Case:
    """One case. Raises NoSuchIncident."""
    found = read_cases(connection, [id_]).get(id_)
    if found is None:
        raise NoSuchIncident(f"there is no incident {id_}")
    return found


def _case_of(row: Any) -> Case:
    return Case(
        id=row.id,
        state=State(row.state),
        severity=Severity(row.severity),
        team=row.team,
        began_ms=row.began_ms,
        detected_ms=row.detected_ms,
        active_ms=row.active_ms,
        revision=row.revision,
        acknowledged_ms=row.acknowledged_ms,
        acknowledged_by=row.acknowledged_by,
        resolved_ms=row.resolved_ms,
        resolved_by=row.resolved_by,
        seen_ms=row.seen_ms,
        seen_by=row.seen_by,
        mitigated_ms=row.mitigated_ms,
        mitigated_by=row.mitigated_by,
        snoozed_until_ms=row.snoozed_until_ms,
        merged_into=row.merged_into,
        service=row.service,
        silent_because=row.silent_because,
        title=row.title,
        summary=row.summary,
        next=row.next,
        words=dict(row.words),
        hosts=list(row.hosts),
        alert_names=list(row.alert_names),
    )


def member_of(row: Any) -> Member:
    """An alert of an incident from its row."""
    return Member(
        fingerprint=row.fingerprint,
        alert_name=row.alert_name,
        host=row.host,
        severity=Severity(row.severity),
        state=row.state,
        labels=row.labels,
        annotations=row.annotations,
        first_ms=row.first_ms,
        changed_ms=row.changed_ms,
        silent_because=row.silent_because,
        silent_because_uk=row.silent_because_uk,
        cause=row.cause,
    )


def create_case(connection: Connection, case: Case) -> None:
    """Make the row of a new case and give it its id."""
    made = connection.execute(insert(incident).values(_values(case, case.detected_ms)))
    key = made.inserted_primary_key
    assert key is not None
    case.id = int(key[0])
    case.is_new = True


def write_case(connection: Connection, case: Case, place: Place, now_ms: int) -> bool:
    """Write what changed of *case* and its new timeline entries; whether anything did."""
    if not (case.entries or case.changed or case.gone or case.is_new):
        return False
    case.describe(place)
    case.revision += 1
    connection.execute(
        update(incident).where(incident.c.id == case.id).values(_values(case, now_ms))
    )
    members = [case.members[f] for f in sorted(case.changed) if f in case.members]
    replaced = [m.fingerprint for m in members] + sorted(case.gone)
    if replaced:
        connection.execute(
            delete(incident_alert).where(
                incident_alert.c.incident_id == case.id,
                incident_alert.c.fingerprint == bindparam("f"),
            ),
            [{"f": fingerprint} for fingerprint in replaced],
        )
    if members:
        connection.execute(insert(incident_alert), [_member_row(case.id, m) for m in members])
    if case.entries:
        connection.execute(
            insert(incident_event),
            [
                {
                    "incident_id": case.id,
                    "at_ms": e.at_ms,
                    "kind": e.kind,
                    "actor": e.actor,
                    "text": e.text,
                    "data": e.data,
                }
                for e in case.entries
            ],
        )
    case.entries, case.changed, case.gone, case.is_new = [], set(), set(), False
    return True


def _values(case: Case, now_ms: int) -> dict[str, Any]:
    return {
        "state": case.state.value,
        "severity": case.severity.value,
        "title": case.title,
        "summary": case.summary,
        "next": case.next,
        "words": case.words,
        "team": case.team,
        "hosts": case.hosts,
        "alert_names": case.alert_names,
        "silent_because": case.silent_because,
        "began_ms": case.began_ms,
        "detected_ms": case.detected_ms,
        "acknowledged_ms": case.acknowledged_ms,
        "acknowledged_by": case.acknowledged_by,
        "resolved_ms": case.resolved_ms,
        "resolved_by": case.resolved_by,
        "seen_ms": case.seen_ms,
        "seen_by": case.seen_by,
        "mitigated_ms": case.mitigated_ms,
        "mitigated_by": case.mitigated_by,
        "snoozed_until_ms": case.snoozed_until_ms,
        "merged_into": case.merged_into,
        "service": case.service,
        "active_ms": case.active_ms,
        "updated_ms": now_ms,
        "revision": case.revision,
    }


def _member_row(id_: int, member: Member) -> dict[str, Any]:
    return {
        "incident_id": id_,
        "fingerprint": member.fingerprint,
        "alert_name": member.alert_name,
        "host": member.host,
        "severity": member.severity.value,
        "state": member.state,
        "labels": dict(member.labels),
        "annotations": dict(member.annotations),
        "silent_because": member.silent_because,
        "silent_because_uk": member.silent_because_uk,
        "explains": member.annotations.get("vezha_explains", "")[:16],
        "cause": member.cause,
        "first_ms": member.first_ms,
        "changed_ms": member.changed_ms,
    }


def read_place(connection: Connection) -> Place:
    """Where hosts stand, by the labels that people gave them."""
    labels = {row.name: dict(row.labels) for row in connection.execute(select(host))}
    everywhere: frozenset[tuple[str, str]] = frozenset()
    if len(labels) > 1:
        sets = [set(pairs.items()) for pairs in labels.values()]
        everywhere = frozenset(set.intersection(*sets))
    return Place(labels, everywhere)


def read_cursor(connection: Connection, name: str) -> int:
    """Up to which row a follower has read; 0 at first."""
    found = connection.execute(select(cursor.c.position).where(cursor.c.name == name)).scalar()
    return found or 0


def write_cursor(connection: Connection, name: str, position: int) -> None:
    """Remember it, in the transaction that did the work."""
    done = connection.execute(update(cursor).where(cursor.c.name == name).values(position=position))
    if not done.rowcount:
        connection.execute(insert(cursor).values(name=name, position=position))
