"""The forecast's process, see `worker_process`; its arguments are STORE FEED FOLDER FD.

Started by the ops contour, with the lowest priority; reads the store's files, writes its series
through the data contour's feed. It ends when the contour does: the socket FD tells. Where there is
nothing to forecast it ends, too, after it has said along FD in how many seconds it should look again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import structlog

from vezha.forecast.limits import NICENESS, WRITE_SERIES_MAX
from vezha.forecast.loop import Forecaster
from vezha.legacy.batch import batch_of
from vezha.legacy.doors import Doors
from vezha.legacy.errors import BadBody, NotNow
from vezha.model.labels import Labels
from vezha.query import Engine, QueryLimits
from vezha.server.contour import StopSignal
from vezha.server.limits import FORECAST_CACHE_BYTES_MAX, FORECAST_WAIT_MAX_S
from vezha.server.logs import configure_logs
from vezha.server.settings import LogSettings
from vezha.server.trimming import keep_trimmed
from vezha.store.reader import StoreReader
from vezha.store.settings import StoreSettings
from vezha.world import World

QUERY_LIMITS = QueryLimits(samples_max=50_000_000, seconds_max=300.0)
"""Of one question; the loop halves what is too much."""
log = structlog.get_logger("vezha.forecast")


def main(given: Sequence[str]) -> None:
    """Work until the contour is gone."""
    store, feed, folder, number = given
    configure_logs(LogSettings(), "forecast")
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    lifeline = socket.socket(fileno=int(number))
    threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
    keep_trimmed(StopSignal())
    rest_s = asyncio.run(_serve(store, feed, folder))
    with contextlib.suppress(OSError):
        lifeline.sendall(f"{rest_s:.3f}".encode())


def _end_with(lifeline: socket.socket) -> None:
    with contextlib.suppress(OSError):
        lifeline.recv(1)
    os._exit(0)


async def _serve(store: str, feed: str, folder: str) -> float:
    """Seconds after which it is worth another look."""
    world = World()
    doors = Doors(feed, world)
    reader = StoreReader.open(store, StoreSettings(cache_bytes_max=FORECAST_CACHE_BYTES_MAX))
    engine = Engine(reader, QUERY_LIMITS)
    loop = asyncio.get_running_loop()

    async def hand_over(series: list[Labels], ts_ms: int, values: npt.NDArray[np.float64]) -> None:
        doors.table.make_room()
        for at in range(0, len(series), WRITE_SERIES_MAX):
            part = series[at : at + WRITE_SERIES_MAX]
            numbers = [doors.table.number(labels) for labels in part]
            some = values[at : at + WRITE_SERIES_MAX].tolist()
            await doors.feed.write(batch_of(numbers, [ts_ms] * len(part), some))

    def write(series: list[Labels], ts_ms: int, values: npt.NDArray[np.float64]) -> None:
        """On the forecaster's thread. What cannot be written now is said again in a minute."""
        try:
            asyncio.run_coroutine_threadsafe(hand_over(series, ts_ms, values), loop).result()
        except (NotNow, BadBody) as fault:
            log.warning("series_unwritten", series=len(series), why=str(fault))

    forecaster = Forecaster(engine, world, folder, write)
    while True:
        wait_s = await asyncio.to_thread(forecaster.step)
        if wait_s > 0.0 and (rest_s := forecaster.rest_s()) > 0.0:
            doors.close()
            reader.close()
            return rest_s
        await asyncio.sleep(min(max(wait_s, 0.0), FORECAST_WAIT_MAX_S))
