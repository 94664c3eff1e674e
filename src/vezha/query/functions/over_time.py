"""The `*_over_time` family and double exponential smoothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.query.ast import Call
from vezha.query.block import Block, Mask, Value, not_none, only
from vezha.query.compensated import mean_ranges, sum_ranges
from vezha.query.errors import EvaluationError
from vezha.query.functions import histogram_range
from vezha.query.functions.elementwise import Function
from vezha.query.functions.rate import anchored_parts, float_windows, windows_block
from vezha.query.quantile import quantile_of_sorted
from vezha.query.window import Indexes, Windows, count_until, reduce_ranges, unfold

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator


def _sum(ev: Evaluator, call: Call) -> Value:
    windows = ev.windows(call.args[0])
    if windows.samples.hists is not None:
        return histogram_range.sum_or_mean(ev, call, windows, mean=False)
    values = sum_ranges(windows.samples.values, windows.lo, windows.hi)
    return windows_block(ev, windows, values, windows.count > 0)


def _avg(ev: Evaluator, call: Call) -> Value:
    windows = ev.windows(call.args[0])
    if windows.samples.hists is not None:
        return histogram_range.sum_or_mean(ev, call, windows, mean=True)
    rolled = windows.samples.rolled
    if rolled is not None:
        with np.errstate(all="ignore"):
            values = sum_ranges(rolled["sum"], windows.lo, windows.hi)
            values = values / windows.reduce(np.add, rolled["count"])
        return windows_block(ev, windows, values, windows.count > 0)
    values = mean_ranges(windows.samples.values, windows.lo, windows.hi)
    return windows_block(ev, windows, values, windows.count > 0)


def _count(ev: Evaluator, call: Call) -> Value:
    windows = ev.windows(call.args[0])
    rolled = windows.samples.rolled
    if rolled is not None:
        count = windows.reduce(np.add, rolled["count"])
    else:
        count = windows.count.astype(np.float64)
    return windows_block(ev, windows, count, count > 0)


def _present(ev: Evaluator, call: Call) -> Value:
    windows = ev.windows(call.args[0])
    return windows_block(ev, windows, np.ones(windows.lo.shape), windows.count > 0)


def _extreme(ufunc: np.ufunc) -> Function:
    # fmin and fmax pass over NaN unless there is nothing else
    def function(ev: Evaluator, call: Call) -> Value:
        windows = float_windows(ev, call)
        values = windows.reduce(ufunc, windows.samples.values)
        return windows_block(ev, windows, values, windows.count > 0)

    return function


def _edge(last: bool) -> Function:
    """first_over_time and last_over_time: they keep the metric's name."""

    def function(ev: Evaluator, call: Call) -> Value:
        windows = ev.windows(call.args[0])
        at = windows.hi - 1 if last else windows.lo
        present = windows.count > 0
        samples = windows.samples
        at = np.clip(at, 0, max(samples.values.size - 1, 0))
        if samples.values.size == 0:
            return Block(samples.labels, np.zeros(at.shape), present)
        hists = None
        if samples.hists is not None:
            hists = only(samples.hists[at], present)
            if hists is not None:
                present = present & ~not_none(hists)
        return Block(samples.labels, samples.values[at], present, hists)

    return function


def _edge_time(last: bool) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        windows = ev.windows(call.args[0])
        ts = windows.last(windows.samples.ts) if last else windows.first(windows.samples.ts)
        return windows_block(ev, windows, ts / 1000.0, windows.count > 0)

    return function


def _each_window(
    windows: Windows, where: Mask, answer: Callable[[Indexes, Values, Mask, Indexes], Values]
) -> Values:
    """*answer*(windows, values[w, n], mask[w, n], sample indexes) for the windows *where*."""
    out = np.full(windows.lo.shape, np.nan)
    lo, hi = windows.lo[where], windows.hi[where]
    flat = np.empty(lo.size)
    for chunk, indexes, mask in unfold(lo, hi):
        flat[chunk] = answer(chunk, windows.samples.values[indexes], mask, indexes)
    out[where] = flat
    return out


def _extreme_time(largest: bool) -> Function:
    """Time of the largest or smallest sample, the latest of equals."""

    def function(ev: Evaluator, call: Call) -> Value:
        windows = float_windows(ev, call)
        present = windows.count > 0
        ts = windows.samples.ts

        def answer(chunk: Indexes, values: Values, mask: Mask, indexes: Indexes) -> Values:
            usable = mask & ~np.isnan(values)
            ranked = np.where(usable, values if largest else -values, -np.inf)
            best = ranked.max(axis=1, keepdims=True)
            hit = np.where(usable & (ranked == best), np.arange(values.shape[1]), -1).max(axis=1)
            only_nan = mask.sum(axis=1) - 1
            at = np.where(hit >= 0, hit, only_nan)
            picked: Values = ts[indexes[np.arange(at.size), at]] / 1000.0
            return picked

        return windows_block(ev, windows, _each_window(windows, present, answer), present)

    return function


def _variance(windows: Windows) -> Values:
    """Population variance of each window.

    Taken about the first sample near the windows; where that cancels, about the true mean.
    """
    samples = windows.samples
    out = np.full(windows.lo.shape, np.nan)
    if samples.values.size == 0:
        return out
    top = samples.values.size - 1
    with np.errstate(all="ignore"):
        for part, anchor in anchored_parts(windows):
            lo, hi = windows.lo[:, part], windows.hi[:, part]
            first, last = int(lo.min()), int(hi.max())
            near = count_until(samples, np.asarray([anchor]))[:, 0] - 1
            base = samples.values[np.clip(np.maximum(near, samples.offsets[:-1]), 0, top)]
            rows = np.searchsorted(samples.offsets, np.arange(first, last), "right") - 1
            away = samples.values[first:last] - base[np.clip(rows, 0, base.size - 1)]
            n = (hi - lo).astype(np.float64)
            mean = reduce_ranges(np.add, away, lo - first, hi - first) / n
            square = reduce_ranges(np.add, away * away, lo - first, hi - first) / n
            variance = square - mean * mean
            doubtful = (n > 0) & (square != 0) & ~(variance > square * 1e-4)
            if doubtful.any():
                variance[doubtful] = _two_pass(samples.values, lo[doubtful], hi[doubtful])
            out[:, part] = variance
    return out


