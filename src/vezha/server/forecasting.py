"""Keeps the forecast's process running beside the ops contour, as long as it has something to do.

One that says that it may rest ends, and is started again in time; one that just ends, after a delay.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import structlog

from vezha.server.bus import socket_path
from vezha.server.limits import (
    FORECAST_WAIT_MAX_S,
    RESTART_CALM_S,
    RESTART_DELAY_FIRST_S,
    RESTART_DELAY_MAX_S,
)
from vezha.server.settings import Settings
from vezha.server.worker_process import forecast, start_worker
from vezha.world import Clock, World

_log = structlog.get_logger("forecasting")
FOLDER = "forecast"
"""In the state folder."""


async def keep_forecasting(settings: Settings, world: World) -> None:
    """For ever; cancelled at the end, which ends the process, too."""
    words = forecast(
        str(settings.state.store),
        socket_path(settings.state.run, "feed"),
        str(settings.state.path / FOLDER),
    )
    delay_s = RESTART_DELAY_FIRST_S
    while True:
        began_s = world.clock.monotonic()
        rest_s = await _run(words)
        if rest_s is not None:
            delay_s = RESTART_DELAY_FIRST_S
            await _rest(world.clock, rest_s)
            continue
        if world.clock.monotonic() - began_s >= RESTART_CALM_S:
            delay_s = RESTART_DELAY_FIRST_S
        _log.error("the forecast's process ended; starting it again", in_s=delay_s)
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, RESTART_DELAY_MAX_S)


async def _rest(clock: Clock, seconds: float) -> None:
    """Until the clock that people set says so, or was set back."""
    began_s = now_s = clock.now()
    while began_s <= now_s < began_s + seconds:
        await asyncio.sleep(min(began_s + seconds - now_s, FORECAST_WAIT_MAX_S))
        now_s = clock.now()


async def _run(words: Sequence[str]) -> float | None:
    """Until it has ended: for how many seconds it may rest; None where it did not mean to.

    Cancelled, it is ended.
    """
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        try:
            with theirs:
                worker = await asyncio.to_thread(start_worker, words, theirs)
        except OSError as error:
            _log.error("the forecast's process cannot be started", error=str(error))
            return None
        try:
            said = b""
            with contextlib.suppress(OSError):
                said = await asyncio.get_running_loop().sock_recv(ours, 64)
            return float(said) if said else None
        finally:
            worker.kill()
            worker.wait()
