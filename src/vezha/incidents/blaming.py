"""`Blamer`: holds each live incident against the changes of its time, and keeps the result.

Idempotent: a step looks at incidents that are open, or ended a little while ago, and writes only
what is different. Shifts of load are asked of the store once for each change and set of hosts;
where the store does not answer, time and place alone decide. What a person judged is never
touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from vezha.incidents.blame import Blame, Shift, Suspect, Trouble, rank, sentence
from vezha.incidents.cause import UNJUDGED
from vezha.incidents.limits import (
    BLAME_FOLLOWED_MS,
    BLAME_LISTED_MAX,
    BLAME_SUSPECTS_MAX,
    BLAME_TOLD_SHARE,
    BLAME_WINDOW_MS,
    SHIFT_AFTER_MS,
    SHIFT_AGAIN_MS,
    SHIFTS_ASKED_MAX,
    SHIFTS_KEPT_MAX,
)
from vezha.incidents.shift import AskRange, measure
from vezha.incidents.state import State
from vezha.ledger import Ledger
from vezha.ledger.tables import (
    attempt,
    blame,
    change,
    host,
    incident,
    incident_alert,
    incident_event,
)
from vezha.world import World

log = structlog.get_logger("vezha.blame")

_NEVER_MS = 1 << 62


class Blamer:
    """Blame over one ledger. *ask* asks the store for a range, or is None where there is none."""

    def __init__(self, ledger: Ledger, world: World, ask: AskRange | None = None) -> None:
        self._ledger = ledger
        self._world = world
        self._ask = ask
        self._shifts: dict[tuple[int, int], tuple[Shift | None, int]] = {}
        self._seen: tuple[Any, ...] = ()

    def step(self) -> int:
        """Bring blame up to date; how many incidents changed. Blocks."""
        now_ms = int(self._world.clock.now() * 1000)
        with self._ledger.read() as connection:
            seen = _newest(connection, now_ms)
            if seen == self._seen:
                return 0
            troubles = read_troubles(connection, now_ms)
            fleet = connection.execute(select(func.count()).select_from(host)).scalar_one()
            suspects = read_suspects(connection, troubles, now_ms)
        changed = 0
        for trouble in troubles:
            shifts = self._shifts_of(trouble, suspects, fleet, now_ms)
            ranked = rank(trouble, suspects, fleet, shifts)[:BLAME_LISTED_MAX]
            with self._ledger.begin() as connection:
                changed += write_blame(connection, trouble.id, ranked, now_ms)
        self._seen = seen
        return changed

    def _shifts_of(
        self, trouble: Trouble, suspects: Sequence[Suspect], fleet: int, now_ms: int
    ) -> Mapping[int, Shift]:
        """Shifts of the few changes that count by time and place; the store is asked for no other."""
        if self._ask is None:
            return {}
        likely = [one.change for one in rank(trouble, suspects, fleet)[:SHIFTS_ASKED_MAX]]
        found: dict[int, Shift] = {}
        for suspect in suspects:
            came = {h: at for h, at in suspect.hosts.items() if h in trouble.hosts}
            if not came or suspect.id not in likely:
                continue
            key = (suspect.id, hash(frozenset(came.items())))
            known = self._shifts.get(key)
            if known is None or now_ms >= known[1]:
                over_ms = max(came.values()) + SHIFT_AFTER_MS
                # until the minutes after are over the next look may see more
                again_ms = now_ms + SHIFT_AGAIN_MS if now_ms < over_ms else _NEVER_MS
                if len(self._shifts) >= SHIFTS_KEPT_MAX:
                    self._shifts.clear()
                known = self._shifts[key] = (self._measured(came, now_ms), again_ms)
            if known[0] is not None:
                found[suspect.id] = known[0]
        return found

    def _measured(self, came: Mapping[str, int], now_ms: int) -> Shift | None:
        assert self._ask is not None
        try:
            return measure(self._ask, came, now_ms)
        except Exception as fault:
            # whatever the store says, an incident is blamed by time and place all the same
            log.warning("shift_unknown", error=str(fault)[:200])
            return None


def _newest(connection: Connection, now_ms: int) -> tuple[Any, ...]:
    """Changes with whatever a step depends on; the minute, so that shifts come in."""
    return (
        connection.execute(select(func.max(incident.c.updated_ms))).scalar(),
        connection.execute(select(func.count()).select_from(incident)).scalar(),
        connection.execute(select(func.max(change.c.updated_ms))).scalar(),
        connection.execute(select(func.max(attempt.c.updated_ms))).scalar(),
        now_ms // 60_000 if _is_live(connection) else 0,
    )


def _is_live(connection: Connection) -> bool:
    query = select(incident.c.id).where(incident.c.state != State.RESOLVED.value).limit(1)
    return connection.execute(query).first() is not None


def read_troubles(connection: Connection, now_ms: int) -> list[Trouble]:
    """Incidents that are open or ended within BLAME_FOLLOWED_MS."""
    rows = connection.execute(
        select(incident).where(
            incident.c.merged_into.is_(None),
            or_(
                incident.c.state != State.RESOLVED.value,
                incident.c.resolved_ms >= now_ms - BLAME_FOLLOWED_MS,
            ),
        )
    ).all()
    labels = {row.name: dict(row.labels) for row in connection.execute(select(host))}
    return [_trouble(connection, row, labels) for row in rows]


def _trouble(connection: Connection, row: Any, labels: Mapping[str, Mapping[str, str]]) -> Trouble:
    members = connection.execute(
        select(incident_alert.c.host, incident_alert.c.first_ms, incident_alert.c.labels).where(
            incident_alert.c.incident_id == row.id
        )
    ).all()
    lead_ms = max(0, row.detected_ms - row.began_ms)
    hosts: dict[str, int] = {}
    shared: dict[str, str] | None = None
    for member in members:
        if member.host:
            began_ms = member.first_ms - lead_ms
            hosts[member.host] = min(hosts.get(member.host, began_ms), began_ms)
        whole = {**labels.get(member.host, {}), **member.labels}
        if shared is None:
            shared = whole
        else:
            shared = {n: v for n, v in shared.items() if whole.get(n) == v}
    return Trouble(row.id, row.began_ms, hosts, shared or {})


def read_suspects(
    connection: Connection, troubles: Iterable[Trouble], now_ms: int
) -> list[Suspect]:
    """Changes that ran within BLAME_WINDOW_MS before any of *troubles*, the newest first."""
    earliest = min((t.began_ms for t in troubles), default=now_ms) - BLAME_WINDOW_MS
    rows = connection.execute(
        select(change)
        .where(
            change.c.began_ms.is_not(None),
            or_(change.c.ended_ms.is_(None), change.c.ended_ms >= earliest),
        )
        .order_by(change.c.began_ms.desc())
        .limit(BLAME_SUSPECTS_MAX)
    ).all()
    return [_suspect(connection, row) for row in rows]


def _suspect(connection: Connection, row: Any) -> Suspect:
    touched: dict[str, int] = {}
    if row.kind == "external":
        touched = dict.fromkeys(row.hosts, row.began_ms)
    else:
        from_rollouts = connection.execute(
            select(attempt.c.host, func.min(attempt.c.offered_ms))
            .where(
                attempt.c.rollout_id.in_(_rollouts_of(row.id)), attempt.c.offered_ms.is_not(None)
            )
            .group_by(attempt.c.host)
        )
        touched = {name: at for name, at in from_rollouts}  # noqa: C416 - rows are not pairs to mypy
    return Suspect(
        row.id,
        row.title,
        row.began_ms,
        row.ended_ms,
        touched,
        dict(row.labels),
        row.mends is not None,
    )


def _rollouts_of(change_id: int) -> Any:
    from vezha.ledger.tables import rollout

    return select(rollout.c.id).where(rollout.c.change_id == change_id)


def write_blame(
    connection: Connection, incident_id: int, ranked: Iterable[Blame], now_ms: int
) -> bool:
    """Keep *ranked* for an incident; whether anything is different."""
    known = {
        row.change_id: row
        for row in connection.execute(select(blame).where(blame.c.incident_id == incident_id))
    }
    different, wanted = False, {}
    for one in ranked:
        wanted[one.change] = one
        reasons = [{"code": r.code, "values": dict(r.values)} for r in one.reasons]
        old = known.get(one.change)
        score = round(one.score, 3)
        if old is not None and old.score == score and old.reasons == reasons:
            continue
        different = True
        where = (blame.c.incident_id == incident_id, blame.c.change_id == one.change)
        if old is None:
            connection.execute(
                insert(blame).values(
                    incident_id=incident_id, change_id=one.change, score=score, reasons=reasons,
                    judged=UNJUDGED, judged_by="", updated_ms=now_ms,
                )
            )  # fmt: skip
        else:
            connection.execute(
                update(blame).where(*where).values(score=score, reasons=reasons, updated_ms=now_ms)
            )
        if score >= BLAME_TOLD_SHARE and (old is None or old.score < BLAME_TOLD_SHARE):
            _note_suspect(connection, incident_id, one, now_ms)
    gone = [id_ for id_, row in known.items() if id_ not in wanted and not row.judged]
    if gone:
        different = True
        connection.execute(
            delete(blame).where(blame.c.incident_id == incident_id, blame.c.change_id.in_(gone))
        )
    return different


def _note_suspect(connection: Connection, incident_id: int, one: Blame, now_ms: int) -> None:
    """Once for a change: the timeline says which one explains the incident best."""
    title = connection.execute(select(change.c.title).where(change.c.id == one.change)).scalar()
    told = connection.execute(
        select(incident_event.c.data).where(
            incident_event.c.incident_id == incident_id, incident_event.c.kind == "suspect"
        )
    ).scalars()
    if any(data.get("change") == one.change for data in told):
        return
    text = f"change {one.change} ({title}): {sentence(one.reasons, 'en')}"
    connection.execute(
        insert(incident_event).values(
            incident_id=incident_id,
            at_ms=now_ms,
            kind="suspect",
            actor="vezha",
            text=text,
            data={
                "change": one.change,
                "score": round(one.score, 3),
                "reasons": [{"code": r.code, "values": dict(r.values)} for r in one.reasons],
            },
        )
    )
    connection.execute(
        update(incident)
        .where(incident.c.id == incident_id)
        .values(revision=incident.c.revision + 1, updated_ms=now_ms)
    )
