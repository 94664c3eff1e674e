"""Incidents as the API, the command line and the pages read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from vezha.incidents.errors import NoSuchIncident
from vezha.incidents.limits import EVENTS_SHOWN_MAX, INCIDENTS_LISTED_MAX
from vezha.incidents.rows import member_of
from vezha.incidents.state import OVER
from vezha.incidents.words import Member
from vezha.ledger.tables import incident, incident_alert, incident_event


@dataclass(frozen=True, slots=True)
class View:
    """One incident as a row of a list. Times in ms."""

    id: int
    title: str
    summary: str
    next: str
    severity: str
    state: str
    team: str
    hosts: list[str]
    alert_names: list[str]
    silent_because: str
    began_ms: int
    detected_ms: int
    notified_ms: int | None
    acknowledged_ms: int | None
    acknowledged_by: str | None
    resolved_ms: int | None
    resolved_by: str | None
    seen_ms: int | None
    seen_by: str | None
    mitigated_ms: int | None
    mitigated_by: str | None
    snoozed_until_ms: int | None
    merged_into: int | None
    service: str
    updated_ms: int
    revision: int
    words: dict[str, dict[str, str]]
    """Title, summary and next in other languages."""


@dataclass(frozen=True, slots=True)
class EventView:
    """One line of a timeline."""

    id: int
    at_ms: int
    kind: str
    actor: str
    text: str
    data: dict[str, Any]


_COLUMNS = [incident.c[name] for name in View.__dataclass_fields__]


def list_incidents(connection: Connection, only_open: bool, limit: int = 100) -> list[View]:
    """The newest first; open ones before resolved ones."""
    query = select(*_COLUMNS).where(incident.c.merged_into.is_(None))
    if only_open:
        query = query.where(incident.c.state.not_in(OVER))
    query = query.order_by(incident.c.state.in_(OVER), incident.c.id.desc()).limit(
        max(1, min(limit, INCIDENTS_LISTED_MAX))
    )
    return [View(**row._mapping) for row in connection.execute(query)]


def get_incident(connection: Connection, id_: int) -> View:
    """One incident. Raises NoSuchIncident."""
    row = connection.execute(select(*_COLUMNS).where(incident.c.id == id_)).one_or_none()
    if row is None:
        raise NoSuchIncident(f"there is no incident {id_}")
    return View(**row._mapping)


def get_timeline(connection: Connection, id_: int) -> list[EventView]:
    """The timeline, oldest first; the newest EVENTS_SHOWN_MAX of it."""
    rows = connection.execute(
        select(incident_event)
        .where(incident_event.c.incident_id == id_)
        .order_by(incident_event.c.id.desc())
        .limit(EVENTS_SHOWN_MAX)
    ).all()
    return [EventView(r.id, r.at_ms, r.kind, r.actor, r.text, r.data) for r in reversed(rows)]


def get_members(connection: Connection, id_: int) -> list[Member]:
    """The alerts, in the order in which they came."""
    rows = connection.execute(
        select(incident_alert)
        .where(incident_alert.c.incident_id == id_)
        .order_by(incident_alert.c.first_ms, incident_alert.c.host)
    )
    return [member_of(row) for row in rows]
