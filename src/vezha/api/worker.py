"""A query worker: a process that evaluates what is heavy, one question at a time.

It shares no interpreter with the contour that serves, so that a query of minutes delays nobody
else there. Messages are pickled tuples over a socket that only the two hold:

    to the worker     ("ask", number, Question | Listing) · ("cancel", number)
    from the worker   ("packed", number, data, coding) · ("error", number, kind, text)
                      · ("pieces", number, coding), then ("piece", number, data) … ("end", number)

It ends when the contour does, even in the middle of a query. What takes longer than
`WORKER_PATIENCE_S` goes on with a lower priority, so that it delays neither ingest nor the queries
of others. A thread that stepped back so cannot come forward again; each question has its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import structlog

from vezha.api import limits
from vezha.api.packing import pack, pack_pieces
from vezha.api.question import Listing, Question, evaluate, listed
from vezha.model.columns import TooManySamples
from vezha.query import Engine
from vezha.query.encode import encode_chunks
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
        for message in _answered(engine, number, wish, unwanted, remembered):
            connection.send(message)

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
) -> Iterator[tuple[Any, ...]]:
    """What to send. An answer that is not wanted any more ends in the middle."""

    def cancelled() -> bool:
        return unwanted[0] >= number

    try:
        if isinstance(wish, Listing):
            packed = listed(engine.source, wish)
            yield ("packed", number, packed.data, packed.coding)
            return
        result = evaluate(engine, wish, cancelled, remembered=remembered)
        pieces = encode_chunks(result, wish.stats, wish.explain)
        begin, size = [], 0
        for piece in pieces:
            begin.append(piece)
            size += len(piece)
            if size >= limits.STREAM_FROM_BYTES:
                break
        else:
            packed = pack(b"".join(begin), wish.coding)
            yield ("packed", number, packed.data, packed.coding)
            return
        yield ("pieces", number, wish.coding)
        for piece in pack_pieces(itertools.chain(begin, pieces), wish.coding):
            if cancelled():
                break
            yield ("piece", number, piece)
        yield ("end", number)
    except (QueryError, TooManySamples) as error:
        yield ("error", number, getattr(error, "kind", "execution"), str(error))
    except Exception as error:
        _log.exception("query_failed", query=repr(wish)[:1_000])
        yield ("error", number, FAILED, type(error).__name__)
