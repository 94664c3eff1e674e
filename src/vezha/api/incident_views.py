"""How the API shows incidents: in lists, and one with its whole story."""

from __future__ import annotations

from typing import Any

import msgspec

from vezha.api.errors import NotFoundError
from vezha.api.route import seconds
from vezha.incidents.cause import Cause, likely_cause
from vezha.incidents.errors import NoSuchIncident
from vezha.incidents.undo import UNDO
from vezha.incidents.usage import SCORE_UNKNOWN
from vezha.incidents.views import View, get_incident, get_members, get_timeline
from vezha.ledger import Ledger

_HOSTS_SHOWN_MAX = 100


class LikelyView(msgspec.Struct):
    """The change that probably caused an incident, or that a person called its cause."""

    change: int
    title: str
    score: float
    judged: str
    began_at: float | None


class IncidentView(msgspec.Struct):
    """An incident in a list. `hosts` are the first of `hosts_count`; `cause` is the change that explains
    more than half, if one does. Without words of their own `…_uk` are empty."""

    id: int
    title: str
    title_uk: str
    summary: str
    summary_uk: str
    next: str
    next_uk: str
    silent_because_uk: str
    severity: str
    state: str
    team: str
    hosts: list[str]
    hosts_count: int
    alert_names: list[str]
    silent_because: str
    began_at: float | None
    detected_at: float | None
    notified_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str | None
    resolved_at: float | None
    resolved_by: str | None
    seen_at: float | None
    seen_by: str | None
    mitigated_at: float | None
    mitigated_by: str | None
    snoozed_until_at: float | None
    merged_into: int | None
    service: str
    updated_at: float | None
    revision: int
    priority: float
    cause: LikelyView | None


class EventView(msgspec.Struct):
    """One line of a timeline. `undoable`: `POST …/undo` takes it back."""

    id: int
    at: float | None
    kind: str
    actor: str
    text: str
    data: dict[str, Any]
    undoable: bool


class MemberView(msgspec.Struct):
    """An alert of an incident."""

    name: str
    host: str
    severity: str
    state: str
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    silent_because: str
    silent_because_uk: str
    first_at: float | None
    changed_at: float | None


class IncidentDetailView(IncidentView):
    """One incident with its timeline (oldest first) and its alerts."""

    timeline: list[EventView] = []
    alerts: list[MemberView] = []


def incident_view(
    view: View, priority: float = SCORE_UNKNOWN, cause: Cause | None = None
) -> dict[str, Any]:
    """An incident as the API shows it."""
    times = (
        "began", "detected", "notified", "seen", "acknowledged", "mitigated", "snoozed_until",
        "resolved", "updated",
    )  # fmt: skip
    out: dict[str, Any] = {
        name: getattr(view, name)
        for name in (
            "id", "title", "summary", "next", "severity", "state", "team", "alert_names",
            "silent_because", "acknowledged_by", "resolved_by", "revision", "seen_by",
            "mitigated_by", "merged_into", "service",
        )
    }  # fmt: skip
    out["hosts"] = view.hosts[:_HOSTS_SHOWN_MAX]
    out["hosts_count"] = len(view.hosts)
    for name in times:
        out[f"{name}_at"] = seconds(getattr(view, f"{name}_ms"))
    uk = view.words.get("uk", {})
    for name in ("title", "summary", "next"):
        out[f"{name}_uk"] = uk.get(name, "")
    out["silent_because_uk"] = uk.get("silent_because", "") if view.silent_because else ""
    out["priority"] = priority
    out["cause"] = cause and {
        "change": cause.change,
        "title": cause.change_title,
        "score": cause.score,
        "judged": cause.judged,
        "began_at": seconds(cause.began_ms),
    }
    return out


def detail_of(ledger: Ledger, id_: int) -> dict[str, Any]:
    """One incident with its timeline and alerts. Raises NotFoundError."""
    with ledger.read() as connection:
        try:
            view = get_incident(connection, id_)
        except NoSuchIncident as fault:
            raise NotFoundError(sentence(fault)) from None
        timeline = get_timeline(connection, id_)
        members = get_members(connection, id_)
        cause = likely_cause(connection, id_)
    undone = {e.data.get("event") for e in timeline if e.kind == "undone"}
    return {
        **incident_view(view, cause=cause),
        "timeline": [
            {
                "id": e.id,
                "at": seconds(e.at_ms),
                "kind": e.kind,
                "actor": e.actor,
                "text": e.text,
                "data": e.data,
                "undoable": e.kind in UNDO and e.id not in undone,
            }
            for e in timeline
        ],
        "alerts": [
            {
                "name": m.alert_name,
                "host": m.host,
                "severity": m.severity.value,
                "state": m.state,
                "fingerprint": m.fingerprint,
                "labels": m.labels,
                "annotations": m.annotations,
                "silent_because": m.silent_because,
                "silent_because_uk": m.silent_because_uk,
                "first_at": seconds(m.first_ms),
                "changed_at": seconds(m.changed_ms),
            }
            for m in members
        ],
    }


def sentence(fault: Exception) -> str:
    """An error's text as a sentence."""
    text = str(fault)
    return f"{text[:1].upper()}{text[1:]}."
