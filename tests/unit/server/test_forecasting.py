"""The forecast's process: it works without a store, starts again, and ends with its contour."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vezha.forecast.history import Ring
from vezha.forecast.limits import FILE_STEPS, TICK_S
from vezha.server import forecasting
from vezha.server.settings import load_settings
from vezha.server.state import StateFolder
from vezha.server.worker_process import forecast, start_worker
from vezha.world import SystemClock, World


def wait_for(there: Callable[[], bool], timeout_s: float = 60.0) -> None:
    began = time.monotonic()
    while not there():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.05)


def started(tmp_path: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    words = forecast(str(tmp_path / "store"), str(tmp_path / "feed"), str(tmp_path / "forecast"))
    with theirs:
        process = start_worker(words, theirs)
    assert isinstance(process, subprocess.Popen)  # no supervisor forks it here
    return process, ours


def test_it_learns_from_nothing_and_ends_until_it_is_worth_another_look(tmp_path: Path) -> None:
    process, ours = started(tmp_path)
    try:
        with ours:
            ours.settimeout(60)
            assert 0.0 < float(ours.recv(64)) <= TICK_S
            assert (tmp_path / "forecast" / "figures.json").exists()
            nice = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[16]
            assert int(nice) >= 15
            assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_one_that_has_something_to_say_stays_and_ends_with_its_contour(tmp_path: Path) -> None:
    ring = Ring(World(), str(tmp_path / "forecast"), "files", FILE_STEPS)
    ring.place([("h", "/", "d", what) for what in ("free", "size")])
    ring.save()
    process, ours = started(tmp_path)
    try:
        wait_for(lambda: (tmp_path / "forecast" / "figures.json").exists())
        time.sleep(0.5)
        assert process.poll() is None
        ours.close()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_one_that_rests_is_started_in_time_and_without_a_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(StateFolder.at(tmp_path / "state"), {})
    begun: list[float] = []

    async def run(_words: list[str]) -> float:
        begun.append(time.monotonic())
        if len(begun) == 3:
            raise asyncio.CancelledError
        return 0.2

    monkeypatch.setattr(forecasting, "_run", run)
    monkeypatch.setattr(forecasting, "RESTART_DELAY_FIRST_S", 3600.0)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(forecasting.keep_forecasting(settings, World()))
    assert begun[2] - begun[0] >= 0.4


def test_a_clock_that_is_set_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    class SetBack(SystemClock):
        times = iter((1000.0, 1000.1, 400.0))

        def now(self) -> float:
            return next(self.times)

    monkeypatch.setattr(forecasting, "FORECAST_WAIT_MAX_S", 0.001)
    asyncio.run(forecasting._rest(SetBack(), 300.0))


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
