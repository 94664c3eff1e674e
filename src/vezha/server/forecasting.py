"""Keeps the forecast's process running beside the ops contour; one that ends is started again."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import structlog

from vezha.server.bus import socket_path
from vezha.server.limits import RESTART_CALM_S, RESTART_DELAY_FIRST_S, RESTART_DELAY_MAX_S
from vezha.server.settings import Settings
from vezha.server.worker_process import forecast_argv
from vezha.world import World

_log = structlog.get_logger("forecasting")
FOLDER = "forecast"
"""In the state folder."""


async def keep_forecasting(settings: Settings, world: World) -> None:
    """For ever; cancelled at the end, which ends the process, too."""
    argv = forecast_argv(
        str(settings.state.store),
        socket_path(settings.state.run, "feed"),
        str(settings.state.path / FOLDER),
    )
    delay_s = RESTART_DELAY_FIRST_S
    while True:
        began_s = world.clock.monotonic()
        code = await _run(argv)
        if world.clock.monotonic() - began_s >= RESTART_CALM_S:
            delay_s = RESTART_DELAY_FIRST_S
        _log.error("the forecast's process ended; starting it again", code=code, in_s=delay_s)
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, RESTART_DELAY_MAX_S)


async def _run(argv: list[str]) -> int:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *argv,
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
