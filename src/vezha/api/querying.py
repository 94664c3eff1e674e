"""Queries: few at a time, bounded in number and time, cancelled when nobody waits.

There are two lanes. A query is first tried in one of `QUERY_THREADS` with small limits; one that
goes beyond them is handed to a worker process, and is known from then on. So what is heavy waits
only for what is heavy, and the interpreter that serves pages and the live stream is never busy with
it. In each lane, where too many wait already, the next is refused at once with 503, which is kinder
than a time-out. The limits of one query (samples, series, memory) are the engine's own.

The event loop itself evaluates only what it has seen to be quick: a query of this shape that took a
thread less than `QUICK_SECONDS_MAX` is answered by the loop the next time, if no thread is busy
(nobody holds a lock then), for the way to a thread and back costs as much as the query does. One that
takes longer than it did goes back to the threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from starlette.responses import Response

from vezha.api import limits
from vezha.api.answers import Answers
from vezha.api.errors import ApiError
from vezha.api.lanes import Cost, Costs, Lane
from vezha.api.metrics import ApiMetrics
from vezha.api.packing import Packed
from vezha.api.question import Listing, Question, answer, listed
from vezha.api.streaming import Pieces, PiecesResponse
from vezha.api.workers import FromWorker, Workers
from vezha.model.columns import SampleSource, TooManySamples, Values
from vezha.model.labels import Labels
from vezha.query.engine import Engine
from vezha.query.errors import LimitExceeded, ParseError, QueryCancelled, QueryError, QueryTimeout
from vezha.query.limits import QueryLimits
from vezha.query.remembered import Remembered
from vezha.world import World

_log = structlog.get_logger("vezha.api.query")
T = TypeVar("T")


class Querying:
    """Evaluates queries of people and programs; owns its threads."""

    def __init__(
        self,
        engine: Engine,
        source: SampleSource,
        world: World,
        metrics: ApiMetrics,
        *,
        threads: int = limits.QUERY_THREADS,
        timeout_s: float = limits.QUERY_TIMEOUT_S,
        waiting_max: int = limits.QUERIES_WAITING_MAX,
        workers: Workers | None = None,
        slow_s: float = limits.QUERY_SLOW_S,
        remembered: Remembered | None = None,
    ) -> None:
        """Without *workers* everything is evaluated in this process, without *remembered* all of
        it anew."""
        self.engine = engine
        options = replace(engine.options, lookback_ms=int(limits.RECENT_S * 1000))
        self._recent = Engine(source, engine.limits, options)
        self.source = source
        self.timeout_s = timeout_s
        self._slow_s = slow_s
        self._world = world
        self._metrics = metrics
        self._light = Lane(threads, waiting_max, "query")
        self._heavy = Lane(workers.count, waiting_max, "heavy") if workers else self._light
        self._streams = ThreadPoolExecutor(2 * workers.count, "stream") if workers else None
        self._workers = workers
        self._costs = Costs()
        self._remembered = remembered
        self._answers: Answers | None = None
        if remembered is not None:
            self._answers = Answers(engine, remembered.marks, remembered.bytes_max)
        self._light_limits = replace(
            engine.limits,
            samples_max=min(limits.LIGHT_SAMPLES_MAX, engine.limits.samples_max),
            cells_max=min(limits.LIGHT_SAMPLES_MAX, engine.limits.cells_max),
            seconds_max=min(limits.LIGHT_SECONDS_MAX, engine.limits.seconds_max),
        )
        self._quick_limits = replace(
            self._light_limits,
            samples_max=min(limits.QUICK_SAMPLES_MAX, engine.limits.samples_max),
            cells_max=min(limits.QUICK_SAMPLES_MAX, engine.limits.cells_max),
        )

    async def answer(
        self,
        question: Question,
        *,
        timeout_s: float | None = None,
        gone: Callable[[], Any] | None = None,
    ) -> Packed | Pieces:
        """The answer to a query. Raises `ApiError`, see `run`."""
        text, workers = question.text, self._workers
        known = None if self._answers is None else self._answers.at_once(question)
        if known is not None:
            self._note(text, "remembered", 0.0)
            return known
        if workers is None:
            return await self.run(
                lambda cancelled: self._kept(
                    question,
                    lambda: answer(self.engine, question, cancelled, None, self._remembered),
                ),
                text, timeout_s=timeout_s, gone=gone,
            )  # fmt: skip
        shape = question.shape
        cost = self._costs.of(shape)
        if cost is Cost.QUICK and not self._light.open:
            packed = self._try_quick(question)
            if packed is not None:
                return packed
        limit_s = min(timeout_s or self.timeout_s, self.timeout_s)
        began_s = handed_s = self._world.clock.monotonic()
        if cost in (None, Cost.QUICK, Cost.LIGHT):
            found = await self.run(
                lambda cancelled: self._try_light(question, cancelled),
                text, timeout_s=limit_s, gone=gone,
            )  # fmt: skip
            if found is not None:
                return found
            handed_s = self._world.clock.monotonic()
        answered = await self.run(
            lambda cancelled: self._kept(question, lambda: workers.ask(question, cancelled)), text,
            timeout_s=max(0.001, limit_s - (handed_s - began_s)), gone=gone, heavy=True,
            told_s=limit_s,
        )  # fmt: skip
        took_s = self._world.clock.monotonic() - handed_s
        if took_s < limits.LIGHT_SECONDS_MAX and self._costs.of(shape) is Cost.SLOW:
            self._costs.forget(shape)  # and it is tried here again
        return answered

    def response(self, found: Packed | Pieces) -> Response:
        """What `answer` gave, as it is sent."""
        if isinstance(found, Packed):
            return found.response()
        assert self._streams is not None, "only workers answer in pieces"
        return PiecesResponse(found, self._streams)

    def _kept(self, question: Question, find: Callable[[], T]) -> T | Packed:
        """The answer that is kept, or the one that is found now and kept, if it is whole."""
        answers = self._answers
        if answers is None:
            return find()
        known = answers.refresh(question)
        if known is not None:
            return known
        if self._costs.of(question.shape) is Cost.QUICK and answers.is_new(question):
            return find()
        begun = answers.begin(question)
        found = find()
        if isinstance(found, Packed):
            answers.keep(question, found, begun)
        return found

    def _try_light(self, question: Question, cancelled: Callable[[], bool]) -> Packed | None:
        """The answer, or None where it would cost too much to find it here."""
        began_s = self._world.clock.monotonic()
        try:
            packed = self._tried(question, cancelled, self._light_limits)
        except LimitExceeded:
            self._costs.note(question.shape, Cost.LARGE)
            return None
        except QueryTimeout:
            self._costs.note(question.shape, Cost.SLOW)
            return None
        took_s = self._world.clock.monotonic() - began_s
        if took_s <= limits.QUICK_SECONDS_MAX and self._costs.of(question.shape) is None:
            self._costs.note(question.shape, Cost.QUICK)
        return packed

    def _try_quick(self, question: Question) -> Packed | None:
        """The answer of a query that was quick, on this thread; None where it is no longer."""
        began_s = self._world.clock.monotonic()
        try:
            packed = self._tried(question, lambda: False, self._quick_limits)
        except LimitExceeded:
            self._costs.note(question.shape, Cost.LIGHT)  # or it would be tried each time
            return None
        except QueryTimeout:
            self._costs.forget(question.shape)
            return None
        except (QueryError, TooManySamples) as error:
            raise api_error(error) from error
        took_s = self._world.clock.monotonic() - began_s
        if took_s > limits.QUICK_SECONDS_MAX:
            self._costs.forget(question.shape)
        self._note(question.text, "answered", took_s)
        return packed

    def _tried(
        self, question: Question, cancelled: Callable[[], bool], small: QueryLimits
    ) -> Packed:
        return self._kept(
            question,
            lambda: answer(self.engine, question, cancelled, small, self._remembered),
        )

    async def names(self, listing: Listing, *, gone: Callable[[], Any] | None = None) -> Packed:
        """Names, values or label sets. Raises `ApiError`, see `run`."""
        workers, text = self._workers, f"{listing.what} {listing.name}".strip()
        if workers is None or _series_of(self.source) <= limits.LISTING_SERIES_MAX:
            return await self.run(lambda _: listed(self.source, listing), text, gone=gone)
        found = await self.run(
            lambda cancelled: workers.ask(listing, cancelled), text, gone=gone, heavy=True
        )
        assert isinstance(found, Packed), "only queries are answered in pieces"
        return found

    async def run(
        self,
        work: Callable[[Callable[[], bool]], T],
        text: str,
        *,
        timeout_s: float | None = None,
        gone: Callable[[], Any] | None = None,
        heavy: bool = False,
        told_s: float = 0.0,
    ) -> T:
        """Run *work(cancelled)* in a thread of the lane; *text* is for the log.

        *gone* is an awaitable function that returns when the client hung up; then, or when time
        is up, `cancelled()` becomes true and the thread ends soon; *told_s* is the limit that
        people know, where *timeout_s* is what is left of it. Raises `ApiError` in the words of
        Prometheus's API.
        """
        lane = self._heavy if heavy else self._light
        if lane.is_full:
            self._metrics.queries.labels("refused").inc()
            raise ApiError(
                503, "busy", "Too many queries are waiting; try again in a moment.",
                headers={"Retry-After": "1"}, error_type="timeout",
            )  # fmt: skip
        stop = threading.Event()
        limit_s = min(timeout_s or self.timeout_s, self.timeout_s)
        began_s = self._world.clock.monotonic()
        outcome = "failed"
        watch: asyncio.Task[Any] | None = None
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(lane.pool, self._guarded, work, stop)
        lane.open += 1
        try:
            watch = None if gone is None else asyncio.ensure_future(gone())
            waited = {future} if watch is None else {future, watch}
            done, _ = await asyncio.wait(
                waited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if future in done:
                result = future.result()
                outcome = "handed over" if result is None else "answered"
                return result
            outcome = "timeout" if not done else "cancelled"
            # The thread notices soon; nobody waits for what it says.
            stop.set()
            future.add_done_callback(_forget)
            if outcome == "cancelled":
                raise ApiError(499, "canceled", "The client hung up.", error_type="canceled")
            raise ApiError(
                503, "timeout",
                f"The query took longer than {told_s or limit_s:g} s (query.timeout_s, or what was "
                "asked for).",
                error_type="timeout",
            )  # fmt: skip
        except asyncio.CancelledError:
            stop.set()
            future.add_done_callback(_forget)
            outcome = "cancelled"
            raise
        except (QueryError, TooManySamples) as error:
            raise api_error(error) from error
        finally:
            lane.open -= 1
            if watch is not None:
                watch.cancel()
            self._note(text, outcome, self._world.clock.monotonic() - began_s)

    def vector(self, text: str, time_ms: int) -> tuple[list[Labels], Values]:
        """An instant query's series and values, evaluated on the calling thread."""
        return _vector(self.engine, text, time_ms)

    def recent(self, text: str, time_ms: int) -> tuple[list[Labels], Values]:
        """The same, of series that had a sample within the last `RECENT_S`."""
        return _vector(self._recent, text, time_ms)

    def close(self) -> None:
        """Let running queries end, take no more."""
        if self._workers is not None:
            self._workers.close()
        for lane in (self._light, self._heavy):
            lane.pool.shutdown(wait=True, cancel_futures=True)
        if self._streams is not None:
            self._streams.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, work: Callable[[Callable[[], bool]], T], stop: threading.Event) -> T:
        # One that waited until nobody wanted it any more is not begun.
        if stop.is_set():
            raise QueryCancelled("query was canceled")
        return work(stop.is_set)

    def _note(self, text: str, outcome: str, took_s: float) -> None:
        self._metrics.count_query(outcome, took_s)
        if took_s >= self._slow_s:
            _log.warning("query_slow", query=text[:1_000], outcome=outcome, took_s=round(took_s, 3))


def _series_of(source: SampleSource) -> float:
    """How many series a source has, as far as it tells."""
    stats = getattr(source, "stats", None)
    return stats().get("series", 0.0) if stats is not None else 0.0


def _vector(engine: Engine, text: str, time_ms: int) -> tuple[list[Labels], Values]:
    result = engine.instant(text, time_ms)
    return result.labels, result.values[:, 0]


def api_error(error: Exception) -> ApiError:
    """A query's error with the status and errorType that Prometheus gives it."""
    if isinstance(error, ParseError):
        return ApiError(400, "bad_data", str(error), error_type="bad_data")
    if isinstance(error, QueryTimeout):
        return ApiError(503, "timeout", str(error), error_type="timeout")
    if isinstance(error, QueryCancelled):
        return ApiError(503, "canceled", str(error), error_type="canceled")
    kind = error.kind if isinstance(error, QueryError) else "execution"
    status = 400 if kind == "bad_data" else 422
    return ApiError(status, kind, str(error), error_type=kind)


def _forget(future: asyncio.Future[Any]) -> None:
    """Nobody takes what came of it."""
    if not future.cancelled() and future.exception() is None:
        found = future.result()
        if isinstance(found, FromWorker):
            found.abandon()
