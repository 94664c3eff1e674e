"""The pool of query workers, as the contour that serves sees it.

`ask` blocks a thread; a worker is started when it is first needed and reused. One that does not
stop when its question is withdrawn is killed. A large answer comes in pieces, and its worker is busy
until the last of them is taken.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol

import structlog

from vezha.api import limits
from vezha.api.packing import Packed
from vezha.api.question import Listing, Question
from vezha.api.worker import FAILED
from vezha.query.errors import EvaluationError, QueryCancelled, QueryError, QueryTimeout
from vezha.world import Clock, World

_log = structlog.get_logger("vezha.api.workers")
_ERRORS: dict[str, type[QueryError]] = {"timeout": QueryTimeout, "canceled": QueryCancelled}


class WorkerProcess(Protocol):
    """What a worker runs in: `subprocess.Popen`, or a child of the supervisor."""

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def wait(self) -> object:
        """Block until it has ended."""
        ...


Start = Callable[[socket.socket], WorkerProcess]
"""Starts a worker that has a duplicate of the socket. Raises OSError."""


class _Worker:
    def __init__(self, start: Start, hello: object) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = start(theirs)
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
    """At most *count* processes; who asks while all are busy waits for one."""

    def __init__(self, start: Start, world: World, count: int, hello: object = None) -> None:
        """*start* starts a worker, and *hello* is the first thing that it is sent."""
        self.count = count
        self._hello = hello
        self._start = start
        self._world = world
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Condition()
        self._closed = False

    def ask(self, wish: Question | Listing, cancelled: Callable[[], bool]) -> Packed | FromWorker:
        """The answer. Raises `QueryError`; `QueryCancelled` soon after `cancelled()` is true."""
        worker = self._take(cancelled)
        kept: bool | None = False
        try:
            found = self._ask(worker, wish, cancelled)
            kept = None if isinstance(found, FromWorker) else True  # that one gives it back itself
            return found
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
            if kept is not None:
                self.give(worker, kept)

    def _ask(
        self, worker: _Worker, wish: Question | Listing, cancelled: Callable[[], bool]
    ) -> Packed | FromWorker:
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
        if kind == "pieces":
            return FromWorker(self, worker, clock, *rest)
        raise _failure(*rest)

    def _take(self, cancelled: Callable[[], bool]) -> _Worker:
        with self._lock:
            while not self._closed and not self._idle and len(self._all) >= self.count:
                self._lock.wait(limits.WORKER_POLL_S)
                if cancelled():
                    raise QueryCancelled("query was canceled")
            if self._closed:
                raise QueryCancelled("the server is about to stop")
            if self._idle:
                return self._idle.pop()
            try:
                worker = _Worker(self._start, self._hello)
            except OSError as error:
                raise EvaluationError(
                    f"no process for the query can be started: {error}"
                ) from error
            self._all.add(worker)
            return worker

    def give(self, worker: _Worker, kept: bool) -> None:
        """Take a worker back; one that is not to be *kept* is killed."""
        with self._lock:
            self._lock.notify()
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


def _failure(kind: str, text: str) -> Exception:
    if kind == FAILED:
        return RuntimeError(f"a query worker failed: {text}")
    return _ERRORS.get(kind, EvaluationError)(text)


class FromWorker:
    """`streaming.Pieces` that a worker prints. It is busy until the end, or `close`."""

    def __init__(self, workers: Workers, worker: _Worker, clock: Clock, coding: str) -> None:
        self.coding = coding
        self._workers = workers
        self._worker: _Worker | None = worker
        self._clock = clock
        self._unwanted = False
        self._lock = threading.Lock()

    def next(self) -> bytes | None:
        """See `Pieces`."""
        with self._lock:
            if self._worker is None or self._unwanted:
                return None
            return self._receive(self._worker)

    def _receive(self, worker: _Worker) -> bytes | None:
        try:
            kind, _, *rest = worker.connection.recv()
        except (EOFError, OSError) as error:
            self._end(kept=False)
            raise EvaluationError("the query's process ended in the middle") from error
        if kind == "piece":
            piece: bytes = rest[0]
            return piece
        self._end(kept=True)
        if kind == "error":
            raise _failure(*rest)
        return None

    def close(self) -> None:
        """See `Pieces`. What is printed already is thrown away; a worker that goes on is killed."""
        self._unwanted = True
        with self._lock:
            worker = self._worker
            if worker is None:
                return
            until_s = self._clock.monotonic() + limits.WORKER_GRACE_S
            with contextlib.suppress(QueryError, RuntimeError, OSError):
                worker.connection.send(("cancel", worker.number))
                while self._clock.monotonic() < until_s:
                    came = worker.connection.poll(limits.WORKER_POLL_S)
                    if came and self._receive(worker) is None:
                        return
            self._end(kept=False)

    def abandon(self) -> None:
        """The same without waiting: the worker is killed."""
        self._unwanted = True
        self._end(kept=False)

    def _end(self, *, kept: bool) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            self._workers.give(worker, kept)


class _Stuck(Exception):
    """A worker did not stop in time."""
