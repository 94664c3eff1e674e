"""How HTTP is spoken: as uvicorn does, but the head of an answer and its body leave together.

uvicorn writes them one after the other, and each write is a packet, a wake-up of the client and a
read of its own: on loopback that is a tenth of a short query. An application that has the whole answer
may hand it over as a whole (`AT_ONCE`).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from vezha.api.app import AT_ONCE
from vezha.server.limits import JOINED_BYTES_MAX


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: dict[str, Any] = cycle.scope  # type: ignore[assignment]
        together = Together(cycle.transport, self.loop)
        scope["extensions"] = {AT_ONCE: partial(_send_at_once, cycle, together)}
        cycle.transport = together  # type: ignore[assignment]
        super()._start_asgi_task(cycle, app)


def _send_at_once(
    cycle: RequestResponseCycle,
    transport: Together,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
) -> bool:
    """What `cycle.send` does with a whole answer, in one write. The headers are ours: whoever gives
    us one to send back (`X-Request-ID`) has it checked where it is read."""
    if cycle.disconnected or cycle.response_started or cycle.flow.write_paused:
        return False
    content = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        content += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        content.append(b"connection: close\r\n")
    content.append(b"\r\n")
    if cycle.scope["method"] == "HEAD":
        body = b""
    transport.write_both(b"".join(content), body)
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    if not cycle.keep_alive:
        transport.close()
    cycle.on_response()
    return True


class Together:
    """A transport for one answer: what is written first waits for what follows, for as long as this
    turn of the loop."""

    __slots__ = ("_began", "_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self._began = False

    def write(self, data: bytes) -> None:
        """As a transport's."""
        if not self._began:
            self._began = True
            self._head = data
            self._loop.call_soon(self._flush)
            return
        head, self._head = self._head, b""
        if head:
            self.write_both(head, data)
        else:
            self._transport.write(data)

    def write_both(self, head: bytes, body: bytes) -> None:
        """In one write."""
        self._flush()  # "100 Continue" goes before
        if len(body) <= JOINED_BYTES_MAX:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def is_closing(self) -> bool:
        """As a transport's."""
        return self._transport.is_closing()

    def close(self) -> None:
        """As a transport's."""
        self._flush()
        self._transport.close()


__all__ = ["Protocol", "Together"]
