"""`/api/v1/receivers` and `/api/v1/outbox`: who is told, and what became of each message."""

from __future__ import annotations

import os
from typing import Annotated, Any

import msgspec
from sqlalchemy import func, select, update

from vezha.access import Action
from vezha.api.errors import ConflictError, NotFoundError
from vezha.api.route import Call, Route, path_id, seconds
from vezha.incidents.oncall.document import show_window
from vezha.ledger.tables import message
from vezha.notify import outbox
from vezha.notify.errors import NotifySettingsError
from vezha.notify.limits import OUTBOX_LISTED_MAX
from vezha.notify.loop import put_test, stamp_of
from vezha.notify.settings import NotifyPlan, load_settings

_PLAN = "notify_plan"
FILE = "notify_file"
"""Under this name `Services.extra` holds the path of the settings of receivers and routes."""


class QuietView(msgspec.Struct):
    """Quiet hours: days (mon … sun), `start` as HH:MM by the receiver's time zone, their length."""

    days: list[str]
    start: str
    minutes: int


class ReceiverView(msgspec.Struct):
    """A receiver with how it fares."""

    name: str
    type: str
    language: str
    time_zone: str
    rate: int
    quiet: list[QuietView]
    quiet_below: str
    waiting: int
    failed: int
    last_sent_at: float | None
    last_error: str


class RouteView(msgspec.Struct):
    """A route: incidents that fit go to its receivers."""

    receivers: list[str]
    match: list[str]
    severity: str
    go_on: bool


class ReceiversView(msgspec.Struct):
    """Receivers and routes; `problem` says why the settings file is not in force, or is empty."""

    receivers: list[ReceiverView]
    routes: list[RouteView]
    problem: str


class TestView(msgspec.Struct):
    """The test message's number in the outbox, where its fate can be watched."""

    message: int


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


def plan_in_force(call: Call) -> tuple[NotifyPlan, str]:
    """Receivers and routes as the file says now, and why they cannot be used, or empty."""
    path = call.services.extra.get(FILE, "")
    if not path:
        return NotifyPlan(), ""
    stamp = stamp_of(path)
    known: tuple[object, NotifyPlan, str] | None = call.services.extra.get(_PLAN)
    if known is not None and known[0] == (path, stamp):
        return known[1], known[2]
    try:
        plan, problem = load_settings(path, os.environ), ""
    except NotifySettingsError as fault:
        plan, problem = NotifyPlan(), str(fault)
    call.services.extra[_PLAN] = ((path, stamp), plan, problem)
    return plan, problem


def receivers(call: Call) -> dict[str, Any]:
    """Receivers and routes."""
    plan, problem = plan_in_force(call)
    with call.services.ledger.read() as connection:
        counts = {
            (name, state): count
            for name, state, count in connection.execute(
                select(message.c.receiver, message.c.state, func.count()).group_by(
                    message.c.receiver, message.c.state
                )
            )
        }
        newest = select(message.c.receiver, func.max(message.c.sent_ms))
        sent = {row[0]: row[1] for row in connection.execute(newest.group_by(message.c.receiver))}
        waiting = select(message.c.receiver, message.c.error).where(
            message.c.state.in_(("waiting", "claimed", "failed")), message.c.error != ""
        )
        # the newest error of each stands last and wins
        errors = {row[0]: row[1] for row in connection.execute(waiting.order_by(message.c.id))}
    return {
        "receivers": [
            {
                "name": r.name,
                "type": r.type,
                "language": r.language,
                "time_zone": r.time_zone,
                "rate": r.rate,
                "quiet": [show_window(w) for w in r.quiet.windows] if r.quiet else [],
                "quiet_below": r.quiet.least.value if r.quiet else "",
                "waiting": counts.get((r.name, "waiting"), 0) + counts.get((r.name, "claimed"), 0),
                "failed": counts.get((r.name, "failed"), 0),
                "last_sent_at": seconds(sent.get(r.name)),
                "last_error": errors.get(r.name, ""),
            }
            for r in plan.receivers.values()
        ],
        "routes": [
            {
                "receivers": list(route.receivers),
                "match": [str(m) for m in route.matchers],
                "severity": route.least.value,
                "go_on": route.go_on,
            }
            for route in plan.routes
        ],
        "problem": problem,
    }


def test(call: Call) -> dict[str, Any]:
    """Send a receiver a test message, by the same way that alerts take."""
    plan, problem = plan_in_force(call)
    name = call.path["name"]
    if problem:
        raise ConflictError(f"The settings of receivers cannot be used: {problem}.")
    receiver = plan.receivers.get(name)
    if receiver is None:
        raise NotFoundError(f"There is no receiver {name[:100]!r}.")
    services = call.services
    with services.ledger.begin() as connection:
        id_ = put_test(connection, receiver, call.subject.name, services.now_ms(), services.world)
        call.audit(connection, target=name)
    services.nudge("outbox")
    return {"message": id_}


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
    Route("GET", "/api/v1/receivers", Action.RECEIVER_READ, receivers,
          "Who is told of incidents, and by which routes.", result=ReceiversView),
    Route("POST", "/api/v1/receivers/{name}/test", Action.RECEIVER_TEST, test,
          "Send a test message.", result=TestView, status=202),
    Route("GET", "/api/v1/outbox", Action.OUTBOX_READ, read_outbox,
          "Messages and what became of them.", query=OutboxQuery, result=OutboxView),
    Route("POST", "/api/v1/outbox/{id}/retry", Action.OUTBOX_CHANGE, retry,
          "Send a message again now.", status=204),
    Route("DELETE", "/api/v1/outbox/{id}", Action.OUTBOX_CHANGE, drop,
          "Do not send a waiting message.", status=204),
)  # fmt: skip
