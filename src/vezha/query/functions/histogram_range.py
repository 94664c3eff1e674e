"""Range functions over windows that hold native histograms.

Windows of floats alone take the columnar way; those with histograms are done one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.model.labels import METRIC_NAME, get_label
from vezha.query.ast import Call
from vezha.query.block import Block, Mask, Samples, Value, not_none
from vezha.query.compensated import mean_ranges, sum_ranges
from vezha.query.extended import ExtendedWindows, difference
from vezha.query.histogram import Hint, Histogram, MixedSchemas
from vezha.query.histogram_columns import nothing, total_of
from vezha.query.window import Windows

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator


class _Work:
    """Windows sorted by what they hold: floats alone, histograms alone, or both."""

    def __init__(self, ev: Evaluator, call: Call, windows: Windows, at: int = 0) -> None:
        assert windows.samples.hists is not None
        self.ev = ev
        self.node = call.args[at]
        self.windows = windows
        before = np.zeros(windows.samples.ts.size + 1, np.int64)
        np.cumsum(not_none(windows.samples.hists), out=before[1:])
        natives = before[windows.hi] - before[windows.lo]
        self.floats = (windows.count > 0) & (natives == 0)
        self.natives = natives == windows.count
        self.natives &= windows.count > 0
        self.both = (windows.count > 0) & ~self.floats & ~self.natives

    def name(self, row: int) -> str:
        return get_label(self.windows.samples.labels.sets[row], METRIC_NAME)

    def warn_mixed(self, where: Mask) -> None:
        for row in np.flatnonzero((self.both & where).any(axis=1)):
            self.ev.context.annotations.mixed_floats_histograms(self.name(int(row)), self.node)

    def histograms(self, row: int, step: int) -> list[Histogram]:
        assert self.windows.samples.hists is not None
        lo, hi = self.windows.lo[row, step], self.windows.hi[row, step]
        return list(self.windows.samples.hists[lo:hi])

    def block(self, values: Values, present: Mask, hists: np.ndarray) -> Block:
        found = hists if not_none(hists).any() else None
        return self.ev.drop_names(
            Block(self.windows.samples.labels, values, present & self.floats, found)
        )


def rate(ev: Evaluator, call: Call, windows: Windows, counter: bool, per_second: bool) -> Value:
    """rate, increase or delta."""
    from vezha.query.functions.rate import extrapolated, note_counter

    if isinstance(windows, ExtendedWindows):
        return _extended_rate(ev, call, windows, counter, per_second)
    work = _Work(ev, call, windows)
    work.warn_mixed(windows.count >= 2)
    values, present = extrapolated(windows, counter, per_second)
    out = nothing(windows.lo.shape)
    for row, step in np.argwhere(work.natives & (windows.count >= 2)):
        points = work.histograms(row, step)
        increase = _increase(ev, points, counter, work.name(row), call)
        if increase is not None:
            factor = _factor(windows, row, step, points[0].count, increase.count, counter)
            if per_second:
                factor /= windows.range_ms / 1000.0
            out[row, step] = increase.scaled(factor).with_hint(Hint.GAUGE)
    if counter:
        note_counter(ev, call, windows, present & work.floats)
    return work.block(values, present, out)


def _extended_rate(
    ev: Evaluator, call: Call, windows: ExtendedWindows, counter: bool, per_second: bool
) -> Value:
    """The same between the edges of an anchored or smoothed window, without extrapolation."""
    work = _Work(ev, call, windows)
    work.warn_mixed(windows.count > 0)
    values, present = difference(windows, counter, per_second)
    out = nothing(windows.lo.shape)
    for row, step in np.argwhere(work.natives):
        points = work.histograms(row, step)
        if windows.smoothed:
            points = _smoothed_points(windows, row, step, points, counter)
        if len(points) == 1:
            points = points * 2
        increase = _increase(ev, points, counter, work.name(row), call)
        if increase is not None:
            by = windows.range_ms / 1000.0 if per_second else 1.0
            out[row, step] = increase.divided(by).with_hint(Hint.GAUGE)
    return work.block(values, present, out)


def _smoothed_points(
    windows: ExtendedWindows, row: int, step: int, points: list[Histogram], counter: bool
) -> list[Histogram]:
    """*points* with those beyond the window's edges drawn to the edges."""
    ts = windows.samples.ts[windows.lo[row, step] : windows.hi[row, step]]
    start, end = int(windows.starts[step]), int(windows.ends[step])
    drawn = list(points)
    if len(points) > 1 and ts[0] < start:
        drawn[0] = _between(points[0], points[1], (start - ts[0]) / (ts[1] - ts[0]), counter)
        drawn[1] = drawn[1].with_hint(Hint.UNKNOWN)
    if len(points) > 1 and ts[-1] > end:
        drawn[-1] = _between(points[-2], points[-1], (end - ts[-2]) / (ts[-1] - ts[-2]), counter)
    return drawn


def _between(before: Histogram, after: Histogram, part: float, counter: bool) -> Histogram:
    """The histogram on the line between two; a counter that was reset starts from nothing."""
    gauge = Hint.GAUGE in (before.hint, after.hint)
    if counter and not gauge and after.reset_since(before):
        return after.scaled(part).with_hint(Hint.UNKNOWN)
    try:
        line = before.plus(after.minus(before).histogram.scaled(part)).histogram
    except MixedSchemas:
        return after
    return line.with_hint(Hint.GAUGE if gauge else Hint.UNKNOWN)


