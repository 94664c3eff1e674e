"""`/api/v1/receivers` and `/api/v1/notify-routes`: who can be told, and of what who is.

Those of `notify.toml` are shown; those saved here are changed here, too, and are in force at once. A
secret is taken and never given: not by an answer, not in the audit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from vezha.access import Action
from vezha.api.errors import ApiError, ConflictError, InvalidError, NotFoundError
from vezha.api.incident_views import sentence
from vezha.api.receiver_views import (
    BeforeQuery,
    NotifyRoutesBody,
    NotifyRoutesView,
    ReceiverBody,
    ReceiversView,
    ReceiverTypesView,
    SavedReceiverView,
    TestView,
    option_view,
    routes_view,
    saved_view,
    unusable_view,
)
from vezha.api.route import Call, Route, seconds
from vezha.incidents.oncall.document import show_window
from vezha.ledger.tables import message
from vezha.notify.errors import NoSuchReceiver, NotifySettingsError, NotNow
from vezha.notify.in_force import InForce, Standing
from vezha.notify.loop import put_test
from vezha.notify.option import COMMON
from vezha.notify.provider import load_provider, provider_names
from vezha.notify.saved import (
    SavedReceiver,
    SavedRoute,
    get_receiver,
    read_receivers,
    read_routes,
    remove_receiver,
    save_receiver,
    save_routes,
)
from vezha.notify.settings import NotifyPlan
from vezha.notify.settings import Receiver as ReceiverInForce
from vezha.notify.vault import Vault

_IN_FORCE = "notify_in_force"
FILE = "notify_file"
"""Under this name `Services.extra` holds the path of `notify.toml`."""
KEY = "notify_key"
"""And under this the file with the key that seals secrets; by default it lies beside."""


def standing(call: Call) -> Standing:
    """What is in force of receivers and routes."""
    with call.services.ledger.read() as connection:
        return _in_force(call).look(connection)


def _in_force(call: Call) -> InForce:
    extra = call.services.extra
    if _IN_FORCE not in extra:
        path = str(extra.get(FILE, ""))
        key = str(extra.get(KEY) or Path(path).with_name("notify.key"))
        # of two threads that make it at one time, the first one's counts
        extra.setdefault(_IN_FORCE, InForce(path, os.environ, Vault(key)))
    in_force: InForce = extra[_IN_FORCE]
    return in_force


def plan_in_force(call: Call) -> tuple[NotifyPlan, str]:
    """Receivers and routes, and why the file is not used as it is, or empty."""
    now = standing(call)
    return now.plan, now.problem


def receivers(call: Call) -> dict[str, Any]:
    """Receivers and routes."""
    now = standing(call)
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
        unusable = [r for r in read_receivers(connection) if r.name in now.problems]

    def shown(r: ReceiverInForce) -> dict[str, Any]:
        return {
            "name": r.name,
            "saved": r.saved,
            "problem": now.problems.get(r.name, ""),
            "addressable": hasattr(r.sender, "to"),
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

    return {
        "receivers": [
            *(shown(r) for r in now.plan.receivers.values()),
            *(unusable_view(r, now.problems[r.name]) for r in unusable),
        ],
        "routes": [
            {
                "receivers": list(route.receivers),
                "match": [str(m) for m in route.matchers],
                "severity": route.least.value,
                "go_on": route.go_on,
                "saved": route.saved,
            }
            for route in now.plan.routes
        ],
        "implied": now.plan.implied,
        "problem": now.problem,
        "route_problems": [why for name, why in now.problems.items() if name.startswith("route ")],
    }


def test(call: Call) -> dict[str, Any]:
    """Send a receiver a test message, by the same way that alerts take."""
    now = standing(call)
    name = call.path["name"]
    receiver = now.plan.receivers.get(name)
    if receiver is None:
        if why := now.problems.get(name) or now.problem:
            raise ConflictError(f"The settings of receivers cannot be used: {why}.")
        raise NotFoundError(f"There is no receiver {name[:100]!r}.")
    services = call.services
    with services.ledger.begin() as connection:
        id_ = put_test(connection, receiver, call.subject.name, services.now_ms(), services.world)
        call.audit(connection, target=name)
    services.nudge("outbox")
    return {"message": id_}


def types(_call: Call) -> dict[str, Any]:
    """What can be saved."""
    named = [(name, load_provider(name)) for name in provider_names()]
    return {
        "types": [{"type": n, "options": [option_view(o) for o in p.options]} for n, p in named],
        "common": [option_view(o) for o in COMMON],
    }


def read(call: Call) -> dict[str, Any]:
    """One saved receiver, to be edited."""
    with call.services.ledger.read() as connection:
        try:
            return saved_view(get_receiver(connection, call.path["name"]))
        except NoSuchReceiver as fault:
            raise NotFoundError(sentence(fault)) from None


def save(call: Call) -> dict[str, Any]:
    """Add or change a receiver; it is in force at once."""
    body: ReceiverBody = call.body
    name = call.path["name"]
    of_file = standing(call).of_file.receivers

    def do(connection: Connection) -> SavedReceiver:
        return save_receiver(
            connection, _in_force(call).vault, name, body.type, body.options, body.secrets,
            body.before, call.subject.name, call.services.now_ms(), of_file,
        )  # fmt: skip

    told = [n for n, text in body.secrets.items() if text != ""]
    detail = {"type": body.type[:63], "options": sorted(body.options), "secrets": sorted(told)}
    return saved_view(_change(call, do, name, detail))


def drop(call: Call) -> None:
    """Forget a receiver that nothing names any more."""
    name, before = call.path["name"], call.query.before
    _change(call, lambda c: remove_receiver(c, name, before), name, {"removed": True})


def routes(call: Call) -> dict[str, Any]:
    """The saved routes, to be edited."""
    with call.services.ledger.read() as connection:
        return routes_view(read_routes(connection))


def put_routes(call: Call) -> dict[str, Any]:
    """Put routes in place of all saved ones."""
    body: NotifyRoutesBody = call.body
    known = standing(call).plan.receivers
    wanted = tuple(
        SavedRoute(tuple(r.receivers), tuple(r.match), r.severity, r.go_on) for r in body.routes
    )
    shown = [msgspec.to_builtins(r) for r in body.routes]
    _change(call, lambda c: save_routes(c, wanted, body.before, known), "", {"routes": shown})
    return routes_view(wanted)


def _change(
    call: Call, do: Callable[[Connection], Any], target: str, detail: dict[str, Any]
) -> Any:
    try:
        with call.services.ledger.begin() as connection:
            done = do(connection)
            call.audit(connection, target=target, detail=detail)
    except NotifySettingsError as fault:
        raise _refusal(fault) from None
    call.services.nudge("outbox")
    return done


def _refusal(fault: NotifySettingsError) -> ApiError:
    if isinstance(fault, NoSuchReceiver):
        return NotFoundError(sentence(fault))
    if isinstance(fault, NotNow):
        return ConflictError(sentence(fault), fault.field or None)
    return InvalidError(sentence(fault), fault.field or None)


_ONE = "/api/v1/receivers/{name}"
ROUTES = (
    Route("GET", "/api/v1/receivers", Action.RECEIVER_READ, receivers,
          "Who is told of incidents, and by which routes.", result=ReceiversView),
    Route("POST", f"{_ONE}/test", Action.RECEIVER_TEST, test,
          "Send a test message.", result=TestView, status=202),
    Route("GET", "/api/v1/receiver-types", Action.RECEIVER_READ, types,
          "Ways to reach people, and what each asks for.", result=ReceiverTypesView),
    Route("GET", _ONE, Action.RECEIVER_OPTIONS, read,
          "One saved receiver, without its secrets.", result=SavedReceiverView),
    Route("PUT", _ONE, Action.RECEIVER_CHANGE, save,
          "Add or change a receiver.", body=ReceiverBody, result=SavedReceiverView),
    Route("DELETE", _ONE, Action.RECEIVER_CHANGE, drop,
          "Remove a saved receiver.", query=BeforeQuery, status=204),
    Route("GET", "/api/v1/notify-routes", Action.RECEIVER_READ, routes,
          "The saved routes.", result=NotifyRoutesView),
    Route("PUT", "/api/v1/notify-routes", Action.RECEIVER_CHANGE, put_routes,
          "Put routes in place of the saved ones.", body=NotifyRoutesBody, result=NotifyRoutesView),
)  # fmt: skip
