"""The own store and a remote engine as one source: what is kept here is read here, what is older
is asked of the engine.

So detection, live pages and charts of today never wait for another machine. While the engine is
away a query gets what is here, and a warning that says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import structlog

from vezha.model.columns import Matcher, SampleSource, Selection, SeriesData, Times, Values
from vezha.model.labels import Labels
from vezha.store.errors import StoreError
from vezha.store.limits import REMOTE_REST_S
from vezha.world import World

log = structlog.get_logger("vezha.remote")


class Near(SampleSource, Protocol):
    """A source that knows since when it has everything."""

    def began_ms(self) -> int | None:
        """When it began to be written; None where it does not exist yet."""
        ...

    def has_label(self, name: str) -> bool:
        """Whether any series had a label of that name, at least as of what was read last."""
        ...

    def stats(self) -> dict[str, float]:
        """What it holds."""
        ...


class JoinedSource:
    """A `SampleSource` over both."""

    def __init__(
        self, near: Near, far: SampleSource, kept_ms: int, world: World, name: str
    ) -> None:
        """*kept_ms* is how far back *near* answers; *name* is the engine's address for people."""
        self._near = near
        self._far = far
        self._kept_ms = kept_ms
        self._world = world
        self._name = name
        self._rests_until = 0.0
        self._why = ""

    def _since(self) -> int:
        """From when on the own store has everything."""
        now_ms = int(self._world.clock.now() * 1000)
        began_ms = self._near.began_ms()
        return max(now_ms - self._kept_ms, now_ms if began_ms is None else began_ms)

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`."""
        since = self._since()
        if selection.start_ms >= since:
            return self._near.select(selection)
        far, edge = replace(selection, rolled=False), min(since, selection.end_ms)
        if selection.end_ms > since:
            # both must look along the same steps; the engine has what is newer, too
            ahead = selection.end_ms - since
            step = selection.step_ms
            on_step = selection.end_ms - ahead // step * step if step else 0
            if step and not selection.range_ms and on_step < selection.end_ms:
                edge = on_step
            else:
                far = replace(far, step_ms=0, range_ms=0, newest_only=False, lookback_ms=0)
        far = replace(far, end_ms=edge)
        found, why = SeriesData.empty(), ""
        try:
            found = self._ask(lambda: self._far.select(far))
        except StoreError as error:
            why = str(error)
        if selection.end_ms > edge:
            left = max(1, selection.samples_max - len(found.ts))
            newer = self._near.select(
                replace(selection, start_ms=edge, samples_max=left, rolled=False)
            )
            found = _joined(found, newer)
        if why:
            found.notes["warning"] = (
                f"samples before {_utc(edge)} are missing: the remote engine {self._name} "
                f"(remote.query_url) does not answer: {why}"
            )
        return found

    def _ask(self, work: Callable[[], SeriesData]) -> SeriesData:
        """Ask the engine, unless it has just failed: then no query need wait for it again."""
        clock = self._world.clock
        if clock.monotonic() < self._rests_until:
            raise StoreError(self._why)
        try:
            return work()
        except StoreError as error:
            self._why = str(error)
            self._rests_until = clock.monotonic() + REMOTE_REST_S
            log.warning("remote_unreadable", engine=self._name, why=self._why)
            raise

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        """See `SampleSource.series`; without the engine's while it is away."""
        found = set(self._near.series(matchers, start_ms, end_ms))
        if start_ms < self._since():
            labels: list[Labels] = []

            def work() -> SeriesData:
                labels.extend(self._far.series(matchers, max(start_ms, 0), end_ms))
                return SeriesData.empty()

            try:
                self._ask(work)
            except StoreError:
                labels = []
            found.update(labels)
        ordered = sorted(found)
        return ordered[:limit] if limit else ordered

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See `SampleSource.label_names`."""
        found = self.series(matchers, start_ms, end_ms)
        return sorted({name for labels in found for name, _ in labels})

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        """See `SampleSource.label_values`."""
        found = self.series(matchers, start_ms, end_ms)
        return sorted({value for labels in found for n, value in labels if n == name})

    def has_label(self, name: str) -> bool:
        """Whether any series of the own store had a label of that name, likewise."""
        return self._near.has_label(name)

    def stats(self) -> dict[str, float]:
        """Of the own store."""
        return self._near.stats()


def _joined(older: SeriesData, newer: SeriesData) -> SeriesData:
    """Series of both; all of *older* are before all of *newer*."""
    if not older.labels:
        return newer
    if not newer.labels:
        return older
    at = {labels: i for i, labels in enumerate(older.labels)}
    there = {labels: i for i, labels in enumerate(newer.labels)}
    names = sorted({*at, *there})
    ts: list[Times] = []
    values: list[Values] = []
    sizes: list[int] = []
    for labels in names:
        size = 0
        for data, index in ((older, at.get(labels)), (newer, there.get(labels))):
            if index is not None:
                part = slice(int(data.offsets[index]), int(data.offsets[index + 1]))
                ts.append(data.ts[part])
                values.append(data.values[part])
                size += part.stop - part.start
        sizes.append(size)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    notes = {**older.notes, **newer.notes}
    return SeriesData(names, np.concatenate(ts), np.concatenate(values), offsets, notes=notes)


def _utc(ms: int) -> str:
    text = np.datetime_as_string(np.datetime64(ms, "ms"), unit="s")
    return f"{text}Z"
