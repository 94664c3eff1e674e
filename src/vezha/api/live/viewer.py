"""One viewer of the live stream: what it watches, and a queue that cannot grow."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from vezha.api.limits import LIVE_QUEUE_FRAMES_MAX

FLEET = "fleet"
HOST = "host"
INCIDENTS = "incidents"


@dataclass(slots=True, eq=False)
class Viewer:
    """`page` is what it watches, `host` which one. All on the event loop's thread.

    Where the queue is full, everything in it is thrown away and `stale` is set: the next tick
    tells the viewer everything anew, in full.
    """

    page: str = ""
    host: str = ""
    stale: bool = True
    revision: int = -1
    skipped: int = 0
    _queue: deque[bytes | str] = field(default_factory=deque)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self, page: str, host: str = "") -> None:
        """Watch another page: what was queued for the old one is dropped."""
        self.page, self.host, self.stale = page, host, True
        self._queue.clear()

    def put(self, *messages: bytes | str) -> bool:
        """Queue messages that belong together; False where they were skipped."""
        if len(self._queue) >= LIVE_QUEUE_FRAMES_MAX:
            self.skipped += len(messages) + len(self._queue)
            self._queue.clear()
            self.stale = True
            return False
        self._queue.extend(messages)
        self._filled.set()
        return True

    @property
    def is_caught_up(self) -> bool:
        """Whether everything queued was sent."""
        return not self._queue

    async def wait_message(self) -> bytes | str:
        """The next message to send."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()
