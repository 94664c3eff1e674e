"""What people make of signals: which are acted on, how fast, and which nobody ever acts on.

An incident is *told* when a message about it left, and *acted on* when a person did anything to it but
look: took it, wrote, put it off, closed, merged or split it, did a checklist. A signal (an alert's name) has the
incidents that began with it. Its `score`, 0 to 1, is the share that was acted on, drawn to one half
while there are few, times how fast (an action within SPEED_MS counts whole, one after four times that
a fifth). Signals that were told often and never acted on are candidates for removal, each with its evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, select

from vezha.incidents.case import SYSTEM
from vezha.incidents.limits import (
    USAGE_INCIDENTS_MAX,
    USAGE_SPEED_MS,
    USAGE_TOLD_MIN,
    USAGE_WINDOW_MS,
)
from vezha.ledger.tables import incident, incident_alert, incident_event

SCORE_UNKNOWN = 0.5


@dataclass(frozen=True, slots=True)
class Handled:
    """One incident that was told: its signal, and after how many ms somebody acted, or None."""

    alert: str
    acted_after_ms: int | None
    ended_alone: bool
    lasted_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """One signal. Seconds; None where nothing is known."""

    alert: str
    told: int
    acted: int
    ended_alone: int
    median_acted_s: float | None
    median_lasted_s: float | None
    score: float

    @property
    def evidence(self) -> str:
        """Why it may go, or stay, as a person reads it."""
        if not self.acted:
            alone = f"; {self.ended_alone} of them ended by themselves" if self.ended_alone else ""
            return f"told {self.told} times, nobody ever acted on it{alone}"
        fast = (
            "" if self.median_acted_s is None else f", {_spoken(self.median_acted_s)} in the middle"
        )
        return f"told {self.told} times, acted on {self.acted} times{fast}"


@dataclass(slots=True)
class _Row:
    alert: str
    detected_ms: int
    resolved_ms: int | None
    resolved_by: str | None
    acts: list[int] = field(default_factory=list)


def read_handled(connection: Connection, since_ms: int, until_ms: int) -> list[Handled]:
    """Incidents that were detected in that span and told."""
    rows = connection.execute(
        select(
            incident.c.id,
            incident.c.alert_names,
            incident.c.detected_ms,
            incident.c.resolved_ms,
            incident.c.resolved_by,
        )
        .where(
            incident.c.detected_ms >= since_ms,
            incident.c.detected_ms < until_ms,
            incident.c.notified_ms.is_not(None),
        )
        .order_by(incident.c.id.desc())
        .limit(USAGE_INCIDENTS_MAX)
    ).all()
    found = {r.id: _Row("", r.detected_ms, r.resolved_ms, r.resolved_by) for r in rows}
    names = {r.id: r.alert_names for r in rows}
    ids = sorted(found)
    for at in range(0, len(ids), 500):
        part = ids[at : at + 500]
        first = connection.execute(
            select(
                incident_alert.c.incident_id, incident_alert.c.alert_name, incident_alert.c.first_ms
            )
            .where(incident_alert.c.incident_id.in_(part))
            .order_by(incident_alert.c.first_ms.desc(), incident_alert.c.fingerprint)
        )
        for row in first:  # the earliest comes last
            found[row.incident_id].alert = row.alert_name
        acts = connection.execute(
            select(incident_event.c.incident_id, incident_event.c.at_ms).where(
                incident_event.c.incident_id.in_(part),
                incident_event.c.actor != SYSTEM,
                incident_event.c.kind.not_in(("seen", "opened")),
            )
        )
        for id_, at_ms in acts:
            found[id_].acts.append(at_ms)
    out = []
    for id_, one in found.items():
        alert = one.alert or next(iter(names[id_]), "")
        if not alert:
            continue
        acted = max(0, min(one.acts) - one.detected_ms) if one.acts else None
        alone = one.resolved_ms is not None and one.resolved_by == SYSTEM and not one.acts
        lasted = None if one.resolved_ms is None else max(0, one.resolved_ms - one.detected_ms)
        out.append(Handled(alert, acted, alone, lasted))
    return out


def summarise(handled: Iterable[Handled]) -> list[Usage]:
    """By signal, the best score first."""
    by_alert: dict[str, list[Handled]] = {}
    for one in handled:
        by_alert.setdefault(one.alert, []).append(one)
    out = [_usage(alert, rows) for alert, rows in by_alert.items()]
    return sorted(out, key=lambda u: (-u.score, u.alert))


def unused(usages: Sequence[Usage]) -> list[Usage]:
    """Candidates for removal: told often, never acted on; the most often told first."""
    found = [u for u in usages if u.told >= USAGE_TOLD_MIN and not u.acted]
    return sorted(found, key=lambda u: (-u.told, u.alert))


def read_usage(
    connection: Connection, now_ms: int, window_ms: int = USAGE_WINDOW_MS
) -> list[Usage]:
    """The usage of the window that ends now."""
    return summarise(read_handled(connection, now_ms - window_ms, now_ms + 1))


def score_of(alert_names: Iterable[str], scores: Mapping[str, float]) -> float:
    """How much an incident's signals are worth attention: the best of them."""
    return max((scores.get(name, SCORE_UNKNOWN) for name in alert_names), default=SCORE_UNKNOWN)


def _usage(alert: str, rows: Sequence[Handled]) -> Usage:
    acted = [r.acted_after_ms for r in rows if r.acted_after_ms is not None]
    lasted = [r.lasted_ms for r in rows if r.lasted_ms is not None]
    share = (len(acted) + 1) / (len(rows) + 2)
    speed = 1.0
    if acted:
        speed = min(1.0, 1 / (1 + max(0.0, float(np.median(acted)) / USAGE_SPEED_MS - 1)))
        speed = max(0.2, speed)
    return Usage(
        alert,
        len(rows),
        len(acted),
        sum(r.ended_alone for r in rows),
        _median_s(acted),
        _median_s(lasted),
        round(share * speed, 4),
    )


def _median_s(values_ms: Sequence[int]) -> float | None:
    return round(float(np.median(values_ms)) / 1000, 3) if values_ms else None


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"after {seconds:.0f} s"
    return f"after {seconds / 60:.0f} min" if seconds < 7200 else f"after {seconds / 3600:.0f} h"
