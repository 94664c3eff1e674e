"""From a route to an endpoint: authenticate, authorise, read, call, audit, answer.

The order is the same for every route, and there is no way around it: handlers are only ever
reached through here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from vezha.access import ACTIONS, AccessError, Subject, decide
from vezha.access.audit import REFUSED, append_audit
from vezha.access.decision import Decision, Reason
from vezha.access.ownership import asks_whose, decide_owned
from vezha.access.subject import SubjectKind
from vezha.api import body, limits
from vezha.api.authentication import authenticate, origin_of
from vezha.api.cookie import is_cross_site, is_foreign_origin
from vezha.api.errors import ApiError, ConflictError, InvalidError, NotFoundError, RefusedError
from vezha.api.header import header_of
from vezha.api.route import Call, Route
from vezha.api.services import Services
from vezha.incidents.oncall.rows import read_teams

_log = structlog.get_logger("vezha.api")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ENCODER = msgspec.json.Encoder()
CLOSE_NOT_SIGNED_IN = 4401
"""WebSocket close code: sign in (again)."""
CLOSE_REFUSED = 4403
"""WebSocket close code: signed in, but may not."""


Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint_of(route: Route, services: Services) -> Endpoint:
    """The Starlette endpoint of an HTTP route."""
    count = services.metrics.counts_of(route.method, route.path)
    monotonic = services.world.clock.monotonic

    async def endpoint(request: Request) -> Response:
        began = monotonic()
        request_id = _request_id(request, services)
        try:
            response = await _serve(route, request, services, request_id)
        except ApiError as error:
            response = error_response(error, route.prometheus, route.plain_errors)
        except AccessError as error:
            response = error_response(_translated(error), route.prometheus, route.plain_errors)
        except Exception:
            _log.exception("request_failed", request_id=request_id, route=route.path)
            response = error_response(_internal(request_id), route.prometheus, route.plain_errors)
        took_s = monotonic() - began
        count(response.status_code, took_s)
        if took_s > limits.REQUEST_SLOW_S:
            _log.warning(
                "request_slow", request_id=request_id, route=route.path, took_s=round(took_s, 3)
            )
        _finish(response, request_id)
        return response

    return endpoint


def websocket_of(route: Route, services: Services) -> Callable[[WebSocket], Awaitable[None]]:
    """The Starlette endpoint of a WebSocket route; its handler gets (call, socket)."""

    async def endpoint(socket: WebSocket) -> None:
        if is_foreign_origin(socket.headers, origin_of(socket)):
            # Refused before it opens: the page of another site learns nothing.
            await socket.close(CLOSE_REFUSED)
            return
        try:
            caller = await authenticate(socket, services)
        except ApiError as error:
            await socket.accept()
            await socket.close(CLOSE_NOT_SIGNED_IN, error.message)
            return
        decision = decide(caller.subject, route.action)
        # Accepted first in any case: a page can read a close code, but no refused upgrade.
        await socket.accept()
        if not decision.allowed:
            await _note_refused(services, caller.subject, route, decision)
            signed_in = decision.reason is not Reason.NOT_SIGNED_IN
            await socket.close(
                CLOSE_REFUSED if signed_in else CLOSE_NOT_SIGNED_IN, decision.reason.value
            )
            return
        await route.handler(services, caller, socket)

    return endpoint


def _finish(response: Response, request_id: str) -> None:
    """Headers that every answer has."""
    headers = response.raw_headers
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", b"no-store"))
    headers.append((b"x-request-id", request_id.encode("ascii")))
    headers.append((b"x-content-type-options", b"nosniff"))


async def _serve(route: Route, request: Request, services: Services, request_id: str) -> Response:
    caller = await authenticate(request, services)
    if caller.by_cookie and is_cross_site(request.method, request.headers, origin_of(request)):
        raise ApiError(403, "cross_site", "Another site's page sent this request; it is refused.")
    decision = decide(caller.subject, route.action)
    if asks_whose(decision, caller.subject, route.action):
        name = str(request.path_params.get("name", ""))
        decision = await run_in_thread(services, _owned, services, caller.subject, route, name)
    if not decision.allowed:
        await _note_refused(services, caller.subject, route, decision)
        raise _refused(decision)
    call = Call(
        route,
        request,
        services,
        caller.subject,
        request_id,
        path={name: str(value) for name, value in request.path_params.items()},
        session_secret=caller.session_secret,
    )
    await _read(route, request, call)
    try:
        result = await _call_handler(route, call)
    except RefusedError as refusal:
        await _note_refused(services, caller.subject, route, refusal.decision)
        raise
    if ACTIONS[route.action].changes and not call.audited:
        await run_in_thread(services, _audit_after, call)
    return answer(result, route.status)


def _owned(services: Services, subject: Subject, route: Route, name: str) -> Decision:
    """The decision about a thing by its name, which the route's path has."""
    with services.ledger.read() as connection:
        teams = {team.name: team.members for team in read_teams(connection)}
    return decide_owned(subject, route.action, name, teams)


