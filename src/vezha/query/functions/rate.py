"""rate, increase, delta, irate, idelta, resets, changes, deriv, predict_linear."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Times, Values
from vezha.model.labels import METRIC_NAME, get_label
from vezha.query import extended
from vezha.query.ast import Call, MatrixSelector, Node, Subquery, unwrap
from vezha.query.block import Block, Mask, Samples, Value
from vezha.query.functions import histogram_range, started
from vezha.query.functions.elementwise import Function
from vezha.query.window import Indexes, Windows, reduce_ranges

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator

_COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")


def windows_block(ev: Evaluator, windows: Windows, values: Values, present: Mask) -> Block:
    """A nameless block of one value for each window."""
    return ev.drop_names(Block(windows.samples.labels, values, present))


def drops(samples: Samples) -> Mask:
    """Samples smaller than the one before them in their series: counter resets."""
    values = samples.values
    fell = np.zeros(values.size, np.bool_)
    if values.size > 1:
        fell[1:] = values[1:] < values[:-1]
        heads = samples.offsets[:-1]
        fell[heads[heads < values.size]] = False
    return fell


def resets(samples: Samples) -> Mask:
    """Counter resets: what fell, and what says that it began anew."""
    fell, restarted = drops(samples), started.restarts(samples)
    return fell if restarted is None else fell | restarted


def running(flags: Mask) -> Indexes:
    """Exclusive running count: running[i] = how many of flags[:i]."""
    out = np.zeros(flags.size + 1, np.int64)
    np.cumsum(flags, out=out[1:])
    return out


def resets_added(windows: Windows) -> Values | None:
    """What counter resets inside each window add to its increase; None where there are none."""
    fell = resets(windows.samples)
    if not fell.any():
        return None
    counts = running(fell)
    after_first = np.minimum(windows.lo + 1, windows.hi)
    some = counts[windows.hi] > counts[after_first]
    out = np.zeros(windows.lo.shape)
    if some.any():
        values = windows.samples.values
        lost = np.zeros(values.size)
        lost[1:] = np.where(fell[1:], values[:-1], 0.0)
        out[some] = reduce_ranges(np.add, lost, after_first[some], windows.hi[some])
    return out


def extrapolated(windows: Windows, counter: bool, per_second: bool) -> tuple[Values, Mask]:
    """Increase or delta of each window, extrapolated to its edges as Prometheus does."""
    samples = windows.samples
    if samples.rolled is not None:
        return _rolled_increase(windows, samples.rolled, per_second)
    count = windows.count
    present = count >= 2
    with np.errstate(all="ignore"):
        first, last = windows.first(samples.values), windows.last(samples.values)
        result = last - first
        if counter:
            added = resets_added(windows)
            if added is not None:
                result = result + added
        factor = edge_factor(windows, result, first, count, counter, per_second)
        began = started.inside(windows) if counter else None
        if began is not None:
            here, since = began
            result = np.where(here, result + first, result)
            factor = np.where(here, started.edge_factor(windows, since, per_second), factor)
            present = present | here
        result = result * factor
    return result, present


def _rolled_increase(
    windows: Windows, rolled: dict[str, Values], per_second: bool
) -> tuple[Values, Mask]:
    """The same of a counter's roll-ups: each row has its first and last sample, their number,
    and what was lost by resets between them; between rows it is seen here."""
    last, first, ts = rolled["last"], rolled["first"], windows.samples.ts
    count = windows.reduce(np.add, rolled["count"])
    between = np.zeros(last.size)
    between[1:] = np.where(first[1:] < last[:-1], last[:-1], 0.0)
    after_first = np.minimum(windows.lo + 1, windows.hi)
    lost = windows.reduce(np.add, rolled["lost"])
    lost = lost + reduce_ranges(np.add, between, after_first, windows.hi)
    with np.errstate(all="ignore"):
        begun = windows.first(first)
        result = windows.last(last) - begun + lost
        first_ts = windows.first(ts - rolled["span"].astype(np.int64))
        result = result * edge_factor(windows, result, begun, count, True, per_second, first_ts)
    return result, count >= 2


def edge_factor(
    windows: Windows,
    result: Values,
    first: Values,
    count: Indexes | Values,
    counter: bool,
    per_second: bool,
    first_ts: Times | None = None,
) -> Values:
    """By what an increase between the first and last sample grows to cover its window."""
    ts = windows.samples.ts
    if first_ts is None:
        first_ts = windows.first(ts)
    last_ts: Times = windows.last(ts)
    sampled = (last_ts - first_ts) / 1000.0
    to_start = (first_ts - windows.starts) / 1000.0
    to_end = (windows.ends - last_ts) / 1000.0
    average = sampled / (count - 1)
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        to_zero = np.where((result > 0) & (first >= 0), sampled * (first / result), to_start)
        to_start = np.where(to_zero < to_start, to_zero, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    factor: Values = (sampled + to_start + to_end) / sampled
    return factor / (windows.range_ms / 1000.0) if per_second else factor


def metric_name(node: Node) -> str:
    """The metric name that annotations show for a range vector argument."""
    node = unwrap(node)
    if isinstance(node, MatrixSelector):
        return node.selector.name
    return ""


def note_counter(ev: Evaluator, call: Call, windows: Windows, present: Mask) -> None:
    """Say so where a rate is taken of what does not look like a counter."""
    node = unwrap(call.args[0])
    if isinstance(node, Subquery) or len(windows.samples) == 0:
        return
    checked = windows.samples.labels.memo("counters", lambda: _odd_names(windows.samples))
    for row, name in checked:
        if present[row].any():
            ev.context.annotations.possible_non_counter(name, call.args[0])


def _odd_names(samples: Samples) -> tuple[tuple[int, str], ...]:
    """The first row of each metric name without a counter's suffix."""
    odd: dict[str, int] = {}
    for row, labels in enumerate(samples.labels.sets):
        name = get_label(labels, METRIC_NAME)
        kind = get_label(labels, "__type__")
        if kind in ("counter", "histogram") or not name:
            continue
        if not name.endswith(_COUNTER_SUFFIXES):
            odd.setdefault(name, row)
    return tuple((row, name) for name, row in odd.items())


