"""The forecast's process: it works without a store, starts again, and ends with its contour."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vezha.server import forecasting
from vezha.server.settings import load_settings
from vezha.server.state import StateFolder
from vezha.server.worker_process import forecast, start_worker
from vezha.world import World


def wait_for(there: Callable[[], bool], timeout_s: float = 60.0) -> None:
    began = time.monotonic()
    while not there():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.05)


def test_it_learns_from_nothing_and_ends_with_its_contour(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    words = forecast(str(tmp_path / "store"), str(tmp_path / "feed"), str(tmp_path / "forecast"))
    process = start_worker(words, theirs)
    assert isinstance(process, subprocess.Popen)  # no supervisor forks it here
    try:
        theirs.close()
        wait_for(lambda: (tmp_path / "forecast" / "figures.json").exists())
        nice = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[16]
        assert int(nice) >= 15
        assert process.poll() is None
        ours.close()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_one_that_ends_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(StateFolder.at(tmp_path / "state"), {})
    starts: list[list[str]] = []

    async def run(words: list[str]) -> None:
        starts.append(words)
        if len(starts) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(forecasting, "_run", run)
    monkeypatch.setattr(forecasting, "RESTART_DELAY_FIRST_S", 0.001)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(forecasting.keep_forecasting(settings, World()))
    assert len(starts) == 3
    assert starts[0][-1].endswith("/forecast")
