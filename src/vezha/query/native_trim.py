"""The trim operators: `histogram </ x` keeps what is at or below x, `>/` what is above.

A bucket that x cuts keeps the part of its observations that interpolation puts on that side.
The sum of what is left is estimated from the middles of its buckets.
"""

from __future__ import annotations

import math
from dataclasses import replace

from vezha.query.histogram import Bucket, Histogram
from vezha.query.native_quantile import centre


def trimmed(histogram: Histogram, edge: float, upper: bool) -> Histogram:
    """*histogram* without what lies above (*upper*) or below *edge*."""
    if math.isnan(edge):
        return histogram
    positive: dict[int, float] = {}
    negative: dict[int, float] = {}
    zero = 0.0
    changed = False
    for index, count in histogram.positive.items():
        bucket = Bucket(histogram.bound(index - 1), histogram.bound(index), count)
        kept = _kept(histogram, bucket, edge, upper)
        changed = changed or kept != count
        if kept:
            positive[index] = kept
    for index, count in histogram.negative.items():
        bucket = Bucket(-histogram.bound(index), -histogram.bound(index - 1), count)
        kept = _kept(histogram, bucket, edge, upper)
        changed = changed or kept != count
        if kept:
            negative[index] = kept
    if histogram.zero_count:
        bucket = Bucket(-histogram.zero_threshold, histogram.zero_threshold, histogram.zero_count)
        zero = _kept(histogram, bucket, edge, upper)
        changed = changed or zero != histogram.zero_count
    if not changed:
        return histogram
    out = replace(histogram, positive=positive, negative=negative, zero_count=zero)
    count = math.fsum(bucket.count for bucket in out.buckets())
    total = math.fsum(bucket.count * centre(out, bucket) for bucket in out.buckets())
    return replace(out, count=count, sum=total)


def _kept(histogram: Histogram, bucket: Bucket, edge: float, upper: bool) -> float:
    low, high = bucket.lower, bucket.upper
    zero = not histogram.custom and low <= 0 <= high
    if zero and not histogram.negative and histogram.positive:
        low = 0.0
    elif zero and not histogram.positive and histogram.negative:
        high = 0.0
    if histogram.custom and low == -math.inf and high > 0:
        low = 0.0
    if edge >= high:
        return bucket.count if upper else 0.0
    if edge <= low:
        return 0.0 if upper else bucket.count
    below = _below(histogram, bucket.count, low, high, edge, zero)
    return below if upper else bucket.count - below


def _below(
    histogram: Histogram, count: float, low: float, high: float, edge: float, zero: bool
) -> float:
    if histogram.custom or zero:
        if math.isinf(low):
            return count
        if math.isinf(high):
            return 0.0
        return count * (edge - low) / (high - low)
    log_low, log_high, log_edge = (math.log2(abs(x)) for x in (low, high, edge))
    if edge > 0:
        return count * (log_edge - log_low) / (log_high - log_low)
    return count * (1 - (log_edge - log_high) / (log_low - log_high))
