"""The API as a Starlette application: the table of routes, composed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from vezha.access import Action
from vezha.api import (
    audit,
    charts,
    described,
    enrolments,
    health,
    hosts,
    prometheus,
    session,
    tokens,
    users,
)
from vezha.api.dispatch import Endpoint, endpoint_of, error_response, websocket_of
from vezha.api.errors import ApiError
from vezha.api.live import endpoint as live
from vezha.api.openapi import describe
from vezha.api.packing import PackedResponse
from vezha.api.route import Call, Route
from vezha.api.services import Services

OWN_ROUTES: tuple[Route, ...] = (
    *session.ROUTES,
    *hosts.ROUTES,
    *charts.ROUTES,
    *prometheus.ROUTES,
    *described.ROUTES,
    *live.ROUTES,
    *enrolments.ROUTES,
    *users.ROUTES,
    *tokens.ROUTES,
    *audit.ROUTES,
    *health.ROUTES,
)
"""The routes of this room; rooms that bring their own add them in `make_app`."""
AT_ONCE = "vezha.at_once"
"""Among a scope's extensions: `(status, headers, body) -> bool` sends a whole answer without asking
whether it may; False: it has to be sent as usual."""
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def make_app(
    services: Services,
    routes: Sequence[Route] = OWN_ROUTES,
    *,
    pages: Sequence[BaseRoute] = (),
    lifespan: Any = None,
) -> Starlette:
    """The application: *routes* first, then 404 for the rest of `/api`, then the *pages*."""
    table = (*routes, _description_route(routes))
    check_table(table)
    endpoints = {
        (route.method, route.path): endpoint_of(route, services)
        for route in table
        if not route.websocket
    }
    served: list[BaseRoute] = [
        WebSocketRoute(route.path, websocket_of(route, services))
        if route.websocket
        else StarletteRoute(route.path, endpoints[route.method, route.path], methods=[route.method])
        for route in table
    ]
    served.append(StarletteRoute("/api/{rest:path}", _nowhere(tuple(served)), methods=_METHODS))
    return _Application(
        {key: endpoint for key, endpoint in endpoints.items() if "{" not in key[1]},
        routes=[*served, *pages],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )


class _Application(Starlette):
    """Finds addresses without parameters by one look instead of going through the table; these
    endpoints answer whatever happens, so nothing need stand around them."""

    def __init__(self, straight: dict[tuple[str, str], Endpoint], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._straight = straight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = None
        if scope["type"] == "http" and not scope.get("root_path"):
            endpoint = self._straight.get((scope["method"], scope["path"]))
        if endpoint is None:
            await super().__call__(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive, send))
        at_once = scope.get("extensions", {}).get(AT_ONCE)
        if (
            at_once is None
            or type(response) not in (PackedResponse, Response)
            or not at_once(response.status_code, response.raw_headers, response.body)
        ):
            await response(scope, receive, send)
        elif response.background is not None:
            await response.background()


def check_table(routes: Sequence[Route]) -> None:
    """Our own mistakes in the table are found at the start: doubles, routes without an action."""
    seen: set[tuple[str, str]] = set()
    for route in routes:
        assert isinstance(route.action, Action), f"{route.path} has no action"
        key = (route.method, route.path)
        assert key not in seen, f"{route.method} {route.path} is there twice"
        seen.add(key)


def _description_route(routes: Sequence[Route]) -> Route:
    made: list[msgspec.Raw] = []

    async def openapi(_call: Call) -> Any:
        # when it is asked for, which few do: 2 MB while it is made, a tenth of that as it is sent
        if not made:
            made.append(msgspec.Raw(msgspec.json.encode(describe(routes))))
        return made[0]

    return Route(
        "GET", "/api/v1/openapi.json", Action.DESCRIPTION_READ, openapi, "This description."
    )


def _nowhere(served: Sequence[BaseRoute]) -> Callable[[Request], Awaitable[Response]]:
    """What answers under `/api` where no route does: 405 if another method would, else 404."""

    async def nowhere(request: Request) -> Response:
        if any(route.matches(request.scope)[0] is Match.PARTIAL for route in served):
            raise HTTPException(405, "This method is not for this address")
        return error_response(
            ApiError(404, "not_found", f"There is nothing at {request.url.path}.")
        )

    return nowhere


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    shown = ApiError(
        error.status_code,
        codes.get(error.status_code, "http"),
        f"{request.method} {request.url.path}: {error.detail}.",
        headers=dict(error.headers or {}),
    )
    return error_response(shown)
