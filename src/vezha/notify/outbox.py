"""The outbox: messages as rows, from "to be sent" to "sent".

Work is claimed by a conditional UPDATE whose row count is checked, so that several senders never
take one message at a time. Messages of one receiver and thread leave in order. A sender that
dies after the provider's yes and before ours is the one way in which a message is sent twice;
`X-Vezha-Delivery`, the Message-ID and Telegram's edits make that visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from vezha.ledger.tables import alert_transition, incident, message, message_thread
from vezha.notify.limits import (
    BACKOFF_FIRST_MS,
    BACKOFF_MOST_MS,
    CLAIM_MS,
    GIVE_UP_MS,
    OUTBOX_LISTED_MAX,
    SENT_KEPT_MS,
)
from vezha.notify.message import LOUD, RINGING, Message
from vezha.notify.plan import Told
from vezha.world import Chance

WAITING, CLAIMED, SENT, FAILED, SUPERSEDED = "waiting", "claimed", "sent", "failed", "superseded"
_OPEN = (WAITING, CLAIMED)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is ours to send until the claim runs out."""

    id: int
    receiver: str
    thread: str
    kind: str
    key: str
    attempts: int
    created_ms: int
    message: Message
    reference: dict[str, Any] | None


def put(
    connection: Connection,
    receiver: str,
    thread: str,
    key: str,
    what: Message,
    now_ms: int,
    hold: tuple[int, str] | None = None,
) -> bool:
    """Keep a message to be sent; False where the same decision was kept before.

    *hold* is until when (ms) it waits in any case, and why.

    Quiet changes of the same thread that still wait are superseded: this one says more.
    """
    there = select(message.c.id).where(message.c.dedup_key == key)
    if connection.execute(there).first() is not None:
        return False
    connection.execute(
        update(message)
        .where(
            message.c.receiver == receiver,
            message.c.thread == thread,
            message.c.state == WAITING,
            message.c.kind.in_(("updated", "acknowledged", "snoozed")),
        )
        .values(state=SUPERSEDED)
    )
    connection.execute(
        insert(message).values(
            receiver=receiver,
            thread=thread,
            kind=what.kind,
            dedup_key=key,
            payload=what.to_json(),
            state=WAITING,
            attempts=0,
            next_ms=now_ms if hold is None else hold[0],
            claim="",
            claim_until_ms=0,
            created_ms=now_ms,
            error="" if hold is None else hold[1],
        )
    )
    return True


def drop_held(connection: Connection, receiver: str, thread: str, why: str) -> None:
    """What quiet hours hold of a thread is told by newer news, or was over before they ended."""
    connection.execute(
        update(message)
        .where(
            message.c.receiver == receiver,
            message.c.thread == thread,
            message.c.state == WAITING,
            message.c.error == why,
        )
        .values(state=SUPERSEDED, error=f"{why}: newer news came before they ended")
    )


def told_people(connection: Connection, thread: str, mark: str) -> list[str]:
    """People's receivers (whose names begin with *mark*) that were told of a thread."""
    rows = connection.execute(
        select(message.c.receiver)
        .where(
            message.c.thread == thread,
            message.c.receiver.startswith(mark, autoescape=True),
            message.c.kind.in_(LOUD),
        )
        .distinct()
    )
    return sorted(rows.scalars())


def fail_all(connection: Connection, receiver: str, error: str) -> int:
    """Nothing that waits for *receiver* will leave."""
    failed = connection.execute(
        update(message)
        .where(message.c.receiver == receiver, message.c.state.in_(_OPEN))
        .values(state=FAILED, claim="", error=error)
    )
    return failed.rowcount


def id_of(connection: Connection, key: str) -> int:
    """The number of the row that was put with *key*."""
    found = connection.execute(select(message.c.id).where(message.c.dedup_key == key)).scalar()
    assert found is not None, "asked for a message that was never put"
    return int(found)