async def _read(route: Route, request: Request, call: Call) -> None:
    if route.body is not None:
        data = await body.read_bytes(request, route.body_bytes_max)
        content_type = request.headers.get("content-type", "")
        call.body = body.decode_json(data, content_type, route.body)
    if route.query is None:
        return
    pairs = body.read_query(request.scope["query_string"])
    if route.form and request.method == "POST":
        data = await body.read_bytes(request, limits.FORM_BYTES_MAX)
        pairs = body.read_form(data, request.headers.get("content-type", "")) + pairs
    call.query = body.convert_parameters(pairs, route.query)


async def _call_handler(route: Route, call: Call) -> Any:
    if route.is_async:
        return await route.handler(call)
    return await run_in_thread(call.services, route.handler, call)


async def run_in_thread(services: Services, work: Callable[..., Any], *args: Any) -> Any:
    """Run blocking *work* on one of the handlers' threads."""
    return await anyio.to_thread.run_sync(work, *args, limiter=services.handler_threads)


def answer(result: Any, status: int) -> Response:
    """A handler's result as a response; None is 204."""
    if isinstance(result, Response):
        return result
    if result is None:
        return Response(status_code=204)
    return Response(_ENCODER.encode(result), status, media_type="application/json")


def error_response(error: ApiError, prometheus: bool = False, plain: bool = False) -> Response:
    """An error as this API shows it, or as Prometheus does where its clients ask, or *plain*."""
    shown: dict[str, Any] | str
    if plain:
        shown = error.message
    elif prometheus:
        kind = _PROMETHEUS_TYPES.get(error.status, "internal")
        shown = {"status": "error", "errorType": error.error_type or kind, "error": error.message}
    else:
        inner = {"code": error.code, "message": error.message}
        if error.field is not None:
            inner["field"] = error.field
        shown = {"error": inner}
    return Response(
        _ENCODER.encode(shown), error.status, headers=error.headers, media_type="application/json"
    )


_PROMETHEUS_TYPES = {
    400: "bad_data", 401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "bad_data",
    415: "bad_data", 422: "execution", 499: "canceled", 503: "timeout",
}  # fmt: skip


def _refused(decision: Decision) -> ApiError:
    if decision.reason is Reason.NOT_SIGNED_IN:
        return ApiError(
            401, decision.reason.value, decision.sentence, headers={"WWW-Authenticate": "Bearer"}
        )
    return ApiError(403, decision.reason.value, decision.sentence)


def _translated(error: AccessError) -> ApiError:
    message, field = str(error), error.field
    by_code = {
        "not_found": NotFoundError(message),
        "name_taken": ConflictError(message, field),
        "last_admin": ConflictError(message, field),
        "limit": ApiError(409, "limit", message, field=field),
        "wrong_credentials": ApiError(401, "wrong_credentials", message, field=field),
        "weak_password": ApiError(400, "weak_password", message, field=field),
    }
    return by_code.get(error.code) or InvalidError(message, field)


def _internal(request_id: str) -> ApiError:
    return ApiError(
        500, "internal", f"Something broke on our side; the log has it under {request_id}."
    )


async def _note_refused(
    services: Services, subject: Subject, route: Route, decision: Decision
) -> None:
    services.metrics.refused.labels(decision.reason.value).inc()
    now_ms = services.now_ms()
    # Who is nobody leaves no rows: otherwise anyone on the network could write to the disk.
    if subject.kind is SubjectKind.NOBODY or not services.refusals.should_write(
        subject.name, now_ms
    ):
        return

    def write() -> None:
        with services.ledger.begin() as connection:
            append_audit(
                connection,
                subject=subject,
                action=route.action.value,
                now_ms=now_ms,
                outcome=REFUSED,
                detail={"why": decision.reason.value, "route": route.path},
            )

    await run_in_thread(services, write)


def _audit_after(call: Call) -> None:
    with call.services.ledger.begin() as connection:
        call.audit(connection, target=" ".join(call.path.values()))


def _request_id(request: Request, services: Services) -> str:
    given = header_of(request, b"x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else services.next_request_id()
