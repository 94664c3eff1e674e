"""Native histograms out of the series that their parts are stored in (`model.native`).

`with_histograms` stands between the engine and a source: a selection's parts are put together to
histograms, lists of series and labels show the histogram and not its parts. Where a source can
tell that it has no parts, it is asked as if this were not here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vezha.model.columns import (
    STALE_NAN,
    Matcher,
    MatchOp,
    SampleSource,
    Selection,
    SeriesData,
    Times,
    Values,
    is_stale,
)
from vezha.model.labels import Labels
from vezha.model.native import (
    COUNT,
    CUSTOM_SCHEMA,
    GAUGE,
    PART_LABEL,
    SCHEMA,
    SCHEMA_MAX,
    SCHEMA_MIN,
    SUM,
    THRESHOLD,
    ZERO,
    NativeSample,
    bucket_of,
    parts_of,
    without_part,
)
from vezha.query.histogram import Hint, Histogram

_FLOATS = Matcher(PART_LABEL, MatchOp.EQ, "")
_PARTS = Matcher(PART_LABEL, MatchOp.NE, "")
Objects = npt.NDArray[np.object_]
Piece = tuple[Labels, Times, Values, Objects | None]


def with_histograms(source: SampleSource) -> SampleSource:
    """*source* with histograms in place of their parts."""
    return source if isinstance(source, WithHistograms) else WithHistograms(source)


def stored_parts(histogram: Histogram) -> list[tuple[str, float]]:
    """Names and values of the parts that a histogram is stored in: the way back."""
    return parts_of(
        NativeSample(
            schema=histogram.schema,
            count=histogram.count,
            sum=histogram.sum,
            threshold=histogram.zero_threshold,
            zero=histogram.zero_count,
            positive=histogram.positive,
            negative=histogram.negative,
            bounds=histogram.bounds,
            gauge=histogram.hint is Hint.GAUGE,
        )
    )


class WithHistograms:
    """A `SampleSource` over another."""

    def __init__(self, source: SampleSource) -> None:
        self.inner = source
        self._tell: Callable[[str], bool] | None = getattr(source, "has_label", None)

    def _has_parts(self) -> bool | None:
        return None if self._tell is None else bool(self._tell(PART_LABEL))

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`."""
        if self._has_parts() is not True:
            data = self.inner.select(selection)
            if self._has_parts() is False:  # reading brought the source up to date
                return data
        if self._tell is None:
            parts = [i for i, labels in enumerate(data.labels) if _part(labels) is not None]
            if not parts:
                return data
            kept = sorted(set(range(len(data.labels))).difference(parts))
            return _joined(_pieces(data, kept), _histograms(data, parts), data.notes)
        matchers = tuple(selection.matchers)
        # of every part every sample: no roll-up, and none left out
        parts_only = replace(
            selection, matchers=(*matchers, _PARTS), step_ms=0, range_ms=0, function=""
        )
        data = self.inner.select(replace(parts_only, rolled=False))
        floats_only = replace(selection, matchers=(*matchers, _FLOATS))
        if not data.labels:
            return self.inner.select(floats_only)
        floats = self.inner.select(replace(floats_only, rolled=False))
        pieces = _pieces(floats, list(range(len(floats.labels))))
        return _joined(pieces, _histograms(data, list(range(len(data.labels)))), floats.notes)

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        """See `SampleSource.series`."""
        if self._has_parts() is False:
            found = self.inner.series(matchers, start_ms, end_ms, limit)
            if self._has_parts() is False:
                return found
        found = self.inner.series(matchers, start_ms, end_ms)
        whole = sorted({without_part(labels) for labels in found})
        return whole[:limit] if limit else whole

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See `SampleSource.label_names`."""
        names = self.inner.label_names(matchers, start_ms, end_ms)
        return [name for name in names if name != PART_LABEL]

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        """See `SampleSource.label_values`."""
        if name == PART_LABEL:
            return []
        return self.inner.label_values(name, matchers, start_ms, end_ms)


def _part(labels: Labels) -> str | None:
    for name, value in labels:
        if name == PART_LABEL:
            return value
    return None


def _pieces(data: SeriesData, which: list[int]) -> list[Piece]:
    bounds = data.offsets.tolist()
    return [
        (
            data.labels[i],
            data.ts[bounds[i] : bounds[i + 1]],
            data.values[bounds[i] : bounds[i + 1]],
            None if data.histograms is None else data.histograms[bounds[i] : bounds[i + 1]],
        )
        for i in which
    ]


def _histograms(data: SeriesData, which: list[int]) -> list[Piece]:
    """Series of histograms out of series of parts."""
    groups: dict[Labels, dict[str, tuple[Times, Values]]] = {}
    for labels, ts, values, _ in _pieces(data, which):
        part = _part(labels)
        assert part is not None
        groups.setdefault(without_part(labels), {})[part] = (ts, values)
    return [(labels, *_series(parts)) for labels, parts in groups.items() if COUNT in parts]


def _series(parts: dict[str, tuple[Times, Values]]) -> tuple[Times, Values, Objects]:
    """Times, values (0, or the stale marker) and histograms of one series."""
    ts, counts = parts[COUNT]

    def column(name: str, absent: float = 0.0) -> Values:
        out = np.full(len(ts), absent)
        if name in parts:
            own, values = parts[name]
            at = np.minimum(np.searchsorted(ts, own), len(ts) - 1)
            there = ts[at] == own
            out[at[there]] = values[there]
        return out

    sums = column(SUM)
    schemas = column(SCHEMA).astype(np.int64).tolist()
    zeros, thresholds, gauges = column(ZERO), column(THRESHOLD), column(GAUGE)
    found = [(bucket, name) for name in parts if (bucket := bucket_of(name)) is not None]
    keys = [bucket for bucket, _ in found]
    matrix = np.full((len(ts), len(found)), np.nan)
    for place, (_, name) in enumerate(found):
        matrix[:, place] = column(name, np.nan)
    stale = is_stale(sums)
    values = np.where(stale, STALE_NAN, 0.0)
    histograms: Objects = np.full(len(ts), None, np.object_)
    for row in np.flatnonzero(~stale).tolist():
        line = matrix[row]
        there = np.flatnonzero(~np.isnan(line)).tolist()
        buckets = [(keys[place], float(line[place])) for place in there]
        histograms[row] = _histogram(
            schemas[row],
            Histogram(
                count=float(counts[row]),
                sum=float(sums[row]),
                zero_threshold=float(thresholds[row]),
                zero_count=float(zeros[row]),
                hint=Hint.GAUGE if gauges[row] else Hint.UNKNOWN,
            ),
            buckets,
        )
    return ts, values, histograms


def _histogram(
    schema: int, plain: Histogram, buckets: list[tuple[tuple[str, int, float], float]]
) -> Any:
    """*plain* with its buckets; None of a schema that is not known."""
    if schema == CUSTOM_SCHEMA:
        custom = sorted((bound, count) for (kind, _, bound), count in buckets if kind == "le")
        return replace(
            plain,
            schema=schema,
            bounds=tuple(bound for bound, _ in custom if bound != np.inf),
            positive={i: count for i, (_, count) in enumerate(custom) if count},
        )
    if not SCHEMA_MIN <= schema <= SCHEMA_MAX:
        return None
    sides: dict[str, dict[int, float]] = {"+": {}, "-": {}}
    for (kind, of, index), count in buckets:
        if of == schema and kind in sides and count:
            sides[kind][int(index)] = count
    return replace(plain, schema=schema, positive=sides["+"], negative=sides["-"])


def _joined(floats: list[Piece], natives: list[Piece], notes: dict[str, Any]) -> SeriesData:
    """Series of both kinds, sorted by labels; those that are both, by time."""
    pieces = {piece[0]: piece for piece in floats}
    for labels, ts, values, histograms in natives:
        other = pieces.get(labels)
        if other is not None:
            none: Objects = np.full(len(other[1]), None, np.object_)
            all_ts = np.concatenate([other[1], ts])
            _, first = np.unique(all_ts, return_index=True)  # of equal times the float one
            ts = all_ts[first]
            values = np.concatenate([other[2], values])[first]
            before = none if other[3] is None else other[3]
            histograms = np.concatenate([before, histograms])[first]
        pieces[labels] = (labels, ts, values, histograms)
    if not pieces:
        return SeriesData.empty()
    ordered = [pieces[labels] for labels in sorted(pieces)]
    sizes = [len(piece[1]) for piece in ordered]
    offsets = np.zeros(len(ordered) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    column: Objects = np.full(int(offsets[-1]), None, np.object_)
    for i, piece in enumerate(ordered):
        if piece[3] is not None:
            column[offsets[i] : offsets[i + 1]] = piece[3]
    return SeriesData(
        [piece[0] for piece in ordered],
        np.concatenate([piece[1] for piece in ordered]),
        np.concatenate([piece[2] for piece in ordered]),
        offsets,
        column,
        notes,
    )
