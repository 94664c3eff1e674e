"""A query worker's process, see `worker_process`; its argument is FD.

Started by the web contour, whose first message says what to read and within which limits (not the
command line, which others may see). Opens its own read-only view of the store.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection

from vezha.api.limits import WORKER_NICENESS
from vezha.api.worker import serve
from vezha.query.engine import Engine
from vezha.server.contour import StopSignal
from vezha.server.logs import configure_logs
from vezha.server.settings import LogSettings
from vezha.server.source import Reading
from vezha.server.trimming import keep_trimmed
from vezha.world import World


def main(given: Sequence[str]) -> None:
    """Serve until the contour is gone."""
    (number,) = given
    configure_logs(LogSettings(), "query")
    if sys.platform != "linux":  # there it is lowered by question, where one takes long
        os.nice(WORKER_NICENESS)
    connection = Connection(int(number))
    try:
        reading = Reading(**connection.recv())
    except EOFError:
        return
    keep_trimmed(StopSignal())
    source = reading.joined(reading.reader(), World())
    engine = Engine(source, reading.limits, reading.options)
    serve(connection, engine, reading.remembered(engine, source))
