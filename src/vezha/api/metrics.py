"""The web contour's own metrics, for `/metrics`. Each set has its own registry."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vezha.api import limits
from vezha.api.stage_times import StageTimes


class ApiMetrics:
    """Counters of the API."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vezha_http_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "vezha_http_request_duration_seconds",
            "How long requests took.",
            ["route"],
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60),
            registry=self.registry,
        )
        self.refused = Counter(
            "vezha_http_refused", "Requests refused by access.", ["reason"], registry=self.registry
        )
        self.queries = Counter(
            "vezha_queries", "PromQL queries by outcome.", ["outcome"], registry=self.registry
        )
        self.query_seconds = Histogram(
            "vezha_query_duration_seconds",
            "How long PromQL queries took, waiting included.",
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30),
            registry=self.registry,
        )
        self.viewers = Gauge(
            "vezha_live_viewers", "Open live streams of viewers.", registry=self.registry
        )
        self.live_frames = Counter(
            "vezha_live_frames", "Frames queued for viewers.", ["kind"], registry=self.registry
        )
        self.live_skipped = Counter(
            "vezha_live_skipped_frames",
            "Frames that slow viewers did not get; a full one follows.",
            registry=self.registry,
        )
        self.live_tick_seconds = Histogram(
            "vezha_live_tick_duration_seconds",
            "How long one second's frames took to make.",
            buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1),
            registry=self.registry,
        )
        self.stages = StageTimes(self.registry)
        self._outcomes: dict[str, Counter] = {}
        self._noted: deque[tuple[Counter, Histogram, float]] = deque()

    def counts_of(self, method: str, route: str) -> Callable[[int, float], None]:
        """What counts a route's answers: `(status, seconds)`."""
        answers: dict[int, tuple[Counter, Histogram]] = {}

        def count(status: int, took_s: float) -> None:
            known = answers.get(status)
            if known is None:  # what nobody asked for is not shown
                known = answers[status] = (
                    self.requests.labels(method, route, str(status)),
                    self.request_seconds.labels(route),
                )
            self._note(*known, took_s)

        return count

    def count_query(self, outcome: str, took_s: float) -> None:
        """A query that ended so, after so long."""
        known = self._outcomes.get(outcome)
        if known is None:
            known = self._outcomes[outcome] = self.queries.labels(outcome)
        self._note(known, self.query_seconds, took_s)

    def _note(self, counter: Counter, seconds: Histogram, took_s: float) -> None:
        """Counted when somebody looks: that is cheaper for many at once, and no answer waits for it."""
        self._noted.append((counter, seconds, took_s))
        if len(self._noted) > limits.ANSWERS_NOTED_MAX:
            self._settle()

    def _settle(self) -> None:
        with contextlib.suppress(IndexError):  # that was all
            while True:
                counter, seconds, took_s = self._noted.popleft()
                counter.inc()
                seconds.observe(took_s)

    def show(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, about, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """All of them in the Prometheus text format."""
        self._settle()
        return generate_latest(self.registry)
