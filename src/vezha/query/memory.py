"""`MemorySource`: samples in memory behind the `SampleSource` contract.

The twin of the store for tests, rehearsals of rules and the script runner. Samples of a series
are kept sorted by time; a later write at the same time replaces the earlier.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vezha.model.columns import Matcher, MatchOp, Selection, SeriesData, TooManySamples
from vezha.model.labels import Labels, get_label
from vezha.query.regex import compile_matcher


class _Series:
    __slots__ = ("hists", "starts", "ts", "values")

    def __init__(self) -> None:
        self.ts: list[int] = []
        self.values: list[float] = []
        self.hists: dict[int, Any] = {}
        self.starts: dict[int, int] = {}


class MemorySource:
    """A small store without disk. Not for large data: lists, not columns.

    With *starts* it keeps when the counters of float samples began, too.
    """

    def __init__(self, starts: bool = False) -> None:
        self._starts = starts
        self._series: dict[Labels, _Series] = {}
        self._interned: dict[Labels, Labels] = {}

    def append(
        self, labels: Labels, ts_ms: int, value: float, histogram: Any = None, start_ms: int = 0
    ) -> None:
        """Add one sample; a native *histogram* replaces the value. *start_ms*: when its counter
        began, 0 if that is not known."""
        series = self._series.setdefault(labels, _Series())
        ts = series.ts
        if not ts or ts_ms > ts[-1]:
            ts.append(ts_ms)
            series.values.append(value)
        else:
            at = bisect.bisect_left(ts, ts_ms)
            if at < len(ts) and ts[at] == ts_ms:
                series.values[at] = value
            else:
                ts.insert(at, ts_ms)
                series.values.insert(at, value)
        if histogram is not None:
            series.hists[ts_ms] = histogram
        else:
            series.hists.pop(ts_ms, None)
        if start_ms and histogram is None:
            series.starts[ts_ms] = start_ms
        else:
            series.starts.pop(ts_ms, None)

    def extend(self, labels: Labels, samples: Iterable[tuple[int, float]]) -> None:
        """Add samples (ms, value) of one series."""
        for ts_ms, value in samples:
            self.append(labels, ts_ms, value)

    def clear(self) -> None:
        """Forget everything."""
        self._series.clear()

    def __len__(self) -> int:
        return len(self._series)

    def _matching(self, matchers: Sequence[Matcher]) -> list[Labels]:
        tests = [(m.name, matcher_test(m)) for m in matchers]
        return sorted(
            labels
            for labels in self._series
            if all(test(get_label(labels, name)) for name, test in tests)
        )

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`."""
        labels_out: list[Labels] = []
        ts_out: list[np.ndarray[Any, np.dtype[np.int64]]] = []
        values_out: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        offsets = [0]
        hists: list[tuple[int, Any]] = []
        starts: list[int] = []
        for labels in self._matching(selection.matchers):
            series = self._series[labels]
            lo = bisect.bisect_right(series.ts, selection.start_ms)
            hi = bisect.bisect_right(series.ts, selection.end_ms)
            if hi <= lo:
                continue
            base = offsets[-1]
            if base + hi - lo > selection.samples_max:
                raise TooManySamples(f"more than {selection.samples_max} samples")
            labels_out.append(labels)
            ts_out.append(np.asarray(series.ts[lo:hi], np.int64))
            values_out.append(np.asarray(series.values[lo:hi], np.float64))
            offsets.append(base + hi - lo)
            if self._starts:
                starts += [series.starts.get(ts, 0) for ts in series.ts[lo:hi]]
            if series.hists:
                for index in range(lo, hi):
                    histogram = series.hists.get(series.ts[index])
                    if histogram is not None:
                        hists.append((base + index - lo, histogram))
        if not labels_out:
            return SeriesData.empty()
        column = None
        if hists:
            column = np.full(offsets[-1], None, np.object_)
            for at, histogram in hists:
                column[at] = histogram
        return SeriesData(
            labels_out, np.concatenate(ts_out), np.concatenate(values_out),
            np.asarray(offsets, np.int64), column,
            starts=np.asarray(starts, np.int64) if self._starts else None,
        )  # fmt: skip

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        """See `SampleSource.series`."""
        found = [
            labels
            for labels in self._matching(matchers)
            if self._has_samples(self._series[labels], start_ms, end_ms)
        ]
        return found[:limit] if limit else found

    @staticmethod
    def _has_samples(series: _Series, start_ms: int, end_ms: int) -> bool:
        at = bisect.bisect_left(series.ts, start_ms)
        return at < len(series.ts) and series.ts[at] <= end_ms

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


def matcher_test(matcher: Matcher) -> Any:
    """A function value -> bool for one matcher."""
    value = matcher.value
    if matcher.op is MatchOp.EQ:
        return value.__eq__
    if matcher.op is MatchOp.NE:
        return value.__ne__
    pattern = compile_matcher(value)
    if matcher.op is MatchOp.RE:
        return lambda text: pattern.fullmatch(text) is not None
    return lambda text: pattern.fullmatch(text) is None
