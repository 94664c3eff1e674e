"""The `anchored` and `smoothed` modifiers: windows that look beyond their edges.

An anchored window starts with the last sample at or before its left edge (within the lookback),
else with its first; a smoothed one interpolates at both edges from the samples around them, for
which it also looks ahead by the lookback. Neither extrapolates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vezha.model.columns import Times, Values
from vezha.query.ast import Extension
from vezha.query.block import Block, Mask, Samples
from vezha.query.errors import EvaluationError
from vezha.query.window import Indexes, Windows, count_until

ANCHORED_FUNCTIONS = ("changes", "delta", "increase", "rate", "resets")
SMOOTHED_FUNCTIONS = ("delta", "increase", "rate")
NO_HISTOGRAMS = "smoothed and anchored modifiers do not work with native histograms"


def check_function(extension: Extension, function: str) -> None:
    """Raise EvaluationError where *function* does not take the modifier."""
    fitting = ANCHORED_FUNCTIONS if extension is Extension.ANCHORED else SMOOTHED_FUNCTIONS
    if function and function not in fitting:
        raise EvaluationError(
            f"{extension.value} modifier can only be used with: {', '.join(fitting)} - not with "
            f"{function}"
        )


@dataclass(slots=True)
class ExtendedWindows(Windows):
    """Windows from the first to the last sample that counts, both possibly beyond the edges."""

    smoothed: bool = False


def windows(
    samples: Samples, ends: Times, range_ms: int, lookback_ms: int, extension: Extension
) -> ExtendedWindows:
    """The windows of an extended range selector; empty where nothing is known of the range."""
    starts = ends - range_ms
    until_start = count_until(samples, starts)
    lo = np.maximum(count_until(samples, starts - lookback_ms), until_start - 1)
    if extension is Extension.SMOOTHED:
        most = count_until(samples, ends + lookback_ms)
        hi = np.minimum(most, count_until(samples, ends - 1) + 1)
    else:
        hi = count_until(samples, ends)
    some = hi > lo
    if samples.ts.size:
        top = samples.ts.size - 1
        last_ts = samples.ts[np.clip(hi - 1, 0, top)]
        first_ts = samples.ts[np.clip(lo, 0, top)]
        some &= (last_ts > starts[None, :]) & (first_ts <= ends[None, :])
    hi = np.where(some, hi, lo)
    return ExtendedWindows(
        samples, ends, range_ms, lo, hi, smoothed=extension is Extension.SMOOTHED
    )


def interpolated(
    samples: Samples, before: Indexes, after: Indexes, times: Times, counter: bool
) -> Values:
    """Values at *times* on the lines between samples *before* and *after* (int64 indexes).

    A counter that was reset between them starts from 0.
    """
    x0, x1 = samples.ts[before], samples.ts[after]
    y0, y1 = samples.values[before], samples.values[after]
    with np.errstate(all="ignore"):
        if counter:
            y0 = np.where(y1 < y0, 0.0, y0)
        out: Values = y0 + (y1 - y0) * ((times - x0) / (x1 - x0))
    return out


def edges(windows: ExtendedWindows, counter: bool) -> tuple[Values, Values]:
    """The values at the left and right edge of each window."""
    samples = windows.samples
    top = samples.ts.size - 1
    first = np.clip(windows.lo, 0, top)
    last = np.clip(windows.hi - 1, 0, top)
    left, right = samples.values[first], samples.values[last]
    if windows.smoothed:
        starts = np.broadcast_to(windows.starts, first.shape)
        ends = np.broadcast_to(windows.ends, first.shape)
        wide = windows.hi - windows.lo > 1
        cut = wide & (samples.ts[first] < starts)
        left = np.where(
            cut, interpolated(samples, first, np.minimum(first + 1, top), starts, counter), left
        )
        cut = wide & (samples.ts[last] > ends)
        right = np.where(
            cut, interpolated(samples, np.maximum(last - 1, 0), last, ends, counter), right
        )
    return left, right


def difference(windows: ExtendedWindows, counter: bool, per_second: bool) -> tuple[Values, Mask]:
    """rate, increase or delta between the edges of each window."""
    samples = windows.samples
    present = windows.count > 0
    if samples.ts.size == 0:
        return np.zeros(windows.lo.shape), present
    left, right = edges(windows, counter)
    with np.errstate(all="ignore"):
        out = right - left
        if counter:
            out = out + _resets(windows, left, right)
        if per_second:
            out = out / (windows.range_ms / 1000.0)
    return out, present


def _resets(windows: ExtendedWindows, left: Values, right: Values) -> Values:
    """What counter resets between the edges add."""
    from vezha.query.functions.rate import drops

    samples = windows.samples
    inner = Windows(
        samples, windows.ends, windows.range_ms,
        np.minimum(windows.lo + 1, windows.hi), np.maximum(windows.hi - 1, windows.lo),
    )  # fmt: skip
    some = inner.hi > inner.lo
    top = samples.ts.size - 1
    fell = drops(samples)
    lost = np.zeros(samples.values.size)
    lost[1:] = np.where(fell[1:], samples.values[:-1], 0.0)
    after = Windows(samples, windows.ends, windows.range_ms, inner.lo + 1, inner.hi)
    added = after.reduce(np.add, lost)
    first_inner = samples.values[np.clip(inner.lo, 0, top)]
    last_inner = samples.values[np.clip(inner.hi - 1, 0, top)]
    added = added + np.where(some & (first_inner < left), left, 0.0)
    before_right = np.where(some, last_inner, left)
    result: Values = added + np.where(right < before_right, before_right, 0.0)
    return result


def smoothed_instant(samples: Samples, times: Times, lookback_ms: int) -> Block:
    """Values interpolated at each step; the last sample where none follows within the lookback."""
    if samples.hists is not None:
        raise EvaluationError(NO_HISTOGRAMS)
    shape = (len(samples), times.size)
    if samples.ts.size == 0:
        return Block(samples.labels, np.zeros(shape), np.zeros(shape, np.bool_))
    top = samples.ts.size - 1
    low = count_until(samples, times - lookback_ms)
    high = count_until(samples, times + lookback_ms)
    at = count_until(samples, times) - 1
    has_before, has_after = at >= low, at + 1 < high
    before, after = np.clip(at, 0, top), np.clip(at + 1, 0, top)
    wanted = np.broadcast_to(times, shape)
    line = interpolated(samples, before, after, wanted, counter=False)
    values = samples.values[before]
    values = np.where(has_after & (samples.ts[before] != wanted), line, values)
    return Block(samples.labels, values, has_before)


def raw_samples(windows: ExtendedWindows) -> Samples:
    """The samples of an extended range vector at its first step: edges and what lies between."""
    samples = windows.samples
    if samples.hists is not None:
        raise EvaluationError(NO_HISTOGRAMS)
    start, end = int(windows.starts[0]), int(windows.ends[0])
    rows = np.flatnonzero(windows.count[:, 0] > 0)
    left, right = edges(windows, counter=False) if rows.size else (np.empty((0, 1)),) * 2
    ts: list[Times] = []
    values: list[Values] = []
    offsets = [0]
    for row in rows:
        span = slice(int(windows.lo[row, 0]), int(windows.hi[row, 0]))
        inside = (samples.ts[span] > start) & (samples.ts[span] < end)
        ts.append(np.concatenate(([start], samples.ts[span][inside], [end])).astype(np.int64))
        values.append(
            np.concatenate(([left[row, 0]], samples.values[span][inside], [right[row, 0]]))
        )
        offsets.append(offsets[-1] + ts[-1].size)
    if not rows.size:
        ts, values = [np.empty(0, np.int64)], [np.empty(0)]
    return Samples(
        samples.labels.take(rows), np.concatenate(ts), np.concatenate(values),
        np.asarray(offsets, np.int64),
    )  # fmt: skip