def claim(connection: Connection, receiver: str, worker: str, now_ms: int) -> Claimed | None:
    """Take the oldest message of *receiver* that may leave now, or None."""
    earlier = message.alias("earlier")
    blocked = (
        select(earlier.c.id)
        .where(
            earlier.c.receiver == message.c.receiver,
            earlier.c.thread == message.c.thread,
            earlier.c.id < message.c.id,
            earlier.c.state.in_(_OPEN),
        )
        .exists()
    )
    free = or_(
        and_(message.c.state == WAITING, message.c.next_ms <= now_ms),
        and_(message.c.state == CLAIMED, message.c.claim_until_ms <= now_ms),
    )
    row = connection.execute(
        select(message)
        .where(message.c.receiver == receiver, free, ~blocked)
        .order_by(message.c.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    taken = connection.execute(
        update(message)
        .where(
            message.c.id == row.id,
            message.c.state == row.state,
            message.c.claim_until_ms == row.claim_until_ms,
        )
        .values(
            state=CLAIMED,
            claim=worker,
            claim_until_ms=now_ms + CLAIM_MS,
            attempts=row.attempts + 1,
        )
    )
    if taken.rowcount != 1:
        return None
    reference = connection.execute(
        select(message_thread.c.reference).where(
            message_thread.c.receiver == receiver, message_thread.c.thread == row.thread
        )
    ).scalar()
    return Claimed(
        row.id,
        receiver,
        row.thread,
        row.kind,
        row.dedup_key,
        row.attempts + 1,
        row.created_ms,
        Message.from_json(row.payload),
        reference,
    )


def done(
    connection: Connection,
    taken: Claimed,
    worker: str,
    reference: dict[str, Any] | None,
    note: str,
    now_ms: int,
) -> bool:
    """The provider said yes. False where the claim had run out and another has the message."""
    written = connection.execute(
        update(message)
        .where(message.c.id == taken.id, message.c.state == CLAIMED, message.c.claim == worker)
        .values(state=SENT, sent_ms=now_ms, error="", claim="", reference={"note": note})
    )
    if written.rowcount != 1:
        return False
    if reference is not None and taken.thread.startswith("incident:"):
        same = and_(
            message_thread.c.receiver == taken.receiver, message_thread.c.thread == taken.thread
        )
        connection.execute(delete(message_thread).where(same))
        connection.execute(
            insert(message_thread).values(
                receiver=taken.receiver,
                thread=taken.thread,
                reference=reference,
                updated_ms=now_ms,
            )
        )
    if taken.message.incident and taken.kind in RINGING:
        connection.execute(
            update(incident)
            .where(incident.c.id == taken.message.incident, incident.c.notified_ms.is_(None))
            .values(notified_ms=now_ms)
        )
    return True


def try_again(
    connection: Connection, taken: Claimed, worker: str, error: str, next_ms: int, now_ms: int
) -> None:
    """It did not leave: wait until *next_ms*, or give up on one that is too old."""
    gives_up = now_ms - taken.created_ms >= GIVE_UP_MS
    connection.execute(
        update(message)
        .where(message.c.id == taken.id, message.c.state == CLAIMED, message.c.claim == worker)
        .values(
            state=FAILED if gives_up else WAITING,
            next_ms=next_ms,
            claim="",
            claim_until_ms=0,
            error=f"given up: {error}" if gives_up else error,
        )
    )


def fail(connection: Connection, taken: Claimed, worker: str, error: str) -> None:
    """It will never leave."""
    connection.execute(
        update(message)
        .where(message.c.id == taken.id, message.c.state == CLAIMED, message.c.claim == worker)
        .values(state=FAILED, claim="", error=error)
    )


def release_all(connection: Connection) -> int:
    """Free every claim: only where no other sender can be alive (one machine, at its start)."""
    freed = connection.execute(
        update(message)
        .where(message.c.state == CLAIMED)
        .values(state=WAITING, claim="", claim_until_ms=0)
    )
    return freed.rowcount


def due_receivers(connection: Connection, now_ms: int) -> list[str]:
    """Receivers with something that may leave now."""
    rows = connection.execute(
        select(message.c.receiver)
        .where(
            or_(
                and_(message.c.state == WAITING, message.c.next_ms <= now_ms),
                and_(message.c.state == CLAIMED, message.c.claim_until_ms <= now_ms),
            )
        )
        .distinct()
    )
    return sorted(rows.scalars())


def told_before(connection: Connection, receiver: str, thread: str) -> Told:
    """What *receiver* was told, or will be, of an incident."""
    rows = connection.execute(
        select(message.c.kind, message.c.payload, message.c.created_ms)
        .where(
            message.c.receiver == receiver,
            message.c.thread == thread,
            message.c.state != SUPERSEDED,
            message.c.kind != "updated",
        )
        .order_by(message.c.id)
    ).all()
    ringing = [r for r in rows if r.kind in RINGING]
    if not ringing:
        return Told()
    newest = ringing[-1]
    return Told(
        len(ringing), newest.payload.get("hosts_count", 0), newest.created_ms, rows[-1].kind
    )


def rung_since(connection: Connection, receiver: str, since_ms: int) -> list[int]:
    """When *receiver* was rung after that instant (ms, oldest first)."""
    rows = connection.execute(
        select(message.c.sent_ms)
        .where(
            message.c.receiver == receiver,
            message.c.state == SENT,
            message.c.sent_ms > since_ms,
            message.c.kind.in_(RINGING),
        )
        .order_by(message.c.sent_ms)
    )
    return list(rows.scalars())


def waiting_rings(connection: Connection, receiver: str) -> list[Any]:
    """Rows that wait to ring *receiver*, oldest first; digests apart."""
    return list(
        connection.execute(
            select(message)
            .where(
                message.c.receiver == receiver,
                message.c.state == WAITING,
                message.c.kind.in_(LOUD),
            )
            .order_by(message.c.id)
        )
    )


def supersede(connection: Connection, ids: Iterable[int], why: str) -> None:
    """These are told by another message."""
    connection.execute(
        update(message)
        .where(message.c.id.in_(list(ids)), message.c.state == WAITING)
        .values(state=SUPERSEDED, error=why)
    )


def list_messages(connection: Connection, limit: int = 100, state: str = "") -> list[Any]:
    """Rows for people to look at, newest first."""
    query = select(message).order_by(message.c.id.desc())
    if state:
        query = query.where(message.c.state == state)
    return list(connection.execute(query.limit(max(1, min(limit, OUTBOX_LISTED_MAX)))))


def count_by_state(connection: Connection) -> dict[str, int]:
    """How many messages are in each state."""
    rows = connection.execute(select(message.c.state, func.count()).group_by(message.c.state))
    return {row[0]: row[1] for row in rows}


def prune(connection: Connection, now_ms: int) -> int:
    """Forget messages that were settled SENT_KEPT_MS ago, and alerts' transitions as old."""
    before_ms = now_ms - SENT_KEPT_MS
    gone = connection.execute(
        delete(message).where(message.c.created_ms < before_ms, ~message.c.state.in_(_OPEN))
    )
    connection.execute(delete(message_thread).where(message_thread.c.updated_ms < before_ms))
    old = connection.execute(
        delete(alert_transition).where(alert_transition.c.written_ms < before_ms)
    )
    return gone.rowcount + old.rowcount


def backoff_ms(attempts: int, chance: Chance) -> int:
    """Full jitter: anything from a little to the doubling step (AWS architecture blog, 2015)."""
    most = min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** min(attempts - 1, 20))
    return int(chance.uniform(most / 20, most))