def _factor(
    windows: Windows, row: int, step: int, first: float, increase: float, counter: bool
) -> float:
    """By what the increase grows to cover its window; see `rate.edge_factor`."""
    ts = windows.samples.ts
    lo, hi = int(windows.lo[row, step]), int(windows.hi[row, step])
    sampled = int(ts[hi - 1] - ts[lo]) / 1000.0
    to_start = int(ts[lo] - windows.starts[step]) / 1000.0
    to_end = int(windows.ends[step] - ts[hi - 1]) / 1000.0
    average = sampled / (hi - lo - 1)
    if to_start >= average * 1.1:
        to_start = average / 2
    if counter and increase > 0 and first >= 0:
        to_start = min(to_start, sampled * (first / increase))
    if to_end >= average * 1.1:
        to_end = average / 2
    return (sampled + to_start + to_end) / sampled


def _increase(
    ev: Evaluator, points: list[Histogram], counter: bool, name: str, call: Call
) -> Histogram | None:
    """What was added between the first and the last histogram, resets made good."""
    annotations, node = ev.context.annotations, call.args[0]
    first, last = points[0], points[-1]
    if counter:
        if any(point.hint is Hint.GAUGE for point in points):
            annotations.not_counter(name, node)
        if points[1].reset_since(first):
            # what the first sample looked like does not matter
            first = Histogram(points[1].schema, bounds=points[1].bounds)
    elif Hint.GAUGE is not points[0].hint or Hint.GAUGE is not last.hint:
        annotations.not_gauge(name, node)
    inner = points[1:] if counter else [last]
    if any(point.custom != first.custom for point in inner):
        annotations.mixed_exponential_custom(name, node)
        return None
    schema = min((first.schema, *(p.schema for p in inner)))
    try:
        result = last.coarser(schema).minus(first)
        reconciled = result.reconciled
        increase = result.histogram
        if counter:
            previous = first
            for point in points[1:]:
                if point.reset_since(previous):
                    added = increase.plus(previous)
                    increase, reconciled = added.histogram, reconciled or added.reconciled
                previous = point
    except MixedSchemas:
        annotations.mixed_exponential_custom(name, node)
        return None
    if reconciled:
        annotations.mismatched_custom_buckets("subtraction", node)
    return increase


def instant_rate(ev: Evaluator, call: Call, windows: Windows, rate: bool) -> Value:
    """irate or idelta: the last two samples of each window."""
    from vezha.query.functions.rate import last_two

    pairs = Windows(
        windows.samples, windows.ends, windows.range_ms,
        np.maximum(windows.lo, windows.hi - 2), windows.hi,
    )  # fmt: skip
    work = _Work(ev, call, pairs)
    work.warn_mixed(pairs.count >= 2)
    values, present = last_two(windows, rate, rate)
    out = nothing(windows.lo.shape)
    for row, step in np.argwhere(work.natives & (pairs.count >= 2)):
        previous, last = work.histograms(row, step)
        difference = _difference(ev, previous, last, rate, work.name(row), call)
        if difference is not None:
            if rate:
                at = int(pairs.hi[row, step])
                interval = int(windows.samples.ts[at - 1] - windows.samples.ts[at - 2])
                difference = difference.divided(interval / 1000.0)
            out[row, step] = difference
    return work.block(values, present, out)


def _difference(
    ev: Evaluator, previous: Histogram, last: Histogram, rate: bool, name: str, call: Call
) -> Histogram | None:
    annotations, node = ev.context.annotations, call.args[0]
    gauges = (previous.hint is Hint.GAUGE, last.hint is Hint.GAUGE)
    if rate and any(gauges):
        annotations.not_counter(name, node)
    if not rate and not all(gauges):
        annotations.not_gauge(name, node)
    if rate and last.reset_since(previous):
        return last.with_hint(Hint.GAUGE)
    if previous.custom != last.custom:
        annotations.mixed_exponential_custom(name, node)
        return None
    result = last.minus(previous)
    if result.reconciled:
        annotations.mismatched_custom_buckets("subtraction", node)
    return result.histogram.with_hint(Hint.GAUGE)


def sum_or_mean(ev: Evaluator, call: Call, windows: Windows, mean: bool) -> Value:
    """sum_over_time or avg_over_time."""
    work = _Work(ev, call, windows)
    work.warn_mixed(windows.count > 0)
    reduce = mean_ranges if mean else sum_ranges
    values = reduce(windows.samples.values, windows.lo, windows.hi)
    out = nothing(windows.lo.shape)
    for row, step in np.argwhere(work.natives):
        total = total_of(work.histograms(row, step))
        out[row, step] = total.finish(ev, work.name(row), work.node, mean)
    return work.block(values, windows.count > 0, out)


def reset_flags(samples: Samples, flags: Mask) -> Mask:
    """Where a counter was reset: a fall, or a change between float and histogram."""
    assert samples.hists is not None
    flags = flags.copy()
    for at in _after_first(samples):
        previous, here = samples.hists[at - 1], samples.hists[at]
        if previous is None and here is None:
            continue
        flags[at] = previous is None or here is None or here.reset_since(previous)
    return flags


def change_flags(samples: Samples, flags: Mask) -> Mask:
    """Where a sample differs from the one before it."""
    assert samples.hists is not None
    flags = flags.copy()
    for at in _after_first(samples):
        previous, here = samples.hists[at - 1], samples.hists[at]
        if previous is None and here is None:
            continue
        flags[at] = previous is None or here is None or not here.same(previous)
    return flags


def _after_first(samples: Samples) -> list[int]:
    """Samples that have another before them in their series and are beside a histogram."""
    assert samples.hists is not None
    mask = not_none(samples.hists)
    beside = mask.copy()
    beside[1:] |= mask[:-1]
    heads = samples.offsets[:-1]
    beside[heads[heads < mask.size]] = False
    if mask.size:
        beside[0] = False
    return [int(at) for at in np.flatnonzero(beside)]