def _two_pass(column: Values, lo: Indexes, hi: Indexes) -> Values:
    out = np.empty(lo.size)
    for chunk, indexes, mask in unfold(lo, hi):
        values = column[indexes]
        values = np.where(mask, values - values[:, :1], 0.0)
        n = mask.sum(axis=1)
        mean = values.sum(axis=1) / n
        away = np.where(mask, values - mean[:, None], 0.0)
        out[chunk] = (away * away).sum(axis=1) / n
    return out


def _deviation(root: bool) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        windows = float_windows(ev, call)
        variance = _variance(windows)
        with np.errstate(all="ignore"):
            values = np.sqrt(variance) if root else variance
        return windows_block(ev, windows, values, windows.count > 0)

    return function


def _quantile(ev: Evaluator, call: Call) -> Value:
    q = ev.scalar(call.args[0]).values
    windows = float_windows(ev, call, 1)
    for value in np.unique(q[~((q >= 0) & (q <= 1))])[:1]:
        ev.context.annotations.invalid_quantile(float(value), call.args[0])
    present = windows.count > 0
    wanted = np.broadcast_to(q, windows.lo.shape)[present]

    def answer(chunk: Indexes, values: Values, mask: Mask, indexes: Indexes) -> Values:
        return quantile_of_sorted(*_nan_first(values, mask), wanted[chunk])

    return windows_block(ev, windows, _each_window(windows, present, answer), present)


def _nan_first(values: Values, mask: Mask) -> tuple[Values, Indexes]:
    """Rows sorted, NaN before all else, padding last; and how many values each row has."""
    is_nan = np.isnan(values) & mask
    ranked = np.where(mask, np.where(is_nan, -np.inf, values), np.inf)
    ranked.sort(axis=1)
    nans = is_nan.sum(axis=1)
    if nans.any():
        ranked[np.arange(ranked.shape[1])[None, :] < nans[:, None]] = np.nan
    return ranked, mask.sum(axis=1)


def _mad(ev: Evaluator, call: Call) -> Value:
    """Median absolute deviation."""
    windows = float_windows(ev, call)
    present = windows.count > 0

    def answer(chunk: Indexes, values: Values, mask: Mask, indexes: Indexes) -> Values:
        half = np.full(chunk.size, 0.5)
        median = quantile_of_sorted(*_nan_first(values, mask), half)
        with np.errstate(invalid="ignore"):
            away = np.abs(values - median[:, None])
        out = quantile_of_sorted(*_nan_first(away, mask), half)
        out[(np.isnan(values) & mask).any(axis=1)] = np.nan
        return out

    return windows_block(ev, windows, _each_window(windows, present, answer), present)


def _smoothing(ev: Evaluator, call: Call) -> Value:
    """Holt's linear method: level and trend, a step for each sample of the window."""
    windows = float_windows(ev, call)
    level = _factor(ev.scalar(call.args[1]).values, "smoothing")
    trend = _factor(ev.scalar(call.args[2]).values, "trend")
    present = windows.count >= 2
    shape = windows.lo.shape
    levels = np.broadcast_to(level, shape)[present]
    trends = np.broadcast_to(trend, shape)[present]

    def answer(chunk: Indexes, values: Values, mask: Mask, indexes: Indexes) -> Values:
        sf, tf = levels[chunk], trends[chunk]
        smooth = values[:, 0].copy()
        slope = values[:, 1] - values[:, 0]
        with np.errstate(all="ignore"):
            before = smooth
            for at in range(1, values.shape[1]):
                if at > 1:
                    grown = tf * (smooth - before) + (1 - tf) * slope
                    slope = np.where(mask[:, at], grown, slope)
                following = sf * values[:, at] + (1 - sf) * (smooth + slope)
                before = np.where(mask[:, at], smooth, before)
                smooth = np.where(mask[:, at], following, smooth)
        return smooth

    return windows_block(ev, windows, _each_window(windows, present, answer), present)


def _factor(values: Values, what: str) -> Values:
    bad = ~((values > 0) & (values < 1))
    if bad.any():
        value = float(values[bad][0])
        raise EvaluationError(
            f"invalid {what} factor. Expected: 0 < {what[0]}f < 1, got: {value:f}"
        )
    return values


FUNCTIONS: dict[str, Function] = {
    "avg_over_time": _avg,
    "count_over_time": _count,
    "double_exponential_smoothing": _smoothing,
    "first_over_time": _edge(last=False),
    "last_over_time": _edge(last=True),
    "mad_over_time": _mad,
    "max_over_time": _extreme(np.fmax),
    "min_over_time": _extreme(np.fmin),
    "present_over_time": _present,
    "quantile_over_time": _quantile,
    "stddev_over_time": _deviation(root=True),
    "stdvar_over_time": _deviation(root=False),
    "sum_over_time": _sum,
    "ts_of_first_over_time": _edge_time(last=False),
    "ts_of_last_over_time": _edge_time(last=True),
    "ts_of_max_over_time": _extreme_time(largest=True),
    "ts_of_min_over_time": _extreme_time(largest=False),
}
