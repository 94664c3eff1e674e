"""The stop signal reaches threads, coroutines and both event loops."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest
import uvloop

from vezha.server.contour import StopSignal


@pytest.fixture
def restored_signals() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_set_once() -> None:
    stop, calls = StopSignal(), []
    stop.on_set(lambda: calls.append("before"))
    assert not stop.wait(0)
    stop.set()
    stop.set()
    stop.on_set(lambda: calls.append("after"))
    assert calls == ["before", "after"]
    assert stop.wait(0)


def test_a_thread_waits_for_it() -> None:
    stop = StopSignal()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.usefixtures("restored_signals")
def test_a_signal_wakes_coroutines(loop: object) -> None:
    stop = StopSignal()
    stop.on_signals()

    async def wait() -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        async with asyncio.timeout(5):
            await stop.wait_async()

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        runner.run(wait())
    assert stop.is_set()
