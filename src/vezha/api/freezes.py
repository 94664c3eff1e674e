"""`/api/v1/freezes`: freezes and maintenance windows of changes."""

from __future__ import annotations

from typing import Any

from vezha.access import Action
from vezha.api import change_views as v
from vezha.api.change_views import refusal
from vezha.api.errors import InvalidError, NotFoundError
from vezha.api.route import Call, Route, path_id
from vezha.delivery.change import TOPIC
from vezha.delivery.errors import DeliveryError, SpecError
from vezha.delivery.freeze import add_window, edit_window, end_window, read_windows
from vezha.delivery.views import window_view
from vezha.model.recurrence import Recurrence, make_recurrence

_CLOSED_KEPT_MS = 30 * 86_400_000


def list_all(call: Call) -> dict[str, Any]:
    """Windows of now and of late."""
    now_ms = call.services.now_ms()
    with call.services.ledger.read() as connection:
        found = read_windows(connection, now_ms - _CLOSED_KEPT_MS)
    return {"windows": [window_view(w, now_ms) for w in found]}


def create(call: Call) -> dict[str, Any]:
    """Begin a window."""
    now_ms = call.services.now_ms()
    try:
        given = _wanted(call, now_ms)
        with call.services.ledger.begin() as connection:
            id_ = add_window(connection, **given, author=call.subject.name, now_ms=now_ms)
            call.audit(connection, target=str(id_), detail={"kind": given["kind"]})
            (made,) = [w for w in read_windows(connection, now_ms) if w.id == id_]
    except DeliveryError as fault:
        raise refusal(fault) from None
    call.services.nudge(TOPIC)
    return window_view(made, now_ms)


def edit(call: Call) -> dict[str, Any]:
    """Write a window anew."""
    id_, now_ms = path_id(call), call.services.now_ms()
    try:
        given = _wanted(call, now_ms)
        with call.services.ledger.begin() as connection:
            if not edit_window(connection, id_, **given, now_ms=now_ms):
                raise NotFoundError(f"There is no window {id_} that runs or is to come.")
            detail = {"kind": given["kind"], "selector": given["selector"]}
            call.audit(connection, target=str(id_), detail=detail)
            (made,) = [w for w in read_windows(connection, now_ms) if w.id == id_]
    except DeliveryError as fault:
        raise refusal(fault) from None
    call.services.nudge(TOPIC)
    return window_view(made, now_ms)


def _wanted(call: Call, now_ms: int) -> dict[str, Any]:
    """The window that the body asks for. Raises DeliveryError."""
    body: v.WindowBody = call.body
    starts_ms = now_ms if body.starts_at is None else int(body.starts_at * 1000)
    if (body.ends_at is None) == (body.minutes is None):
        raise InvalidError("Give either ends_at or minutes.", "ends_at")
    if body.ends_at is not None:
        ends_ms = int(body.ends_at * 1000)
    else:
        assert body.minutes is not None
        ends_ms = starts_ms + int(body.minutes * 60_000)
    return {
        "kind": body.kind, "name": body.name, "selector": body.selector, "starts_ms": starts_ms,
        "ends_ms": ends_ms, "recurs": recurrence_of(body.recurs, body.time_zone),
        "time_zone": body.time_zone, "overrun": body.overrun, "comment": body.comment,
    }  # fmt: skip


def recurrence_of(given: v.WindowRecursView | None, time_zone: str) -> Recurrence | None:
    """A weekly window as asked for. Raises SpecError."""
    if given is None:
        return None
    try:
        return make_recurrence(given.days, given.start, given.minutes, time_zone)
    except ValueError as fault:
        raise SpecError(str(fault), "recurs") from None


def remove(call: Call) -> None:
    """End a window now."""
    id_ = path_id(call)
    with call.services.ledger.begin() as connection:
        if not end_window(connection, id_, call.subject.name, call.services.now_ms()):
            raise NotFoundError(f"There is no window {id_} that still runs.")
        call.audit(connection, target=str(id_))
    call.services.nudge(TOPIC)


ROUTES = (
    Route("GET", "/api/v1/freezes", Action.DELIVERY_READ, list_all,
          "Freezes and maintenance windows of changes.", result=v.WindowsView),
    Route("POST", "/api/v1/freezes", Action.FREEZE_CHANGE, create,
          "Begin a freeze or a maintenance window.", body=v.WindowBody, result=v.WindowView),
    Route("PUT", "/api/v1/freezes/{id}", Action.FREEZE_CHANGE, edit,
          "Write a window anew that runs or is to come.", body=v.WindowBody,
          result=v.WindowView),
    Route("DELETE", "/api/v1/freezes/{id}", Action.FREEZE_CHANGE, remove,
          "End a window now.", status=204),
)  # fmt: skip
