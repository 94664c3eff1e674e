"""Contours: what the supervisor starts, and the one way in which they are called.

A contour is a module `vezha.server.<name>` with

    def run(settings: Settings, ready: Callable[[], None], stop: StopSignal) -> int

It builds its objects, calls `ready()` once when it serves, works until *stop* is set, closes
what it holds and returns its exit code (0: as asked). An `OperatorError` that it raises is
printed as one sentence. Anything else is our fault: traceback, exit, restart.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Protocol, cast

from vezha.server.settings import Settings

CONTOURS: dict[str, str] = {
    "data": "takes in samples, stores them, evaluates rules",
    "ops": "turns alerts into incidents and messages",
    "web": "serves pages and the API",
}


class StopSignal:
    """Set once, by SIGTERM, SIGINT or the supervisor's end; threads and coroutines wait for it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._callbacks: list[Callable[[], None]] = []
        # Re-entrant, because a signal's handler runs on the thread that it interrupts.
        self._lock = threading.RLock()

    def set(self) -> None:
        """Ask to stop. Safe in a signal handler and on any thread."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block the thread until set or *timeout_s* passed; whether it is set."""
        return self._event.wait(timeout_s)

    def on_set(self, callback: Callable[[], None]) -> None:
        """Call *callback* when set, or at once if it is. It must neither block nor raise."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()

    async def wait_async(self) -> None:
        """Wait in a coroutine until set."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

        self.on_set(wake)
        await event.wait()

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT set this. Main thread only."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.set()

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)


class Contour(Protocol):
    """A module that is a contour."""

    def run(self, settings: Settings, ready: Callable[[], None], stop: StopSignal) -> int:
        """Work until *stop*; the exit code."""
        ...


def load_contour(name: str) -> Contour:
    """The contour's module, imported now, so that no contour pays for another's imports."""
    assert name in CONTOURS, name
    return cast(Contour, importlib.import_module(f"vezha.server.{name}"))
