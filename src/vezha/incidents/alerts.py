"""Alerts as they are now, each with the incident that it is in; and what became of them, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from vezha.incidents.state import OVER
from vezha.ledger.tables import alert_state, alert_transition, incident, incident_alert
from vezha.model.severity import Severity

_INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert. Times in ms; `fired_ms` is None while it is pending; `incident` is 0 in none."""

    name: str
    host: str
    severity: str
    state: str
    value: float | None
    active_ms: int
    fired_ms: int | None
    changed_ms: int
    summary: str
    labels: dict[str, str]
    incident: int
    silent_because: str
    summary_uk: str = ""
    silent_because_uk: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One change of an alert. `sampled_ms` is the stamp of the sample behind it, if known."""

    at_ms: int
    name: str
    host: str
    severity: str
    event: str
    sampled_ms: int | None
    evaluated_ms: int
    labels: dict[str, str]


def list_alerts(connection: Connection, host: str = "", name: str = "") -> list[AlertView]:
    """Alerts that are not inactive, the worst and then the newest first; of one host, of one name."""
    open_in = (
        select(
            incident_alert.c.fingerprint,
            func.max(incident.c.id).label("incident"),
            func.max(incident_alert.c.silent_because).label("silent"),
            func.max(incident_alert.c.silent_because_uk).label("silent_uk"),
        )
        .join(incident, incident.c.id == incident_alert.c.incident_id)
        .where(incident.c.state.not_in(OVER))
        .group_by(incident_alert.c.fingerprint)
        .subquery()
    )
    wanted = (
        select(alert_state, open_in.c.incident, open_in.c.silent, open_in.c.silent_uk)
        .outerjoin(open_in, open_in.c.fingerprint == alert_state.c.fingerprint)
        .where(alert_state.c.state != _INACTIVE)
    )
    if host:
        wanted = wanted.where(alert_state.c.host == host)
    if name:
        wanted = wanted.where(alert_state.c.alert_name == name)
    found = [
        AlertView(
            row.alert_name, row.host, row.severity, row.state, row.value, row.active_ms,
            row.fired_ms, row.changed_ms, row.annotations.get("summary", ""), dict(row.labels),
            row.incident or 0, row.silent or "", row.annotations.get("summary_uk", ""),
            row.silent_uk or "",
        )
        for row in connection.execute(wanted)
    ]  # fmt: skip
    return sorted(
        found, key=lambda a: (Severity.of(a.severity).rank, -a.changed_ms, a.host, a.name)
    )


def list_turns(
    connection: Connection, limit: int, host: str = "", name: str = "", since_ms: int = 0
) -> list[Turn]:
    """Changes of alerts, the newest first."""
    t = alert_transition.c
    fits = [t.written_ms >= since_ms]
    fits += [t.host == host] if host else []
    fits += [t.alert_name == name] if name else []
    rows = connection.execute(
        select(alert_transition).where(and_(*fits)).order_by(t.id.desc()).limit(limit)
    )
    return [
        Turn(
            r.written_ms, r.alert_name, r.host, r.severity, r.event, r.sampled_ms, r.evaluated_ms,
            dict(r.labels),
        )
        for r in rows
    ]  # fmt: skip
