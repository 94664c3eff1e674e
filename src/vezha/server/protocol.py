"""How HTTP is spoken: as uvicorn does, but the head of an answer and its body leave together.

uvicorn writes them one after the other, and each write is a packet, a wake-up of the client and a
read of its own: on loopback that is a tenth of a short query.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from vezha.server.limits import JOINED_BYTES_MAX


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = Together(cycle.transport, self.loop)  # type: ignore[assignment]
        super()._start_asgi_task(cycle, app)


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
        if not head:
            self._transport.write(data)
        elif len(data) <= JOINED_BYTES_MAX:
            self._transport.write(head + data)
        else:
            self._transport.writelines((head, data))

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
