"""Answers too large to be held: each piece is sent as soon as it is printed.

A worker prints and, where the client takes it, compresses one piece; this process passes it on and
asks for the next when the client has taken it. So neither holds the whole, and the first byte
leaves before the last is printed. A client that hangs up, or takes nothing for `STREAM_STALL_S`,
frees the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Protocol

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from vezha.api import limits
from vezha.api.packing import headers_of

_log = structlog.get_logger("vezha.api.streaming")


class Pieces(Protocol):
    """An answer that comes in pieces; both methods block. `coding` says how it is
    compressed."""

    coding: str

    def next(self) -> bytes | None:
        """The next piece; None: that was all. Raises `QueryError`."""
        ...

    def close(self) -> None:
        """Nobody wants the rest. May be called more than once, on any thread."""
        ...


class PiecesResponse(StreamingResponse):
    """*pieces* as an answer; *threads* are where one waits for them."""

    def __init__(self, pieces: Pieces, threads: Executor) -> None:
        headers = headers_of(pieces.coding)
        super().__init__(self._each(), media_type="application/json", headers=headers)
        self._pieces = pieces
        self._threads = threads

    async def _each(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while True:
            piece = await loop.run_in_executor(self._threads, self._pieces.next)
            if piece is None:
                return
            yield piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. The connection is cut where the client takes nothing for too long."""

        async def timed(message: Message) -> None:
            async with asyncio.timeout(limits.STREAM_STALL_S):
                await send(message)

        try:
            await super().__call__(scope, receive, timed)
        except TimeoutError:
            _log.warning("answer_not_taken", path=scope.get("path", ""))
        finally:
            self._threads.submit(self._pieces.close)