def _rate(counter: bool, per_second: bool) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        windows = ev.windows(call.args[0])
        if windows.samples.hists is not None:
            return histogram_range.rate(ev, call, windows, counter, per_second)
        if isinstance(windows, extended.ExtendedWindows):
            values, present = extended.difference(windows, counter, per_second)
        else:
            values, present = extrapolated(windows, counter, per_second)
        if counter:
            note_counter(ev, call, windows, present)
        return windows_block(ev, windows, values, present)

    return function


def last_two(windows: Windows, counter: bool, per_second: bool) -> tuple[Values, Mask]:
    """irate or idelta of each window, from its last two samples."""
    samples = windows.samples
    present = windows.count >= 2
    size = max(samples.values.size - 1, 0)
    at = np.clip(windows.hi - 1, 0, size)
    before = np.clip(windows.hi - 2, 0, size)
    if samples.values.size == 0:
        return np.zeros(at.shape), present
    last, previous = samples.values[at], samples.values[before]
    with np.errstate(all="ignore"):
        result = last - previous
        if counter:
            fell = last < previous
            restarted = started.restarts(samples)
            if restarted is not None:
                fell = fell | restarted[at]
            result = np.where(fell, last, result)
        if per_second:
            interval = samples.ts[at] - samples.ts[before]
            present = present & (interval != 0)
            result = result / (interval / 1000.0)
    return result, present


def _instant_rate(rate: bool) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        windows = ev.windows(call.args[0])
        if windows.samples.hists is not None:
            return histogram_range.instant_rate(ev, call, windows, rate)
        values, present = last_two(windows, rate, rate)
        return windows_block(ev, windows, values, present)

    return function


def counted(windows: Windows, flags: Mask) -> Values:
    """How many flagged samples each window has beyond its first."""
    counts = running(flags)
    after_first = np.minimum(windows.lo + 1, windows.hi)
    return (counts[windows.hi] - counts[after_first]).astype(np.float64)


def changed(samples: Samples) -> Mask:
    """Samples that differ from the one before them (NaN does not differ from NaN)."""
    values = samples.values
    out = np.zeros(values.size, np.bool_)
    if values.size > 1:
        both_nan = np.isnan(values[1:]) & np.isnan(values[:-1])
        out[1:] = (values[1:] != values[:-1]) & ~both_nan
    return out


def _resets(ev: Evaluator, call: Call) -> Value:
    windows = ev.windows(call.args[0])
    flags = resets(windows.samples)
    if windows.samples.hists is not None:
        flags = histogram_range.reset_flags(windows.samples, flags)
    return windows_block(ev, windows, counted(windows, flags), windows.count > 0)


def _changes(ev: Evaluator, call: Call) -> Value:
    windows = ev.windows(call.args[0])
    flags = changed(windows.samples)
    if windows.samples.hists is not None:
        flags = histogram_range.change_flags(windows.samples, flags)
    return windows_block(ev, windows, counted(windows, flags), windows.count > 0)


