"""The trim operators: `histogram </ x` keeps observations below x, `>/` those above.

A bucket that x cuts keeps the part that interpolation puts on its side: logarithmic for
exponential buckets, linear for custom ones and the zero bucket. Observations in an endless
bucket count as infinitely far away, but `[-Inf, u]` with u > 0 stands for `[0, u]`. If anything
was cut, count and sum are made anew, the sum from the middles of what is left.
"""

from __future__ import annotations

import math
from dataclasses import replace

from vezha.query.histogram import Histogram

Kept = tuple[float, float]
"""Observations kept, and the value that stands for each of them."""


def trimmed(histogram: Histogram, edge: float, upper: bool) -> Histogram:
    """*histogram* without what lies above (*upper*) or below *edge*."""
    if math.isnan(edge):
        return histogram
    kept = _Trim(histogram, edge, upper)
    positive = {
        index: kept.bucket(histogram.bound(index - 1), histogram.bound(index), count, False)
        for index, count in sorted(histogram.positive.items())
    }
    negative = {
        index: kept.bucket(-histogram.bound(index), -histogram.bound(index - 1), count, False)
        for index, count in sorted(histogram.negative.items())
    }
    zero = 0.0
    if histogram.zero_count:
        low, high = zero_edges(histogram)
        zero = kept.bucket(low, high, histogram.zero_count, True)
    if not kept.changed:
        return histogram
    return replace(
        histogram,
        count=math.fsum(kept.counts),
        sum=math.fsum(kept.sums),
        zero_count=zero,
        positive={index: count for index, count in positive.items() if count},
        negative={index: count for index, count in negative.items() if count},
    )


def zero_edges(histogram: Histogram) -> Kept:
    """The zero bucket's edges, cut where the other side holds nothing."""
    width = histogram.zero_threshold
    if histogram.positive and not histogram.negative:
        return 0.0, width
    if histogram.negative and not histogram.positive:
        return -width, 0.0
    return -width, width


class _Trim:
    """Collects what is kept of each bucket."""

    def __init__(self, histogram: Histogram, edge: float, upper: bool) -> None:
        self.histogram = histogram
        self.edge = edge
        self.upper = upper
        self.changed = False
        self.counts: list[float] = []
        self.sums: list[float] = []

    def bucket(self, low: float, high: float, count: float, zero: bool) -> float:
        kept, middle = self._kept(low, high, count, zero)
        self.changed = self.changed or kept != count
        if kept:
            self.counts.append(kept)
            self.sums.append(kept * middle)
        return kept

    def _kept(self, low: float, high: float, count: float, zero: bool) -> Kept:
        edge = self.edge
        whole = high <= edge if self.upper else low >= edge
        if whole:
            return count, self._middle(low, high, zero)
        none = low >= edge if self.upper else high <= edge
        if none:
            return 0.0, 0.0
        if math.isinf(low) or math.isinf(high):
            return self._endless(low, high, count)
        below = count * self._part_below(low, high, zero)
        if self.upper:
            return below, self._middle(low, edge, zero)
        return count - below, self._middle(edge, high, zero)

    def _endless(self, low: float, high: float, count: float) -> Kept:
        edge = self.edge
        if math.isinf(low) and math.isinf(high):
            return 0.0, 0.0
        if math.isinf(high):
            return (0.0, 0.0) if self.upper else (count, edge)
        if self.upper:
            if high > 0 and edge > 0:
                return count * edge / high, edge / 2
            return (count, edge) if high <= 0 else (0.0, 0.0)
        if edge >= 0:
            return count * (1 - edge / high), (edge + high) / 2
        return 0.0, 0.0

    def _part_below(self, low: float, high: float, zero: bool) -> float:
        edge = self.edge
        if self.histogram.custom or zero:
            return (edge - low) / (high - low)
        log_low, log_high, log_edge = (math.log2(abs(x)) for x in (low, high, edge))
        if edge > 0:
            return (log_edge - log_low) / (log_high - log_low)
        return 1 - (log_edge - log_high) / (log_low - log_high)

    def _middle(self, low: float, high: float, zero: bool) -> float:
        if math.isinf(low) and math.isinf(high):
            return 0.0
        if math.isinf(low):
            return high / 2 if high > 0 else high
        if math.isinf(high):
            return low
        if self.histogram.custom or zero:
            return (low + high) / 2
        middle = math.sqrt(abs(low * high))
        return -middle if high <= 0 else middle
