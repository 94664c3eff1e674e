"""One collector under guard: its failures, its cost, its pauses.

A runner is in one of these states: *resting* (failed; tries again at `_next_try`), *off* (found
nothing to read here; probes again), *hung* (its thread has not come back; see `group`), else
running. It never lets an exception out.
"""

from __future__ import annotations

from collections.abc import Sequence

from vezha.agent.catalogue import Entry
from vezha.agent.collect.collector import Collector, NotHere, Series
from vezha.agent.limits import (
    BACK_OFF_MAX_S,
    FAILURES_BEFORE_LEFT_OUT,
    PROBE_AGAIN_S,
    SERIES_PER_COLLECTOR_MAX,
)
from vezha.world import Clock

NOTHING: Series = ()


class Runner:
    """Guards one collector."""

    def __init__(
        self, entry: Entry, collector: Collector, clock: Clock, interval_s: int, timeout_s: float
    ) -> None:
        self.name = entry.name
        self.collector = collector
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self.series: Series = NOTHING
        """What the group announces for it: () while it is off or left out."""
        self.values: Sequence[float] | None = None
        """This tick's values, or None where they are missing."""
        self.duration_s = 0.0
        self.cost_s_total = 0.0
        self.errors_total = 0
        self.timeouts_total = 0
        self.failures = 0
        """In a row."""
        self.off_reason = ""
        self.last_error = ""
        self.hung = False
        self.late = 0
        """Time-outs in a row."""
        self._clock = clock
        self._started = False
        self._next_try = 0.0

    @property
    def running(self) -> bool:
        """Whether it is expected to deliver (it may be failing at present)."""
        return self.off_reason == ""

    @property
    def success(self) -> float:
        """1 where the last try delivered."""
        return 0.0 if self.failures or self.hung else 1.0

    def run(self, now: float) -> None:
        """Try once at the tick stamped *now*; sets `values` and `series`."""
        began = self._clock.monotonic()
        if began < self._next_try:
            self.values = None
            return
        try:
            if not self._started:
                self.collector.start()
                self._started = True
                self.off_reason = ""
            values = self.collector.read(now)
            series = self.collector.series
            if len(values) != len(series) or len(series) > SERIES_PER_COLLECTOR_MAX:
                raise ValueError(f"{len(values)} values for {len(series)} series")
        except NotHere as reason:
            self._stop()
            self.off_reason = str(reason) or "nothing to read"
            self.failures = 0
            self.values = None
            self.series = NOTHING
            self._next_try = began + PROBE_AGAIN_S
            return
        except Exception as error:
            self.duration_s = self._clock.monotonic() - began
            self.cost_s_total += self.duration_s
            self._failed(f"{type(error).__name__}: {error}")
            self._stop()
            return
        self.values = values
        self.series = series
        self.failures = 0
        self.duration_s = self._clock.monotonic() - began
        self.cost_s_total += self.duration_s

    def has_news(self) -> bool:
        """Whether its collector asks to be read before its interval is over."""
        if not self._started or self.hung:
            return False
        try:
            return self.collector.has_news()
        except (OSError, ValueError):
            # Its source broke: reading it will say so, and be counted.
            return True

    def timed_out(self) -> None:
        """The group gave up waiting; the thread is still inside `run`."""
        self.hung = True
        self.timeouts_total += 1
        self.late += 1
        self.duration_s = self.timeout_s
        self._failed(f"no answer within {self.timeout_s:g} s")

    def returned(self) -> None:
        """The thread that hung inside `run` came back (whatever it brought is too late)."""
        self.values = None
        if self.late >= FAILURES_BEFORE_LEFT_OUT:
            self.failures = self.late - 1
            self._failed("late again")
        self.hung = False

    def _failed(self, text: str) -> None:
        self.errors_total += 1
        self.last_error = text
        self.values = None
        self.failures += 1
        if self.failures >= FAILURES_BEFORE_LEFT_OUT:
            self.series = NOTHING
            pause = self.interval_s * 2.0 ** min(self.failures - FAILURES_BEFORE_LEFT_OUT, 10)
            self._next_try = self._clock.monotonic() + min(pause, BACK_OFF_MAX_S)

    def _stop(self) -> None:
        # Its descriptors may be what is broken, so the next try starts from the beginning.
        self._started = False
        try:
            self.collector.stop()
        except Exception as error:
            self.last_error = f"{type(error).__name__}: {error}"
