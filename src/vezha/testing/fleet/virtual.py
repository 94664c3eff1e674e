"""Virtual time: an event loop that jumps to the next event instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class _Jump(selectors.SelectSelector):
    """Where the loop would wait, its time goes on at once. No real file is ever looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is scheduled: the simulation would wait for ever")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """One thread, no waiting, the same order each time.

    What would run in a thread pool runs on the loop, after a delay that `work_s` gives: the first
    number passes before the work is done, the second before its caller hears of it.
    """

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self.work_s: Callable[[], tuple[float, float]] = lambda: (0.001, 0.0)
        self._free_at = 0.0
        self._worked_life = 0
        self.life = 0
        """Raised when the server is killed: work begun before is then never done."""

    def time(self) -> float:
        return self._jump.now

    def run_in_executor(  # type: ignore[override]  # the base's signature is generic in *args
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        life = self.life
        before_s, after_s = self.work_s()

        def hear(result: Any, error: BaseException | None) -> None:
            if self.life != life or future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        def work() -> None:
            if self.life != life:
                return
            try:
                result = func(*args)
            except OSError as error:
                self.call_later(after_s, hear, None, error)
                return
            self.call_later(after_s, hear, result, None)

        if life != self._worked_life:
            self._worked_life, self._free_at = life, 0.0

        # one worker: what was given first is done first
        self._free_at = max(self._free_at, self.time()) + before_s
        self.call_at(self._free_at, work)
        return future


class VirtualClock:
    """A `Clock` on a virtual loop; `offset_s` is how wrong its wall time is, and may be set."""

    def __init__(self, loop: VirtualLoop, epoch_s: float, offset_s: float = 0.0) -> None:
        self._loop = loop
        self._epoch_s = epoch_s
        self.offset_s = offset_s

    def now(self) -> float:
        return self._epoch_s + self._loop.time() + self.offset_s

    def monotonic(self) -> float:
        return self._loop.time()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing may block under virtual time")
