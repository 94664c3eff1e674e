"""`/api/v1/live`: one browser's stream."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from vezha.access import Action, decide
from vezha.access.host import find_host
from vezha.api import limits
from vezha.api.authentication import Caller, authenticate
from vezha.api.dispatch import CLOSE_NOT_SIGNED_IN, run_in_thread
from vezha.api.errors import ApiError
from vezha.api.live.viewer import HOST, Viewer
from vezha.api.route import Route
from vezha.api.services import Services

CLOSE_NORMAL = 1000
CLOSE_GONE = 1006
"""Nobody is there to be told."""
CLOSE_TOO_LONG = 1009
CLOSE_TRY_LATER = 1013
"""WebSocket close code: too many viewers, or the server is about to stop."""


class Subscription(msgspec.Struct):
    """What to watch."""

    page: Literal["fleet", "host", "incidents"]
    host: Annotated[str, msgspec.Meta(max_length=253)] = ""


class Wish(msgspec.Struct):
    """What a viewer sends."""

    subscribe: Subscription


_DECODER = msgspec.json.Decoder(Wish)
_ENCODER = msgspec.json.Encoder()


async def live(services: Services, caller: Caller, socket: WebSocket) -> None:
    """Serve one viewer until it leaves, its session ends, or the server stops."""
    hub, viewer = services.hub, Viewer()
    first = socket.query_params.get("page")
    if hub is None or not hub.join(viewer):
        await socket.close(CLOSE_TRY_LATER, "try again later")
        return
    if first is not None:
        await _wish(services, viewer, first, socket.query_params.get("host", ""))
    tasks = [
        asyncio.create_task(_send(socket, viewer)),
        asyncio.create_task(_receive(services, socket, viewer)),
        asyncio.create_task(_recheck(services, socket)),
    ]
    code = CLOSE_NORMAL
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        code = next(iter(done)).result()
    finally:
        hub.leave(viewer)
        for task in tasks:
            task.cancel()
    if code != CLOSE_GONE:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(code)


async def _send(socket: WebSocket, viewer: Viewer) -> int:
    """Send until the viewer is gone; the close code."""
    try:
        while True:
            message = await viewer.wait_message()
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)
    except (WebSocketDisconnect, RuntimeError):
        return CLOSE_GONE


async def _receive(services: Services, socket: WebSocket, viewer: Viewer) -> int:
    """Do what the viewer wishes until it is gone or breaks the limit; the close code."""
    while True:
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            return CLOSE_GONE
        data = event.get("text") or event.get("bytes") or ""
        if len(data) > limits.LIVE_MESSAGE_BYTES_MAX:
            return CLOSE_TOO_LONG
        try:
            wish = _DECODER.decode(data).subscribe
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            viewer.put(_error("invalid", f"This is no subscription: {error}."))
            continue
        await _watch(services, viewer, wish)


async def _wish(services: Services, viewer: Viewer, page: str, host: str) -> None:
    """The first subscription stands in the address: a page's first numbers need no second word."""
    try:
        wish = msgspec.convert({"page": page, "host": host}, Subscription)
    except msgspec.ValidationError as error:
        viewer.put(_error("invalid", f"This is no subscription: {error}."))
        return
    await _watch(services, viewer, wish)


async def _watch(services: Services, viewer: Viewer, wish: Subscription) -> None:
    hub = services.hub
    assert hub is not None
    if wish.page == HOST:
        known = await run_in_thread(services, find_host, services.ledger, wish.host)
        if known is None:
            viewer.put(_error("not_found", f"There is no host {wish.host!r}."))
            return
    hub.watch(viewer, wish.page, wish.host)


async def _recheck(services: Services, socket: WebSocket) -> int:
    """Wait until the session has ended; the close code."""
    while True:
        await asyncio.sleep(limits.LIVE_RECHECK_S)
        try:
            caller = await authenticate(socket, services)
        except ApiError:
            return CLOSE_NOT_SIGNED_IN
        if not decide(caller.subject, Action.HOST_READ).allowed:
            return CLOSE_NOT_SIGNED_IN


def _error(code: str, message: str) -> str:
    return _ENCODER.encode({"type": "error", "error": {"code": code, "message": message}}).decode()


ROUTES = (
    Route("GET", "/api/v1/live", Action.HOST_READ, live,
          "The live stream (WebSocket): fleet, host or incidents, once per second. "
          "`?page=fleet` (or `incidents`, or `host&host=NAME`) subscribes with the first request.",
          websocket=True),
)  # fmt: skip
