"""Classic histogram series made into native ones with custom buckets, as `load_with_nhcb` does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vezha.model.labels import METRIC_NAME, Labels, get_label, labels_of
from vezha.model.native import CUSTOM_SCHEMA
from vezha.query.histogram import Histogram
from vezha.query.script.series_text import Point, SeriesText

_SUFFIXES = ("_bucket", "_count", "_sum")


@dataclass(slots=True)
class _Classic:
    """One classic histogram at one time: cumulative counts by bound."""

    buckets: dict[float, float] = field(default_factory=dict)
    count: float | None = None
    sum: float = 0.0

    def native(self) -> Histogram | None:
        """The native one, or None where the buckets make no sense."""
        if not self.buckets and self.count is None:
            return None
        bounds = sorted(self.buckets)
        cumulative = [self.buckets[bound] for bound in bounds]
        total = self.count
        if total is None:
            total = cumulative[-1] if cumulative else 0.0
        if not bounds or bounds[-1] != math.inf:
            bounds.append(math.inf)
            cumulative.append(total)
        counts: dict[int, float] = {}
        before = 0.0
        for index, value in enumerate(cumulative):
            if value < before:
                return None
            if value != before:
                counts[index] = value - before
            before = value
        if total != before:
            return None
        return Histogram(CUSTOM_SCHEMA, total, self.sum, positive=counts, bounds=tuple(bounds[:-1]))


def native_series(series: tuple[SeriesText, ...]) -> list[SeriesText]:
    """Native series for the classic histograms among *series*."""
    found: dict[Labels, dict[int, _Classic]] = {}
    for item in series:
        name = get_label(item.labels, METRIC_NAME)
        suffix = next((s for s in _SUFFIXES if name.endswith(s)), None)
        if suffix is None:
            continue
        pairs = dict(item.labels)
        bound = pairs.pop("le", None)
        if (suffix == "_bucket") != (bound is not None):
            continue
        pairs[METRIC_NAME] = name.removesuffix(suffix)
        at_times = found.setdefault(labels_of(pairs), {})
        for index, point in enumerate(item.points):
            if isinstance(point, float):
                _put(at_times.setdefault(index, _Classic()), suffix, bound, point)
    return [
        SeriesText(labels, _points(at_times))
        for labels, at_times in found.items()
        if any(classic.buckets for classic in at_times.values())
    ]


def _put(classic: _Classic, suffix: str, bound: str | None, value: float) -> None:
    if suffix == "_count":
        classic.count = value
    elif suffix == "_sum":
        classic.sum = value
    else:
        assert bound is not None
        try:
            classic.buckets[float(bound)] = value
        except ValueError:
            return


def _points(at_times: dict[int, _Classic]) -> list[Point]:
    points: list[Point] = [None] * (max(at_times) + 1)
    for index, classic in at_times.items():
        points[index] = classic.native()
    return points
