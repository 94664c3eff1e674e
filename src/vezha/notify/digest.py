"""The rate cap: what is more than a receiver may be rung goes into one digest.

A person who is rung every few seconds reads nothing. Once a receiver has had its number of
ringing messages within RATE_WINDOW_MS, those that wait are held until the window has room, and
then leave as one message that names them all.
"""

from __future__ import annotations

from sqlalchemy import Connection, update

from vezha.ledger.tables import message
from vezha.notify import outbox
from vezha.notify.limits import DIGEST_LINES_MAX, RATE_WINDOW_MS
from vezha.notify.message import Message
from vezha.notify.settings import Receiver
from vezha.notify.words import word


def make_room(connection: Connection, receiver: Receiver, now_ms: int) -> int:
    """Hold or fold what waits for *receiver*; how many messages became one digest."""
    waiting = outbox.waiting_rings(connection, receiver.name)
    if not waiting:
        return 0
    rung = outbox.rung_since(connection, receiver.name, now_ms - RATE_WINDOW_MS)
    held = [row for row in waiting if row.error == _HELD]
    if len(rung) >= receiver.rate:
        # room comes when the oldest of the last `rate` rings leaves the window
        room_ms = rung[-receiver.rate] + RATE_WINDOW_MS
        due = [row.id for row in waiting if row.next_ms <= now_ms]
        if due:
            connection.execute(
                update(message).where(message.c.id.in_(due)).values(next_ms=room_ms, error=_HELD)
            )
        return 0
    ready = [row for row in held if row.next_ms <= now_ms]
    if len(ready) < 2:
        return 0
    lines = [f"#{row.payload['incident']} {row.payload['title']}" for row in ready]
    more = len(lines) - DIGEST_LINES_MAX
    shown = lines[:DIGEST_LINES_MAX] + ([f"… +{more}"] if more > 0 else [])
    what = Message(
        kind="digest",
        incident=0,
        title=word(receiver.language, "digest"),
        summary=word(receiver.language, "digest_text", n=len(ready)),
        lines=shown,
        at_ms=now_ms,
        language=receiver.language,
        time_zone=receiver.time_zone,
    )
    key = f"{receiver.name}:digest:{ready[0].id}"
    outbox.put(connection, receiver.name, "digest", key, what, now_ms)
    outbox.supersede(connection, [row.id for row in ready], f"told in {key}")
    return len(ready)


_HELD = "held: this receiver has been rung often enough for now"
