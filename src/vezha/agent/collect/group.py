"""A group: collectors of one interval, sampled together into one vector.

The collectors run one after another in the group's worker thread, and `sample` waits for it with
the time-out of whichever collector is running. One that does not come back is left behind with
its thread: a new worker takes up the rest, in the same tick, and the collector rests until its
thread returns. So nothing that hangs in the kernel costs a tick more than its own time-out.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

from vezha.agent.collect.collector import MISSING, Series
from vezha.agent.collect.runner import Runner
from vezha.model.labels import Labels


class Sample(NamedTuple):
    """One vector: `values[i]` (float64) belongs to `series[i]`.

    `series` is the same object from sample to sample while nothing was announced anew; a value
    missing this tick is the stale marker (`collector.MISSING`).
    """

    series: Series
    values: array[float]


class _Worker(threading.Thread):
    """Runs the group's collectors from one position to the end, each time it is told to."""

    def __init__(self, name: str, runners: Sequence[Runner]) -> None:
        super().__init__(name=name, daemon=True)
        self._runners = runners
        self._go = threading.Lock()
        self._go.acquire()
        self._done = threading.Lock()
        self._done.acquire()
        self._from = 0
        self._now = 0.0
        self._guard = threading.Lock()
        self._left_at = -1
        self.at = -1
        """Position of the collector that is running, -1 between ticks."""
        self.start()

    def begin(self, now: float, position: int) -> None:
        self._now = now
        self._from = position
        self.at = position
        self._go.release()

    def wait_done(self, timeout_s: float) -> bool:
        return self._done.acquire(timeout=max(0.0, timeout_s))

    def leave(self, at: int) -> bool:
        """Give the worker up while it runs collector *at*; False where it has moved on."""
        with self._guard:
            if self.at != at:
                return False
            self._left_at = at
            return True

    def end(self) -> None:
        """Let an idle worker's thread end."""
        self._from = len(self._runners) + 1
        self._go.release()

    def run(self) -> None:
        runners = self._runners
        while True:
            self._go.acquire()
            if self._from > len(runners):
                return
            for position in range(self._from, len(runners)):
                self.at = position
                runner = runners[position]
                if runner.hung:
                    continue
                runner.run(self._now)
                with self._guard:
                    if self._left_at == position:
                        runner.returned()
                        return
                    runner.late = 0
                    self.at = position + 1
            self.at = -1
            self._done.release()


class Group:
    """All collectors of one interval."""

    def __init__(
        self, name: str, interval_ticks: int, phase: int, runners: Sequence[Runner]
    ) -> None:
        self.name = name
        self.interval_ticks = interval_ticks
        self.phase = phase
        self.runners = tuple(runners)
        self._hears_of_changes = any(r.collector.hears_of_changes for r in self.runners)
        self._worker: _Worker | None = None
        self._parts: list[Series] = [()] * len(self.runners)
        self._masks: list[list[bool] | None] = [None] * len(self.runners)
        self._schema: Series = ()
        self.duplicates = 0
        """Series dropped from the present schema because another collector has them."""

    def is_due(self, tick_index: int) -> bool:
        """Whether this tick is the group's: all at the first, then each at its phase, and in
        between when a collector has news."""
        if tick_index == 0 or tick_index % self.interval_ticks == self.phase:
            return True
        return self._hears_of_changes and any(runner.has_news() for runner in self.runners)

    def sample(self, now: float) -> Sample | None:
        """Read every collector at the tick stamped *now* (s); None while none has a series.

        Blocks for as long as the collectors take, at most the sum of their time-outs.
        """
        self._run(now)
        parts = self._parts
        changed = False
        columns: list[Sequence[float]] = []
        for i, runner in enumerate(self.runners):
            # A thread that was left behind may write to its runner at any time: read once.
            series, column = runner.series, runner.values
            if runner.hung or column is None or len(column) != len(series):
                column = (MISSING,) * len(series)
            columns.append(column)
            if series is not parts[i]:
                changed = True
                parts[i] = series
        if changed:
            self._announce_anew()
        if not self._schema:
            return None
        values: list[float] = []
        for column, mask in zip(columns, self._masks, strict=True):
            values += column if mask is None else compress(column, mask)
        return Sample(self._schema, array("d", values))

    def _announce_anew(self) -> None:
        """Join the collectors' series into one schema; of equal series the first stays."""
        schema: Series = tuple(labels for part in self._parts for labels in part)
        self._masks = [None] * len(self._parts)
        self.duplicates = len(schema) - len(set(schema))
        if self.duplicates:
            seen: set[Labels] = set()
            for i, part in enumerate(self._parts):
                mask = []
                for labels in part:
                    mask.append(labels not in seen)
                    seen.add(labels)
                self._masks[i] = None if all(mask) else mask
            schema = tuple(dict.fromkeys(schema))
        self._schema = schema

    def close(self) -> None:
        """End the worker and close the collectors' sources."""
        if self._worker is not None:
            self._worker.end()
            self._worker.join(1.0)
            self._worker = None
        for runner in self.runners:
            if not runner.hung:
                runner.collector.stop()

    def _run(self, now: float) -> None:
        """Run all collectors, replacing workers that hang. Returns when the rest is done."""
        if self._worker is None:
            self._worker = _Worker(f"collect-{self.name}", self.runners)
        worker = self._worker
        worker.begin(now, 0)
        while True:
            at = worker.at
            is_running = 0 <= at < len(self.runners)
            if worker.wait_done(self.runners[at].timeout_s if is_running else 0.05):
                return
            if not is_running or not worker.leave(at):
                # It has moved on since; the collector that runs now gets its whole time-out.
                continue
            self.runners[at].timed_out()
            if at + 1 == len(self.runners):
                self._worker = None
                return
            worker = self._worker = _Worker(f"collect-{self.name}", self.runners)
            worker.begin(now, at + 1)
