"""How long detection, response and recovery take: by week, team, service or severity.

Detection runs from the beginning of the trouble (`began`) to the first alert (`detected`), the
acknowledgement from there to the person who took it, mitigation from the beginning until the harm
was over (for want of better, the end), recovery from the beginning to the end. An
incident counts in the week (ISO, UTC) in which it was detected; what has not happened yet, or
never did, is left out of that figure and not taken for zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from sqlalchemy import Connection, select

from vezha.incidents.errors import OperatorError
from vezha.incidents.limits import TIMES_INCIDENTS_MAX, TIMES_SERIES_GROUPS_MAX
from vezha.ledger.tables import incident
from vezha.model.labels import Labels, metric

BY = ("week", "team", "service", "severity")
OWN = "vezha-server"
BY_DEFAULT = ("week", "team", "severity")


@dataclass(frozen=True, slots=True)
class Incident:
    """What counts of one incident. Times in ms."""

    team: str
    severity: str
    began_ms: int
    detected_ms: int
    acknowledged_ms: int | None
    resolved_ms: int | None
    mitigated_ms: int | None = None
    service: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """How *count* durations are spread, in seconds; None where there are none."""

    count: int
    median_s: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """One row: incidents that share what was asked *by* (the other names are empty)."""

    week: str
    team: str
    service: str
    severity: str
    incidents: int
    detection: Spread
    acknowledge: Spread
    mitigation: Spread
    recovery: Spread


def read_incidents(connection: Connection, since_ms: int) -> list[Incident]:
    """Incidents detected since then, the newest TIMES_INCIDENTS_MAX of them."""
    columns = [incident.c[name] for name in Incident.__dataclass_fields__]
    rows = connection.execute(
        select(*columns)
        .where(incident.c.detected_ms >= since_ms, incident.c.merged_into.is_(None))
        .order_by(incident.c.id.desc())
        .limit(TIMES_INCIDENTS_MAX)
    )
    return [Incident(*row) for row in rows]


def summarise(incidents: Iterable[Incident], by: Sequence[str] = BY_DEFAULT) -> list[Times]:
    """A row for each combination of *by*, the newest week first. Raises OperatorError."""
    unknown = [name for name in by if name not in BY]
    if unknown:
        raise OperatorError(f'"{unknown[0]}" is not known; use {", ".join(BY)}')
    groups: dict[tuple[str, str, str, str], list[Incident]] = {}
    for one in incidents:
        whole = (week_of(one.detected_ms), one.team, one.service, one.severity)
        week, team, service, severity = (
            value if name in by else "" for name, value in zip(BY, whole, strict=True)
        )
        groups.setdefault((week, team, service, severity), []).append(one)
    newest_first = sorted(sorted(groups), key=lambda key: key[0], reverse=True)
    return [_times(key, groups[key]) for key in newest_first]


def series_of(incidents: Iterable[Incident]) -> list[tuple[Labels, float]]:
    """The times of some incidents as samples: by team and service, median and 95th percentile."""
    rows = summarise(incidents, ("team", "service"))
    out: list[tuple[Labels, float]] = []
    for row in sorted(rows, key=lambda r: -r.incidents)[:TIMES_SERIES_GROUPS_MAX]:
        whose = {"team": row.team, "service": row.service, "instance": OWN, "job": "vezha"}
        out.append((metric("vezha_incidents_week", **whose), float(row.incidents)))
        stages = (
            ("detection", row.detection), ("response", row.acknowledge),
            ("mitigation", row.mitigation), ("recovery", row.recovery),
        )  # fmt: skip
        for stage, spread in stages:
            for quantile, value in (("0.5", spread.median_s), ("0.95", spread.p95_s)):
                if value is not None:
                    labels = metric(
                        "vezha_incident_time_seconds", stage=stage, quantile=quantile, **whose
                    )
                    out.append((labels, value))
    return out


def week_of(at_ms: int) -> str:
    """The ISO week in UTC: `2026-W48`."""
    year, week, _ = datetime.fromtimestamp(at_ms / 1000, timezone.utc).isocalendar()
    return f"{year}-W{week:02d}"


def _times(key: tuple[str, str, str, str], incidents: Sequence[Incident]) -> Times:
    taken = [i for i in incidents if i.acknowledged_ms is not None]
    eased = [
        (i.mitigated_ms if i.mitigated_ms is not None else i.resolved_ms, i.began_ms)
        for i in incidents
    ]
    over = [i for i in incidents if i.resolved_ms is not None]
    return Times(
        *key,
        len(incidents),
        _spread([i.detected_ms - i.began_ms for i in incidents]),
        _spread([(i.acknowledged_ms or 0) - i.detected_ms for i in taken]),
        _spread([at_ms - began_ms for at_ms, began_ms in eased if at_ms is not None]),
        _spread([(i.resolved_ms or 0) - i.began_ms for i in over]),
    )


def _spread(durations_ms: Sequence[int]) -> Spread:
    if not durations_ms:
        return Spread(0, None, None)
    # a beginning that the sender's clock puts after its detection took no time
    seconds = np.maximum(np.asarray(durations_ms, np.float64), 0.0) / 1000
    median, p95 = np.percentile(seconds, (50, 95))
    return Spread(len(durations_ms), round(float(median), 3), round(float(p95), 3))
