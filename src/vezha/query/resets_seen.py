"""What is known of counter resets between native histograms when they are read.

A store says of a histogram that its counter was not reset since the one before, or nothing. Who
only wants count and sum (`histogram_count`, `histogram_sum`, `histogram_avg`) reads each sample
beside the one before it and so does see resets, as Prometheus does; that histograms known to be
reset are added to others known not to be is then warned of. The samples of a subquery are not
neighbours in the store: what was known of them says nothing, so they are compared anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.query.histogram import Hint, Histogram

_STATS = frozenset({"histogram_avg", "histogram_count", "histogram_sum"})
_BUCKETS = frozenset({"histogram_fraction", "histogram_quantile", "histogram_quantiles"})
Objects = npt.NDArray[np.object_]


@dataclass(slots=True)
class ResetsSeen:
    """Where in the query's tree evaluation is. `wanted`: selectors here look for resets."""

    stats_only: bool = False
    subqueries: int = 0

    @property
    def wanted(self) -> bool:
        return self.stats_only and not self.subqueries

    @contextmanager
    def under(self, function: str) -> Iterator[None]:
        """While the arguments of *function* are evaluated."""
        outer = self.stats_only
        if function in _STATS:
            self.stats_only = True
        elif function in _BUCKETS:
            self.stats_only = False
        try:
            yield
        finally:
            self.stats_only = outer

    @contextmanager
    def in_subquery(self) -> Iterator[None]:
        """While a subquery is evaluated."""
        self.subqueries += 1
        try:
            yield
        finally:
            self.subqueries -= 1


def with_resets(hists: Objects, offsets: npt.NDArray[np.int64]) -> Objects:
    """*hists* (as long as the samples; `offsets` as in `SeriesData`), each of which nothing was
    known compared with the one before it in its series."""
    out = hists.copy()
    heads = set(offsets[:-1].tolist())
    for at, histogram in enumerate(hists):
        if not isinstance(histogram, Histogram) or histogram.hint is not Hint.UNKNOWN:
            continue
        before = hists[at - 1] if at not in heads else None
        if isinstance(before, Histogram):
            fell = histogram.fell_below(before)
            out[at] = histogram.with_hint(Hint.RESET if fell else Hint.NOT_RESET)
    return out


def without_resets(hists: Objects) -> Objects:
    """*hists* with nothing known of resets; gauges stay gauges."""
    out = hists.copy()
    for at, histogram in enumerate(hists):
        if isinstance(histogram, Histogram) and histogram.hint is not Hint.GAUGE:
            out[at] = histogram.with_hint(Hint.UNKNOWN)
    return out
