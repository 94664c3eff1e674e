"""A query worker's process: `python -m vezha.server.query_worker STORE SAMPLES SECONDS LOOKBACK FD`.

Started by the web contour; opens its own read-only view of the store.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection

from vezha.api.limits import WORKER_NICENESS
from vezha.api.worker import serve
from vezha.query.context import EngineOptions
from vezha.query.engine import Engine
from vezha.query.limits import QueryLimits
from vezha.server.logs import configure_logs
from vezha.server.settings import LogSettings
from vezha.store.reader import StoreReader


def argv_of(store: str, limits: QueryLimits, options: EngineOptions) -> list[str]:
    """How the web contour starts one; the number of the socket is appended."""
    return [
        sys.executable, "-m", "vezha.server.query_worker", store, str(limits.samples_max),
        str(limits.seconds_max), str(options.lookback_ms),
    ]  # fmt: skip


def main(given: Sequence[str]) -> None:
    """Serve until the contour is gone."""
    store, samples, seconds, lookback, number = given
    configure_logs(LogSettings(), "query")
    os.nice(WORKER_NICENESS)
    limits = QueryLimits(samples_max=int(samples), seconds_max=float(seconds))
    options = EngineOptions(lookback_ms=int(lookback))
    serve(Connection(int(number)), Engine(StoreReader.open(store), limits, options))


if __name__ == "__main__":
    main(sys.argv[1:])
