"""The bus: nudges between contours over Unix datagram sockets. Lossy by design.

A nudge is the name of a topic ("alerts", "hosts") and says only "look again": the truth is in
ledger and store, every listener also looks by timer, and a nudge that finds a full buffer or
nobody there is dropped. Each contour binds `run/<contour>.sock`; publishing sends to all.

    bus = Bus(settings.state.run, "ops")
    bus.subscribe(lambda topic: ...)       # in the event loop; called on its thread
    bus.publish("alerts")                  # from any thread, never blocks, never raises
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from vezha.server.contour import CONTOURS
from vezha.server.limits import (
    BUS_DATAGRAM_BYTES_MAX,
    BUS_TOPICS_PENDING_MAX,
    UNIX_PATH_BYTES_MAX,
)


def socket_path(folder: Path, name: str) -> str:
    """The path of a contour's socket, short enough for the kernel.

    Where the state folder's path is too long, a short name in the temporary folder, made from a
    hash of the long one and the user's number, stands for it; both sides work out the same.
    """
    path = str(folder / f"{name}.sock")
    if len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]
    alias = Path(tempfile.gettempdir()) / f"vezha-{os.getuid()}-{digest}"
    if len(os.fsencode(str(alias))) > UNIX_PATH_BYTES_MAX - 10:
        alias = Path("/tmp") / alias.name  # noqa: S108 - checked for ownership below
    alias.mkdir(mode=0o700, exist_ok=True)
    assert alias.lstat().st_uid == os.getuid(), f"{alias} belongs to somebody else"
    return str(alias / f"{name}.sock")


class Bus:
    """One contour's end of the bus."""

    def __init__(self, folder: Path, name: str) -> None:
        """Bind the socket of contour *name*; one left over from a crash is replaced."""
        assert name in CONTOURS, name
        self._path = socket_path(folder, name)
        self._others = [socket_path(folder, other) for other in CONTOURS if other != name]
        self._subscribers: list[Callable[[str], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dropped = 0
        Path(self._path).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self._path)
        Path(self._path).chmod(0o600)

    def publish(self, topic: str) -> None:
        """Nudge the other contours. Never blocks and never raises; what does not fit is lost."""
        data = topic.encode()
        assert 0 < len(data) <= BUS_DATAGRAM_BYTES_MAX, topic
        for other in self._others:
            try:
                self._socket.sendto(data, other)
            except OSError:
                self._dropped += 1

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Call *callback(topic)* for each nudge, on the running event loop's thread.

        Equal topics that arrive together are told once. An exception in a callback goes to the
        loop's handler and harms no other subscriber.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket.fileno(), self._read)
        self._subscribers.append(callback)

    def stats(self) -> dict[str, float]:
        """Nudges that found nobody."""
        return {"dropped": float(self._dropped)}

    def close(self) -> None:
        """Leave the bus and remove the socket."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
        self._loop = None
        self._socket.close()
        Path(self._path).unlink(missing_ok=True)

    def _read(self) -> None:
        topics: dict[str, None] = {}
        with contextlib.suppress(BlockingIOError):
            for _ in range(BUS_TOPICS_PENDING_MAX):
                topics[self._socket.recv(BUS_DATAGRAM_BYTES_MAX).decode(errors="replace")] = None
        assert self._loop is not None
        for topic in topics:
            for callback in self._subscribers:
                self._loop.call_soon(callback, topic)
