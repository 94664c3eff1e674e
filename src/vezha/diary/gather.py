"""Gathers a week's facts: from the ledger's rows, and by a few questions to the query room.

Reads only. What the query room does not answer becomes a line "not known this time" and never a
zero. The instant that is asked for is the end of the week, or now while it lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, or_, select

from vezha.alerting.ask import Ask
from vezha.alerting.errors import EvaluationError
from vezha.delivery.figures import read_delivered
from vezha.delivery.figures import summarise as summarise_delivery
from vezha.diary.facts import (
    ChangeFact,
    DeliveryFact,
    DueFact,
    HostFact,
    IncidentFact,
    LoadFact,
    RuleFact,
    TimesFact,
    WeekFacts,
)
from vezha.diary.limits import (
    CHANGES_READ_MAX,
    COMPLETE_RATIO,
    INCIDENTS_READ_MAX,
    LISTED_MAX,
    SOON_S,
    SUSPECTED_SHARE,
)
from vezha.diary.week import Week, week_before
from vezha.incidents.cause import CAUSED, NOT_CAUSED, caused_by_people
from vezha.incidents.times import read_incidents
from vezha.incidents.times import summarise as summarise_times
from vezha.ledger.tables import (
    attempt,
    blame,
    change,
    checklist_run,
    freeze,
    host,
    incident,
    quarantine,
    rollout,
    scenario_round,
    scenario_version,
)
from vezha.model.labels import INSTANCE, Labels, get_label
from vezha.scenario.round import unused

_WEEK_S = 7 * 86_400
COMPLETENESS = "avg_over_time(vezha_agent_completeness_ratio[7d:1h])"
PREDICTABILITY = 'avg_over_time(vezha_load_predictability{instance!=""}[7d:1h])'
_DUE: tuple[tuple[str, str, str], ...] = (
    ("certificate", "min by (instance) (vezha_check_certificate_expiry_timestamp_seconds) - time()",
     INSTANCE),
    ("domain", "min by (instance) (vezha_check_domain_expiry_timestamp_seconds) - time()", INSTANCE),
    ("trust", "min by (role) (vezha_trust_expires_seconds{role=~'root|targets'})", "role"),
    ("disk", "min by (instance, mountpoint) (vezha_disk_full_forecast_seconds)", "mountpoint"),
)  # fmt: skip
"""Kind, expression of the seconds that are left, and the label that names the thing."""


def gather(
    connection: Connection, ask: Ask | None, week: Week, now_ms: int, time_zone: str = "UTC"
) -> WeekFacts:
    """The facts of *week* as of *now_ms*. *ask* is None where no samples can be asked for."""
    until_ms = min(week.end_ms, max(now_ms, week.begin_ms))
    incidents = _incidents(connection, week, until_ms)
    samples = _Samples(ask, until_ms)
    caused = caused_by_people(connection)
    before = week_before(week, time_zone)
    names = set(connection.execute(select(host.c.name)).scalars())
    ill = _hosts_with_incidents(connection, week, until_ms)
    completeness = samples.by(COMPLETENESS, INSTANCE)
    loads = samples.loads()
    return WeekFacts(
        week=week.name,
        begin_ms=week.begin_ms,
        end_ms=week.end_ms,
        made_ms=now_ms,
        time_zone=time_zone,
        hosts=len(names),
        hosts_with_incidents=len(ill & names),
        hosts_new=_hosts_new(connection, week),
        changes=_changes(connection, week, until_ms),
        planned=_planned(connection, until_ms),
        incidents=incidents,
        rules=_rules(incidents, week),
        times=_times(connection, week),
        times_before=_times(connection, before),
        delivery=_delivery(connection, week, caused),
        delivery_before=_delivery(connection, before, caused),
        incomplete=[
            HostFact(name, round(ratio, 6))
            for name, ratio in sorted(completeness.items(), key=lambda pair: pair[1])
            if ratio < COMPLETE_RATIO
        ],
        completeness=min(completeness.values(), default=None),
        loads=loads,
        predictability=_median([one.predictability for one in loads]),
        due=samples.due(),
        freezes=_freezes(connection, until_ms),
        checklists_done=_checklists_done(connection, week),
        checklists_open=_checklists_open(connection, until_ms),
        rounds_done=_rounds_done(connection, week),
        unused_scenarios=_unused_scenarios(connection, week, until_ms),
        quarantined=_quarantined(connection, week),
        unknown=["samples"] if samples.failed else [],
    )


# samples --------------------------------------------------------------------------------------------


class _Samples:
    """Questions to the query room; the first that fails ends the asking."""

    def __init__(self, ask: Ask | None, at_ms: int) -> None:
        self._ask = ask
        self._at_ms = at_ms
        self.failed = ask is None

    def _vector(self, expr: str) -> list[tuple[Labels, float]]:
        if self._ask is None or self.failed:
            return []
        try:
            labels, values = self._ask(expr, self._at_ms)
        except EvaluationError:
            self.failed = True
            return []
        return [
            (one, float(value))
            for one, value in zip(labels, values, strict=True)
            if np.isfinite(value)
        ]

    def by(self, expr: str, label: str) -> dict[str, float]:
        return {get_label(one, label): value for one, value in self._vector(expr)}

    def loads(self) -> list[LoadFact]:
        found = self._vector(PREDICTABILITY)
        return [
            LoadFact(get_label(one, INSTANCE), get_label(one, "resource"), round(value, 3))
            for one, value in found
        ]

    def due(self) -> list[DueFact]:
        found = []
        for kind, expr, label in _DUE:
            for one, left_s in self._vector(expr):
                if left_s <= SOON_S:
                    place = get_label(one, INSTANCE) if label != INSTANCE else ""
                    found.append(DueFact(kind, get_label(one, label), place, round(left_s)))
        return sorted(found, key=lambda due: due.in_s)[: 4 * LISTED_MAX]


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 3) if values else None


# rows -----------------------------------------------------------------------------------------------


def _incidents(connection: Connection, week: Week, until_ms: int) -> list[IncidentFact]:
    rows = connection.execute(
        select(incident)
        .where(
            incident.c.merged_into.is_(None),
            incident.c.detected_ms < until_ms,
            or_(
                incident.c.detected_ms >= week.begin_ms,
                incident.c.resolved_ms.is_(None),
                incident.c.resolved_ms >= until_ms,
            ),
        )
        .order_by(incident.c.id)
        .limit(INCIDENTS_READ_MAX)
    ).all()
    blamed = _blamed(connection, [row.id for row in rows])
    return [
        IncidentFact(
            id=row.id,
            title=row.title,
            title_uk=row.words.get("uk", {}).get("title", ""),
            severity=row.severity,
            team=row.team,
            # as it stood at the end of the week, not as it stands when the page is made
            state="open" if _open_at(row, until_ms) else "resolved",
            hosts=len(row.hosts),
            began_ms=row.began_ms,
            detected_ms=row.detected_ms,
            acknowledged_ms=row.acknowledged_ms,
            resolved_ms=None if _open_at(row, until_ms) else row.resolved_ms,
            alert_names=list(row.alert_names),
            caused_by=blamed.get(row.id, (None, None))[0],
            suspected=blamed.get(row.id, (None, None))[1],
        )
        for row in rows
    ]


def _open_at(row: Any, at_ms: int) -> bool:
    return row.resolved_ms is None or row.resolved_ms >= at_ms


def _blamed(connection: Connection, ids: list[int]) -> Mapping[int, tuple[int | None, int | None]]:
    """By incident: the change that people named, and the likeliest that nobody judged."""
    out: dict[int, tuple[int | None, int | None]] = {}
    for at in range(0, len(ids), 500):
        rows = connection.execute(
            select(blame)
            .where(blame.c.incident_id.in_(ids[at : at + 500]), blame.c.judged != NOT_CAUSED)
            .order_by(blame.c.incident_id, blame.c.score)
        )
        for row in rows:
            caused, suspected = out.get(row.incident_id, (None, None))
            if row.judged == CAUSED:
                caused = row.change_id
            elif row.score >= SUSPECTED_SHARE:
                suspected = row.change_id
            out[row.incident_id] = (caused, suspected)
    return out


def _hosts_with_incidents(connection: Connection, week: Week, until_ms: int) -> set[str]:
    rows = connection.execute(
        select(incident.c.hosts).where(
            incident.c.detected_ms < until_ms,
            or_(incident.c.resolved_ms.is_(None), incident.c.resolved_ms >= week.begin_ms),
        )
    ).scalars()
    return {name for names in rows for name in names}


def _hosts_new(connection: Connection, week: Week) -> list[str]:
    rows = connection.execute(
        select(host.c.name)
        .where(host.c.created_ms >= week.begin_ms, host.c.created_ms < week.end_ms)
        .order_by(host.c.name)
    )
    return list(rows.scalars())


def _changes(connection: Connection, week: Week, until_ms: int) -> list[ChangeFact]:
    rows = connection.execute(
        select(change)
        .where(
            change.c.began_ms.is_not(None),
            change.c.began_ms < until_ms,
            or_(change.c.ended_ms.is_(None), change.c.ended_ms >= week.begin_ms),
            change.c.outcome != "cancelled",
        )
        .order_by(change.c.id)
        .limit(CHANGES_READ_MAX)
    ).all()
    return [_fact(connection, row, until_ms) for row in rows]


def _planned(connection: Connection, until_ms: int) -> list[ChangeFact]:
    rows = connection.execute(
        select(change)
        .where(
            change.c.state == "planned",
            change.c.began_ms.is_(None),
            change.c.created_ms <= until_ms,
        )
        .order_by(change.c.id)
        .limit(2 * LISTED_MAX)
    ).all()
    return [_fact(connection, row, until_ms) for row in rows]


def _fact(connection: Connection, row: Any, until_ms: int) -> ChangeFact:
    ended = row.ended_ms is not None and row.ended_ms < until_ms
    hosts = len(row.hosts)
    if row.kind != "external":
        of_change = select(rollout.c.id).where(rollout.c.change_id == row.id)
        counted = select(func.count(func.distinct(attempt.c.host_id))).where(
            attempt.c.rollout_id.in_(of_change), attempt.c.offered_ms.is_not(None)
        )
        hosts = connection.execute(counted).scalar_one()
    return ChangeFact(
        id=row.id,
        title=row.title,
        kind=row.kind,
        state=row.state,
        outcome={"failure": "failed", "reverted": "rolled_back"}.get(row.outcome, row.outcome)
        if ended
        else "",
        owner=row.owner,
        hosts=hosts,
        began_ms=row.began_ms,
        ended_ms=row.ended_ms if ended else None,
        reason=row.reason,
    )


def _rules(incidents: Iterable[IncidentFact], week: Week) -> list[RuleFact]:
    """Of incidents detected in the week: by rule, how many there were and how many were taken."""
    by_name: dict[str, list[IncidentFact]] = {}
    for one in incidents:
        if week.holds(one.detected_ms):
            for name in one.alert_names:
                by_name.setdefault(name, []).append(one)
    return [
        RuleFact(
            name,
            len(found),
            sum(i.acknowledged_ms is not None for i in found),
            [i.id for i in found][: 2 * LISTED_MAX],
        )
        for name, found in sorted(by_name.items())
    ]


def _times(connection: Connection, week: Week) -> TimesFact:
    found = [i for i in read_incidents(connection, week.begin_ms) if week.holds(i.detected_ms)]
    rows = summarise_times(found, ())
    if not rows:
        return TimesFact()
    [row] = rows
    return TimesFact(
        row.incidents, row.detection.median_s, row.acknowledge.median_s, row.recovery.median_s
    )


def _delivery(connection: Connection, week: Week, caused: Mapping[int, int | None]) -> DeliveryFact:
    found = read_delivered(connection, week.begin_ms, week.end_ms, caused)
    rows = summarise_delivery(found, (), 7.0)
    if not rows:
        return DeliveryFact()
    [row] = rows
    return DeliveryFact(
        row.changes, row.lead_time_s, row.failed_ratio, row.failed_recovery_s, row.rework_ratio
    )


def _freezes(connection: Connection, until_ms: int) -> list[str]:
    soon_ms = until_ms + _WEEK_S * 1000
    rows = connection.execute(
        select(freeze.c.name)
        .where(
            freeze.c.kind == "freeze",
            freeze.c.starts_ms < soon_ms,
            freeze.c.ends_ms > until_ms,
            freeze.c.ended_by.is_(None),
        )
        .order_by(freeze.c.starts_ms)
        .limit(LISTED_MAX)
    )
    return list(rows.scalars())


def _checklists_done(connection: Connection, week: Week) -> int:
    done = select(func.count()).where(
        checklist_run.c.state == "done",
        checklist_run.c.finished_ms >= week.begin_ms,
        checklist_run.c.finished_ms < week.end_ms,
    )
    return connection.execute(done).scalar_one()


def _checklists_open(connection: Connection, until_ms: int) -> int:
    still = select(func.count()).where(
        checklist_run.c.started_ms < until_ms,
        or_(checklist_run.c.finished_ms.is_(None), checklist_run.c.finished_ms >= until_ms),
    )
    return connection.execute(still).scalar_one()


def _rounds_done(connection: Connection, week: Week) -> int:
    """Rounds that people signed, and those that the server played and found as expected."""
    done = select(func.count()).where(
        scenario_round.c.ended_ms >= week.begin_ms,
        scenario_round.c.ended_ms < week.end_ms,
        scenario_round.c.state.in_(("signed", "expected")),
    )
    return connection.execute(done).scalar_one()


def _unused_scenarios(connection: Connection, week: Week, until_ms: int) -> list[str]:
    """Scenarios that were used once, but not of late; what was never tried is no news."""
    names = connection.execute(
        select(scenario_version.c.name)
        .where(scenario_version.c.first_ms < week.begin_ms)
        .distinct()
    ).scalars()
    return unused(connection, list(names), until_ms)[:LISTED_MAX]


def _quarantined(connection: Connection, week: Week) -> list[str]:
    rows = connection.execute(
        select(quarantine.c.target, quarantine.c.sha256)
        .where(
            quarantine.c.at_ms >= week.begin_ms,
            quarantine.c.at_ms < week.end_ms,
            quarantine.c.lifted_ms.is_(None),
        )
        .distinct()
        .limit(LISTED_MAX)
    )
    return list(dict.fromkeys(row.target or row.sha256[:12] for row in rows))