def regression(windows: Windows, origins: Times) -> tuple[Values, Values, Mask]:
    """Least-squares slope and value at *origins* (int64 ms, [series, steps]) of each window.

    Sums are taken with x relative to a time near the windows: relative to a far origin the
    squares would swallow the digits.
    """
    samples = windows.samples
    shape = windows.lo.shape
    slope, intercept = np.full(shape, np.nan), np.full(shape, np.nan)
    present = windows.count >= 2
    if samples.values.size == 0:
        return slope, intercept, present
    for part, anchor in anchored_parts(windows):
        lo, hi = windows.lo[:, part], windows.hi[:, part]
        first, last = int(lo.min()), int(hi.max())
        x = (samples.ts[first:last] - anchor) / 1000.0
        _regress(x, samples.values[first:last], lo - first, hi - first, anchor, origins[:, part],
                 slope[:, part], intercept[:, part])  # fmt: skip
    return slope, intercept, present


def anchored_parts(windows: Windows) -> Iterator[tuple[slice, int]]:
    """Runs of steps whose windows lie near one time, and that time (int ms).

    The time is a multiple of the window's length, so that an answer does not depend on which
    other steps are asked for.
    """
    width = max(windows.range_ms, 1)
    anchors = windows.ends // width * width
    changes = np.flatnonzero(np.diff(anchors)) + 1
    edges = [0, *changes.tolist(), windows.steps]
    for start, end in pairwise(edges):
        yield slice(start, end), int(anchors[start])


def _regress(
    x: Values, y: Values, lo: Indexes, hi: Indexes, anchor: int, origins: Times,
    slope: Values, intercept: Values,
) -> None:  # fmt: skip
    with np.errstate(all="ignore"):
        n = (hi - lo).astype(np.float64)
        first_y = y[np.clip(lo, 0, max(y.size - 1, 0))] if y.size else np.zeros(lo.shape)
        sum_x = reduce_ranges(np.add, x, lo, hi)
        sum_y = reduce_ranges(np.add, y, lo, hi)
        sum_xy = reduce_ranges(np.add, x * y, lo, hi)
        sum_xx = reduce_ranges(np.add, x * x, lo, hi)
        low, high = reduce_ranges(np.minimum, y, lo, hi), reduce_ranges(np.maximum, y, lo, hi)
        cov = sum_xy - sum_x * sum_y / n
        var = sum_xx - sum_x * sum_x / n
        slope[...] = cov / var
        shift = (origins - anchor) / 1000.0
        intercept[...] = sum_y / n - slope * sum_x / n + slope * shift
        constant = (low == high) & (n > 0)
        slope[constant] = np.where(np.isinf(first_y), np.nan, 0.0)[constant]
        intercept[constant] = np.where(np.isinf(first_y), np.nan, first_y)[constant]


def float_windows(ev: Evaluator, call: Call, at: int = 0) -> Windows:
    """Windows over floats alone; windows that also had histograms are annotated."""
    windows = ev.windows(call.args[at])
    if windows.samples.hists is None:
        return windows
    floats = windows.without_histograms()
    both = (floats.count > 0) & (windows.count > floats.count)
    if both.any():
        name = metric_name(call.args[at]) or _first_name(windows, both)
        ev.context.annotations.histogram_ignored_in_range(name, call.args[at])
    return floats


def _first_name(windows: Windows, where: Mask) -> str:
    row = int(np.flatnonzero(where.any(axis=1))[0])
    return get_label(windows.samples.labels.sets[row], METRIC_NAME)


def _deriv(ev: Evaluator, call: Call) -> Value:
    windows = float_windows(ev, call)
    origins = windows.first(windows.samples.ts)
    slope, _, present = regression(windows, origins.astype(np.int64))
    return windows_block(ev, windows, slope, present)


def _predict_linear(ev: Evaluator, call: Call) -> Value:
    windows = float_windows(ev, call)
    ahead = ev.scalar(call.args[1]).values
    origins = np.broadcast_to(ev.times, windows.lo.shape)
    slope, intercept, present = regression(windows, origins)
    with np.errstate(all="ignore"):
        return windows_block(ev, windows, slope * ahead + intercept, present)


FUNCTIONS: dict[str, Function] = {
    "changes": _changes,
    "delta": _rate(counter=False, per_second=False),
    "deriv": _deriv,
    "idelta": _instant_rate(rate=False),
    "increase": _rate(counter=True, per_second=False),
    "irate": _instant_rate(rate=True),
    "predict_linear": _predict_linear,
    "rate": _rate(counter=True, per_second=True),
    "resets": _resets,
}
