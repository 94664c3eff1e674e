"""The dead man's switch of a real server: it beats, and ends when the data contour hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.running import RunningVezha

pytestmark = pytest.mark.acceptance


@pytest.fixture
def beats() -> Iterator[tuple[str, list[float]]]:
    heard: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(time.monotonic())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/beat", heard
    server.shutdown()
    server.server_close()
    thread.join()


def more_than(heard: list[float], count: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while len(heard) <= count and time.monotonic() < until:
        time.sleep(0.1)
    return len(heard) > count


def test_a_hung_data_contour_ends_the_heartbeat(
    vezha_up: Callable[..., RunningVezha], beats: tuple[str, list[float]]
) -> None:
    url, heard = beats
    vezha = vezha_up(f"deadman.url={url}", "deadman.interval_s=1s", agent=False)
    assert more_than(heard, 2, 30), vezha.told()
    data = vezha.processes()["data"]
    os.kill(data, signal.SIGSTOP)
    try:
        time.sleep(1.5)
        before = len(heard)
        assert not more_than(heard, before, 5)
    finally:
        os.kill(data, signal.SIGCONT)
    assert more_than(heard, before, 40), vezha.told()
