"""What has changed when: the marks that charts carry. Reads rows; what they mean is pure.

Of a host: when each change came to it, and what was changed elsewhere that concerns it. Of the
fleet: when changes and their waves began, were held, went back, and what was changed elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select

from vezha.delivery.change import Kind
from vezha.delivery.limits import MARKS_MAX, MARKS_READ_MAX
from vezha.ledger.tables import attempt, change, change_event, host, rollout

EVENTS = ("started", "wave", "held", "resumed", "reverting", "reverted", "aborted", "done")
"""Lines of a change's timeline that a chart of the fleet carries."""
CHANGE, EXTERNAL, RESTART = "change", "external", "restart"


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment. `what` is the event (`started`, `wave` …), or an attempt's state; `until_ms` the
    end of what lasted; `hosts` how many it concerned, 0 where that is not known."""

    at_ms: int
    kind: str
    what: str
    title: str
    text: str = ""
    change: int = 0
    until_ms: int | None = None
    hosts: int = 0


def read_marks(connection: Connection, start_ms: int, end_ms: int, name: str = "") -> list[Mark]:
    """Marks between two instants, the oldest first; of the host *name*, or of the fleet. Of more
    than `MARKS_MAX` the newest ones."""
    own = (
        _of_host(connection, name, start_ms, end_ms)
        if name
        else _of_fleet(connection, start_ms, end_ms)
    )
    found = own + _elsewhere(connection, name, start_ms, end_ms)
    return sorted(found, key=lambda mark: (mark.at_ms, mark.change))[-MARKS_MAX:]


def _of_host(connection: Connection, name: str, start_ms: int, end_ms: int) -> list[Mark]:
    rows = connection.execute(
        select(attempt.c.offered_ms, attempt.c.state, change.c.id, change.c.title)
        .join(rollout, rollout.c.id == attempt.c.rollout_id)
        .join(change, change.c.id == rollout.c.change_id)
        .where(attempt.c.host == name, attempt.c.offered_ms.between(start_ms, end_ms))
        .order_by(attempt.c.offered_ms.desc())
        .limit(MARKS_MAX)
    )
    return [Mark(r.offered_ms, CHANGE, r.state, r.title, change=r.id, hosts=1) for r in rows]


def _of_fleet(connection: Connection, start_ms: int, end_ms: int) -> list[Mark]:
    rows = connection.execute(
        select(change_event.c.at_ms, change_event.c.kind, change_event.c.text, change.c.id,
               change.c.title, change.c.hosts)
        .join(change, change.c.id == change_event.c.change_id)
        .where(
            change_event.c.at_ms.between(start_ms, end_ms), change_event.c.kind.in_(EVENTS),
            change.c.kind != Kind.EXTERNAL.value,
        )
        .order_by(change_event.c.at_ms.desc())
        .limit(MARKS_MAX)
    )  # fmt: skip
    return [
        Mark(r.at_ms, CHANGE, r.kind, r.title, r.text, r.id, hosts=len(r.hosts or ())) for r in rows
    ]


def _elsewhere(connection: Connection, name: str, start_ms: int, end_ms: int) -> list[Mark]:
    labels: Mapping[str, str] = {}
    if name:
        row = connection.execute(select(host.c.labels).where(host.c.name == name)).first()
        labels = {} if row is None else dict(row.labels)
    rows = connection.execute(
        select(change)
        .where(
            change.c.kind == Kind.EXTERNAL.value, change.c.began_ms <= end_ms,
            or_(change.c.began_ms >= start_ms, change.c.ended_ms >= start_ms),
        )
        .order_by(change.c.began_ms.desc())
        .limit(MARKS_READ_MAX)
    )  # fmt: skip
    return [
        Mark(r.began_ms, EXTERNAL, r.outcome or r.state, r.title, r.why, r.id, r.ended_ms,
             len(r.hosts or ()))
        for r in rows
        if not name or concerns(r.hosts or (), dict(r.labels or {}), name, labels)
    ]  # fmt: skip


def concerns(
    hosts: Any, said: Mapping[str, str], name: str, labels: Mapping[str, str]
) -> bool:  # fmt: skip
    """Whether a change made elsewhere concerns a host: it names the host; or it names none, and
    no label of it that the host has, too, says otherwise."""
    if hosts:
        return name in hosts
    return all(labels.get(key, value) == value for key, value in said.items())
