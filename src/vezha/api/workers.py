"""The pool of query workers, as the contour that serves sees it.

`ask` blocks a thread, of which there are as many as workers; a worker is started when it is
first needed and reused. One that does not stop when its question is withdrawn is killed.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import structlog

from vezha.api import limits
from vezha.api.packing import Packed
from vezha.api.question import Listing, Question
from vezha.api.worker import FAILED
from vezha.query.errors import EvaluationError, QueryCancelled, QueryError, QueryTimeout
from vezha.world import World

_log = structlog.get_logger("vezha.api.workers")
_ERRORS: dict[str, type[QueryError]] = {"timeout": QueryTimeout, "canceled": QueryCancelled}


class _Worker:
    def __init__(self, argv: Sequence[str], hello: object) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*argv, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the contour; we end with it
            )
        self.connection = Connection(ours.detach())
        self.connection.send(hello)
        self.number = 0

    def end(self) -> None:
        self._process.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.connection.close()


class Workers:
    """At most *count* processes; `ask` from at most as many threads at once."""

    def __init__(self, argv: Sequence[str], world: World, count: int, hello: object = None) -> None:
        """*argv* starts a worker; the number of its end of the socket is appended, and *hello* is
        the first thing that it is sent."""
        self.count = count
        self._hello = hello
        self._argv = argv
        self._world = world
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, wish: Question | Listing, cancelled: Callable[[], bool]) -> Packed:
        """The answer. Raises `QueryError`; `QueryCancelled` soon after `cancelled()` is true."""
        worker = self._take()
        kept = False
        try:
            packed = self._ask(worker, wish, cancelled)
            kept = True
            return packed
        except QueryError:
            kept = True
            raise
        except _Stuck:
            raise QueryCancelled("query was canceled") from None
        except (EOFError, OSError) as error:
            _log.error("query_worker_ended", query=repr(wish)[:1_000])
            raise EvaluationError(
                "the query's process ended; perhaps the query needs more memory than there is"
            ) from error
        finally:
            self._give(worker, kept)

    def _ask(
        self, worker: _Worker, wish: Question | Listing, cancelled: Callable[[], bool]
    ) -> Packed:
        worker.number += 1
        number, connection, clock = worker.number, worker.connection, self._world.clock
        connection.send(("ask", number, wish))
        given_up_s: float | None = None
        while not connection.poll(limits.WORKER_POLL_S):
            if given_up_s is None and cancelled():
                given_up_s = clock.monotonic() + limits.WORKER_GRACE_S
                connection.send(("cancel", number))
            if given_up_s is not None and clock.monotonic() > given_up_s:
                raise _Stuck
        kind, answered, *rest = connection.recv()
        assert answered == number, "a worker answers one question at a time"
        if kind == "packed":
            return Packed(*rest)
        error, text = rest
        if error == FAILED:
            raise RuntimeError(f"a query worker failed: {text}")
        raise _ERRORS.get(error, EvaluationError)(text)

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise QueryCancelled("the server is about to stop")
            if self._idle:
                return self._idle.pop()
            assert len(self._all) < self.count, "more threads than workers"
            worker = _Worker(self._argv, self._hello)
            self._all.add(worker)
            return worker

    def _give(self, worker: _Worker, kept: bool) -> None:
        with self._lock:
            if kept and not self._closed:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        with contextlib.suppress(OSError):
            worker.kill()

    def close(self) -> None:
        """End every worker, whatever it does."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = self._all - set(idle)
            self._all = busy
        for worker in idle:
            worker.kill()
        for worker in busy:
            # its thread sees the end of the connection and does the rest
            with contextlib.suppress(OSError):
                worker.end()


class _Stuck(Exception):
    """A worker did not stop in time."""
