"""A query worker: a process that evaluates what is heavy, one question at a time.

It shares no interpreter with the contour that serves, so that a query of minutes delays nobody
else there. Messages are pickled tuples over a socket that only the two hold:

    to the worker     ("ask", number, Question | Listing) · ("cancel", number)
    from the worker   ("packed", number, data, gzip) · ("error", number, kind, text)

It ends when the contour does, even in the middle of a query. What takes longer than
`WORKER_PATIENCE_S` goes on with a lower priority, so that it delays neither ingest nor the queries
of others. A thread that stepped back so cannot come forward again; each question has its own.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import structlog

from vezha.api import limits
from vezha.api.packing import Packed
from vezha.api.question import Listing, Question, answer, listed
from vezha.model.columns import TooManySamples
from vezha.query import Engine
from vezha.query.errors import QueryError
from vezha.query.remembered import Remembered

_log = structlog.get_logger("vezha.api.worker")
FAILED = "failed"
"""The kind of an error that is ours."""


def serve(connection: Connection, engine: Engine, remembered: Remembered | None = None) -> None:
    """Answer until this process is ended."""
    jobs: queue.SimpleQueue[tuple[int, Question | Listing]] = queue.SimpleQueue()
    unwanted = [0]

    def receive() -> None:
        try:
            while True:
                message = connection.recv()
                if message[0] == "ask":
                    jobs.put((message[1], message[2]))
                else:
                    unwanted[0] = message[1]
        except (EOFError, OSError):
            os._exit(0)  # the contour is gone: nobody waits for what is being computed

    threading.Thread(target=receive, name="receive", daemon=True).start()

    def work(number: int, wish: Question | Listing) -> None:
        connection.send(_answered(engine, number, wish, unwanted, remembered))

    while True:
        working = threading.Thread(target=work, args=jobs.get(), name="query", daemon=True)
        working.start()
        working.join(limits.WORKER_PATIENCE_S)
        if working.is_alive():
            step_back(working)
            working.join()


def step_back(thread: threading.Thread) -> None:
    """Lower a thread's priority, for good. Linux counts it by thread; elsewhere nothing is done."""
    if sys.platform == "linux" and thread.native_id is not None:
        with contextlib.suppress(OSError):  # it has just ended
            os.setpriority(os.PRIO_PROCESS, thread.native_id, limits.WORKER_NICENESS)


def _answered(
    engine: Engine,
    number: int,
    wish: Question | Listing,
    unwanted: list[int],
    remembered: Remembered | None,
) -> tuple[Any, ...]:
    try:
        packed: Packed
        if isinstance(wish, Question):
            packed = answer(engine, wish, lambda: unwanted[0] >= number, remembered=remembered)
        else:
            packed = listed(engine.source, wish)
    except (QueryError, TooManySamples) as error:
        return ("error", number, getattr(error, "kind", "execution"), str(error))
    except Exception as error:
        _log.exception("query_failed", query=repr(wish)[:1_000])
        return ("error", number, FAILED, type(error).__name__)
    return ("packed", number, packed.data, packed.gzip)
