"""Answers leave in one piece where they are in one, and at once where they come in several."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn
import uvloop

from vezha.api.app import AT_ONCE
from vezha.server.limits import JOINED_BYTES_MAX
from vezha.server.protocol import Protocol, Together


async def _app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    size = int(scope["path"][1:] or 0)
    await receive()
    if scope["query_string"] == b"whole":
        length = (b"content-length", b"%d" % size)
        assert scope["extensions"][AT_ONCE](200, [length], b"x" * size)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["query_string"] == b"slow":
        await asyncio.sleep(0.2)
    await send({"type": "http.response.body", "body": b"x" * size})


async def _served(work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(_app, http=Protocol, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            await work(listening.getsockname()[1])
        finally:
            server.should_exit = True
            await serving


@pytest.mark.parametrize("how", ["", "?whole"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("size", [0, 5, JOINED_BYTES_MAX, JOINED_BYTES_MAX + 1, 3_000_000])
def test_answers_are_whole(how: str, method: str, size: int) -> None:
    async def ask(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 23)
        for last in (False, True):
            ending = "Connection: close\r\n" if last else ""
            asked = f"{method} /{size}{how} HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\n{ending}\r\n"
            writer.write(asked.encode())
            go_on = await reader.readuntil(b"\r\n\r\n")
            assert go_on.startswith(b"HTTP/1.1 100 ")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert (b"connection: close\r\n" in head) == last
            body = b""
            if how and method == "GET":
                body = await reader.readexactly(size)
            while not how and method == "GET" and not body.endswith(b"0\r\n\r\n"):
                body += await reader.readuntil(b"\r\n")
            assert body.count(b"x") == (size if method == "GET" else 0)
        assert await reader.read() == b""
        writer.close()

    uvloop.run(_served(ask))


def test_a_head_does_not_wait_for_a_late_body() -> None:
    async def ask(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /5?slow HTTP/1.1\r\nHost: here\r\n\r\n")
        first = await reader.read(4_096)
        assert b"\r\n\r\n" in first
        assert b"xxxxx" not in first
        rest = await reader.read(4_096)
        assert b"xxxxx" in rest
        writer.close()

    uvloop.run(_served(ask))


class _Noted:
    """A transport that notes what is written at a time."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False


def test_head_and_body_are_one_packet() -> None:
    async def ask() -> None:
        noted: Any = _Noted()
        together = Together(noted, asyncio.get_running_loop())
        together.write(b"head ")
        together.write(b"body")
        together.write(b" more")
        await asyncio.sleep(0)
        assert noted.written == [b"head body", b" more"]

    uvloop.run(ask())


def test_whole_answers_follow_one_another() -> None:
    async def ask(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /3?whole HTTP/1.1\r\nHost: here\r\n\r\n" * 3)
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 3\r\n" in head
            assert await reader.readexactly(3) == b"xxx"
        writer.close()

    uvloop.run(_served(ask))
