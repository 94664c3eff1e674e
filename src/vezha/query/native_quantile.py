"""Quantile, fraction, mean and variance of one native histogram.

Inside a bucket observations are taken as spread evenly on the logarithmic scale (exponential
schemas) or linearly (custom buckets and the zero bucket).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vezha.query.histogram import Bucket, Histogram, divide


@dataclass(frozen=True, slots=True)
class Answer:
    """A quantile; the flags say what observations of NaN did to it."""

    value: float
    nan_result: bool = False
    skewed: bool = False


def quantile(histogram: Histogram, q: float) -> Answer:
    """The *q*-quantile: -Inf below 0, +Inf above 1, NaN for NaN or without observations."""
    if math.isnan(q):
        return Answer(math.nan)
    if q < 0 or q > 1:
        return Answer(-math.inf if q < 0 else math.inf)
    if histogram.count == 0:
        return Answer(math.nan)
    nan_sum = math.isnan(histogram.sum)
    forward = nan_sum or q < 0.5
    rank = q * histogram.count if forward else (1 - q) * histogram.count
    buckets = list(histogram.buckets())
    count = 0.0
    bucket = Bucket(0.0, 0.0, 0.0)
    for bucket in buckets if forward else reversed(buckets):
        count += bucket.count
        if count >= rank:
            break
    lower, upper = _zero_edges(histogram, bucket)
    if histogram.custom:
        if bucket.lower == -math.inf:
            if bucket.upper <= 0:
                return Answer(bucket.upper)
            lower = 0.0
        elif bucket.upper == math.inf:
            return Answer(bucket.lower)
    count = min(count, histogram.count)
    if count < rank:
        return Answer(math.nan, nan_result=True) if nan_sum else Answer(upper)
    skewed = nan_sum and _finite_count(histogram) < histogram.count
    rank = rank - (count - bucket.count) if forward else count - rank
    part = divide(rank, bucket.count)
    return Answer(_within(histogram, lower, upper, part), skewed=skewed)


def _finite_count(histogram: Histogram) -> float:
    return math.fsum(bucket.count for bucket in histogram.buckets())


def _zero_edges(histogram: Histogram, bucket: Bucket) -> tuple[float, float]:
    """The edges of a bucket around zero, cut where the other side holds nothing."""
    lower, upper = bucket.lower, bucket.upper
    if not histogram.custom and lower < 0 < upper:
        if not histogram.negative and histogram.positive:
            lower = 0.0
        elif not histogram.positive and histogram.negative:
            upper = 0.0
    return lower, upper


def _within(histogram: Histogram, lower: float, upper: float, part: float) -> float:
    """The value that *part* of a bucket's observations lie at or below."""
    if histogram.custom or lower <= 0 <= upper:
        return lower + (upper - lower) * part
    log_lower, log_upper = math.log2(abs(lower)), math.log2(abs(upper))
    if lower > 0:
        return float(2.0 ** (log_lower + (log_upper - log_lower) * part))
    return -float(2.0 ** (log_upper + (log_lower - log_upper) * (1 - part)))


def fraction(histogram: Histogram, lower: float, upper: float) -> float:
    """The share of observations between *lower* and *upper*."""
    if histogram.count == 0 or math.isnan(lower) or math.isnan(upper):
        return math.nan
    if lower >= upper:
        return 0.0
    total = histogram.count
    if math.isnan(histogram.sum):
        total = _finite_count(histogram)
    low, high = (min(_rank(histogram, edge), total) for edge in (lower, upper))
    return (high - low) / histogram.count


def _rank(histogram: Histogram, edge: float) -> float:
    """How many observations lie below *edge*."""
    rank = 0.0
    for bucket in histogram.buckets():
        low, high = bucket.lower, bucket.upper
        zero = not histogram.custom and low <= 0 <= high
        if zero:
            if not histogram.negative and histogram.positive:
                low = 0.0
            elif not histogram.positive and histogram.negative:
                high = 0.0
        if histogram.custom and low == -math.inf and high > 0:
            low = 0.0
        if low >= edge:
            return rank
        if high > edge:
            return rank + _below(histogram, bucket, low, high, edge, zero)
        rank += bucket.count
    return rank


def _below(
    histogram: Histogram, bucket: Bucket, low: float, high: float, edge: float, zero: bool
) -> float:
    """How many of a bucket's observations lie below *edge*, which is inside it."""
    if histogram.custom or zero:
        if low == -math.inf:
            return bucket.count
        if high == math.inf:
            return 0.0
        return bucket.count * (edge - low) / (high - low)
    log_low, log_high, log_edge = (math.log2(abs(x)) for x in (low, high, edge))
    if edge > 0:
        return bucket.count * (log_edge - log_low) / (log_high - log_low)
    return bucket.count * (1 - (log_edge - log_high) / (log_low - log_high))


def mean(histogram: Histogram) -> float:
    """Sum over count."""
    return divide(histogram.sum, histogram.count)


def variance(histogram: Histogram) -> float:
    """The variance, each observation taken at the middle of its bucket."""
    middle = divide(histogram.sum, histogram.count)
    total, lost = 0.0, 0.0
    for bucket in histogram.buckets():
        value = centre(histogram, bucket)
        away = value - middle
        term = bucket.count * away * away
        added = total + term
        if math.isinf(added):
            lost = 0.0
        elif abs(total) >= abs(term):
            lost += (total - added) + term
        else:
            lost += (term - added) + total
        total = added
    return divide(total + lost, histogram.count)


def deviation(histogram: Histogram) -> float:
    """The square root of the variance."""
    squared = variance(histogram)
    return math.sqrt(squared) if squared >= 0 else math.nan


def centre(histogram: Histogram, bucket: Bucket) -> float:
    """The value that stands for a bucket's observations."""
    if histogram.custom:
        if bucket.lower == -math.inf:
            # the first bucket of positive bounds starts at 0
            return bucket.upper / 2 if bucket.upper > 0 else bucket.upper
        if bucket.upper == math.inf:
            return bucket.lower
        return (bucket.upper + bucket.lower) / 2
    if bucket.lower <= 0 <= bucket.upper:
        return 0.0
    value = math.sqrt(bucket.upper * bucket.lower)
    return -value if bucket.upper < 0 else value
