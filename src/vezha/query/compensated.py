"""Sums that do not lose small terms beside large ones.

Prometheus adds with Kahan-Neumaier compensation. That is sequential; so ranges are added
plainly first, and only those whose terms cancel (the sum is small beside the sum of absolute
values) or overflow are added again with compensation, in the original order.
"""

from __future__ import annotations

import numpy as np

from vezha.model.columns import Values
from vezha.query.block import Mask
from vezha.query.window import Indexes, reduce_ranges, unfold

CANCELLATION = 16.0
"""Sum of absolute values over absolute sum from which compensation is worth its price."""


def needs_care(total: Values, absolute: Values) -> Mask:
    """Where a plain sum may have lost digits, or is not finite though its terms may be."""
    with np.errstate(all="ignore"):
        care = ~(absolute <= np.abs(total) * CANCELLATION) | ~np.isfinite(total)
        result: Mask = care & (absolute != 0)
    return result


def one_sign(column: Values) -> bool:
    """Whether all values are at least 0, or all at most 0; NaN is neither."""
    return column.size == 0 or bool(column.min() >= 0 or column.max() <= 0)


def sum_ranges(column: Values, lo: Indexes, hi: Indexes) -> Values:
    """Sums of column[lo:hi], shape of *lo*; 0 for empty ranges."""
    with np.errstate(all="ignore"):
        total = reduce_ranges(np.add, column, lo, hi)
        if one_sign(column):
            care = ~np.isfinite(total)  # nothing cancels
        else:
            care = needs_care(total, reduce_ranges(np.add, np.abs(column), lo, hi))
    if care.any():
        total[care] = _compensated(column, lo[care], hi[care])
    return total


def mean_ranges(column: Values, lo: Indexes, hi: Indexes) -> Values:
    """Means of column[lo:hi]; NaN for empty ranges. Does not overflow where the mean fits."""
    total = sum_ranges(column, lo, hi)
    count = (hi - lo).astype(np.float64)
    with np.errstate(all="ignore"):
        mean = total / count
        overflow = np.isinf(total)
        if overflow.any():
            finite = np.abs(column) < np.inf
            all_finite = reduce_ranges(np.minimum, finite.astype(np.float64), lo, hi, 1.0) > 0
            again = overflow & all_finite
            if again.any():
                # halved terms cannot overflow while they are added, sixteen at a time or so
                scaled = _compensated(column, lo[again], hi[again], count[again])
                mean[again] = scaled
    return mean


def _compensated(column: Values, lo: Indexes, hi: Indexes, divide: Values | None = None) -> Values:
    """Neumaier sums of 1-d ranges, each term first divided by *divide* where it is given."""
    out = np.zeros(lo.shape)
    with np.errstate(all="ignore"):
        for chunk, indexes, mask in unfold(lo, hi):
            total = np.zeros(chunk.size)
            rest = np.zeros(chunk.size)
            for at in range(indexes.shape[1]):
                term = column[indexes[:, at]]
                if divide is not None:
                    term = term / divide[chunk]
                total, rest = neumaier(total, rest, np.where(mask[:, at], term, 0.0))
            out[chunk] = finished(total, rest)
    return out


def neumaier(total: Values, rest: Values, term: Values) -> tuple[Values, Values]:
    """One compensated addition."""
    added = total + term
    larger = np.abs(total) >= np.abs(term)
    lost = np.where(larger, (total - added) + term, (term - added) + total)
    rest = np.where(np.isinf(added), 0.0, rest + lost)
    return added, rest


def finished(total: Values, rest: Values) -> Values:
    """The sum with its compensation, which means nothing once the sum is infinite."""
    out: Values = np.where(np.isinf(total), total, total + rest)
    return out


def sum_groups(values: Values, present: Mask, starts: Indexes) -> Values:
    """Column sums of row groups: rows [starts[g], starts[g+1]) of float64[rows, steps].

    Absent cells count nothing. Gives float64[groups, steps].
    """
    with np.errstate(all="ignore"):
        filled = np.where(present, values, 0.0)
        total: Values = np.add.reduceat(filled, starts, axis=0)
        if one_sign(filled):
            care = ~np.isfinite(total)
        else:
            care = needs_care(total, np.add.reduceat(np.abs(filled), starts, axis=0))
    if care.any():
        _recompute(filled, starts, care, total)
    return total


def _recompute(filled: Values, starts: Indexes, care: Mask, total: Values) -> None:
    ends = np.append(starts[1:], filled.shape[0])
    with np.errstate(all="ignore"):
        for group in np.flatnonzero(care.any(axis=1)):
            steps = np.flatnonzero(care[group])
            rows = filled[starts[group] : ends[group]][:, steps]
            running, rest = np.zeros(steps.size), np.zeros(steps.size)
            for row in rows:
                running, rest = neumaier(running, rest, row)
            total[group, steps] = finished(running, rest)
