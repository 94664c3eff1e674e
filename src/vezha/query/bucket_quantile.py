"""Quantiles and fractions of classic histograms: cumulative counts of buckets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vezha.model.columns import Values
from vezha.query.block import Mask

SMALL_DELTA = 1e-12
"""Relative difference below which a falling count is taken for a rounding error."""


@dataclass(slots=True)
class Monotone:
    """Cumulative counts that never fall; `forced` says where they had to be mended."""

    counts: Values
    forced: Mask


def monotone(counts: Values) -> Monotone:
    """float64[cells, buckets] with each count at least the one before it."""
    counts = counts.copy()
    forced = np.zeros(counts.shape[0], np.bool_)
    with np.errstate(all="ignore"):
        previous = counts[:, 0].copy()
        for at in range(1, counts.shape[1]):
            current = counts[:, at]
            total = np.minimum(np.abs(previous) + np.abs(current), np.finfo(float).max)
            close = (previous != current) & (np.abs(previous - current) / total < SMALL_DELTA)
            close &= (previous != 0) & (current != 0)
            fell = (current < previous) & ~close
            forced |= fell
            mended = np.where(close | fell, previous, current)
            counts[:, at] = mended
            previous = mended
    return Monotone(counts, forced)


def coalesced(uppers: Values, counts: Values) -> tuple[Values, Values]:
    """Buckets of the same bound made one (they may be spelt differently)."""
    unique, index = np.unique(uppers, return_inverse=True)
    if unique.size == uppers.size:
        return uppers, counts
    merged = np.zeros((counts.shape[0], unique.size))
    for at, into in enumerate(index):
        merged[:, into] += counts[:, at]
    return unique, merged


def quantile(uppers: Values, counts: Values, q: Values) -> Values:
    """The *q*-quantile of each cell: counts float64[cells, buckets] monotone, q float64[cells]."""
    cells, size = counts.shape
    out = np.full(cells, np.nan)
    if size < 2 or uppers[-1] != np.inf:
        return _beyond(out, q)
    with np.errstate(all="ignore"):
        total = counts[:, -1]
        rank = q * total
        reached = counts[:, :-1] >= rank[:, None]
        at = np.where(reached.any(axis=1), reached.argmax(axis=1), size - 1)
        inside = np.minimum(at, size - 2)
        rows = np.arange(cells)
        below = np.maximum(inside - 1, 0)
        first = inside == 0
        start = np.where(first, 0.0, uppers[below])
        before = np.where(first, 0.0, counts[rows, below])
        end = uppers[inside]
        value = start + (end - start) * ((rank - before) / (counts[rows, inside] - before))
        value = np.where(first & (uppers[0] <= 0), uppers[0], value)
        value = np.where(at == size - 1, uppers[-2], value)
        out = np.where((total == 0) | np.isnan(total), np.nan, value)
    return _beyond(out, q)


def _beyond(out: Values, q: Values) -> Values:
    out = np.where(np.isnan(q), np.nan, out)
    out = np.where(q < 0, -np.inf, out)
    result: Values = np.where(q > 1, np.inf, out)
    return result


def fraction(uppers: Values, counts: Values, lower: Values, upper: Values) -> Values:
    """The share of observations in (lower, upper] of each cell."""
    cells, size = counts.shape
    if size == 0 or uppers[-1] != np.inf:
        return np.full(cells, np.nan)
    with np.errstate(all="ignore"):
        total = counts[:, -1]
        ranks = [_rank(uppers, counts, edge) for edge in (lower, upper)]
        out = (ranks[1] - ranks[0]) / total
        out = np.where(lower >= upper, 0.0, out)
        bad = (total == 0) | np.isnan(total) | np.isnan(lower) | np.isnan(upper)
        result: Values = np.where(bad, np.nan, out)
    return result


def _rank(uppers: Values, counts: Values, edge: Values) -> Values:
    """How many observations lie at or below *edge*; none is placed in an endless bucket."""
    size = uppers.size
    lowers = np.concatenate(([0.0 if uppers[0] > 0 else -np.inf], uppers[:-1]))
    at = np.clip(np.searchsorted(uppers, edge, "left"), 0, size - 1)
    rows = np.arange(counts.shape[0])
    before = np.where(at == 0, 0.0, counts[rows, np.maximum(at - 1, 0)])
    here = counts[rows, at] - before
    low, high = lowers[at], uppers[at]
    inside = before + here * (edge - low) / (high - low)
    rank = np.where(edge <= low, before, inside)
    rank = np.where(np.isinf(low) & (edge > low), counts[rows, at], rank)
    rank = np.where(np.isinf(high) & (edge > low), before, rank)
    rank = np.where(edge == np.inf, counts[:, -1], rank)
    result: Values = np.where(edge >= high, counts[rows, at], rank)
    return result
