"""Keeps the forecast's process running beside the ops contour; one that ends is started again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import structlog

from vezha.server.bus import socket_path
from vezha.server.limits import RESTART_CALM_S, RESTART_DELAY_FIRST_S, RESTART_DELAY_MAX_S
from vezha.server.settings import Settings
from vezha.server.worker_process import forecast, start_worker
from vezha.world import World

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
        await _run(words)
        if world.clock.monotonic() - began_s >= RESTART_CALM_S:
            delay_s = RESTART_DELAY_FIRST_S
        _log.error("the forecast's process ended; starting it again", in_s=delay_s)
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, RESTART_DELAY_MAX_S)


async def _run(words: Sequence[str]) -> None:
    """Until it has ended. Cancelled, it is ended."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        try:
            with theirs:
                worker = await asyncio.to_thread(start_worker, words, theirs)
        except OSError as error:
            _log.error("the forecast's process cannot be started", error=str(error))
            return
        try:
            with contextlib.suppress(OSError):
                # It says nothing, so this is its end.
                await asyncio.get_running_loop().sock_recv(ours, 1)
        finally:
            worker.kill()
            worker.wait()
