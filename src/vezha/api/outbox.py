"""`/api/v1/outbox`: messages to people, and what became of each."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import update

from vezha.access import Action
from vezha.api.errors import NotFoundError
from vezha.api.route import Call, Route, path_id, seconds
from vezha.ledger.tables import message
from vezha.notify import outbox
from vezha.notify.limits import OUTBOX_LISTED_MAX


class MessageView(msgspec.Struct):
    """A message. `state`: waiting, claimed, sent, failed or superseded."""

    id: int
    receiver: str
    thread: str
    kind: str
    state: str
    title: str
    incident: int
    attempts: int
    created_at: float | None
    next_at: float | None
    sent_at: float | None
    error: str
    note: str


class OutboxQuery(msgspec.Struct):
    """Which messages."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=OUTBOX_LISTED_MAX)] = 100
    state: str = ""


class OutboxView(msgspec.Struct):
    """Messages, the newest first, and how many are in each state."""

    messages: list[MessageView]
    counts: dict[str, int]


def message_view(row: Any) -> dict[str, Any]:
    """A message as the API shows it."""
    return {
        "id": row.id,
        "receiver": row.receiver,
        "thread": row.thread,
        "kind": row.kind,
        "state": row.state,
        "title": row.payload.get("title", ""),
        "incident": row.payload.get("incident", 0),
        "attempts": row.attempts,
        "created_at": seconds(row.created_ms),
        "next_at": seconds(row.next_ms) if row.state == "waiting" else None,
        "sent_at": seconds(row.sent_ms),
        "error": row.error,
        "note": (row.reference or {}).get("note", ""),
    }


def read_outbox(call: Call) -> dict[str, Any]:
    """Messages and their fates."""
    query: OutboxQuery = call.query
    with call.services.ledger.read() as connection:
        rows = outbox.list_messages(connection, query.limit, query.state)
        counts = outbox.count_by_state(connection)
    return {"messages": [message_view(row) for row in rows], "counts": counts}


def retry(call: Call) -> None:
    """Send a message that waits or failed again now."""
    _change(call, {"state": "waiting", "next_ms": call.services.now_ms(), "error": ""})


def drop(call: Call) -> None:
    """Do not send a message that waits any more."""
    _change(call, {"state": "failed", "error": f"dropped by {call.subject.name}"})


def _change(call: Call, values: dict[str, Any]) -> None:
    id_ = path_id(call)
    with call.services.ledger.begin() as connection:
        done = connection.execute(
            update(message)
            .where(message.c.id == id_, message.c.state.in_(("waiting", "failed")))
            .values(**values)
        )
        if not done.rowcount:
            raise NotFoundError(f"There is no message {id_} that waits or failed.")
        call.audit(connection, target=str(id_))
    call.services.nudge("outbox")


ROUTES = (
    Route("GET", "/api/v1/outbox", Action.OUTBOX_READ, read_outbox,
          "Messages and what became of them.", query=OutboxQuery, result=OutboxView),
    Route("POST", "/api/v1/outbox/{id}/retry", Action.OUTBOX_CHANGE, retry,
          "Send a message again now.", status=204),
    Route("DELETE", "/api/v1/outbox/{id}", Action.OUTBOX_CHANGE, drop,
          "Do not send a waiting message.", status=204),
)  # fmt: skip
