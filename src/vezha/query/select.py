"""Selectors: samples from the source, onto the grid.

Rules: an instant selector takes the last sample within the lookback, (t - lookback, t]; a stale
marker says that there is none. Range selectors see no stale markers at all.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Selection, Times, TooManySamples, is_stale
from vezha.query import extended
from vezha.query.ast import At, Extension, MatrixSelector, VectorSelector
from vezha.query.block import Block, Mask, Samples, not_none, only
from vezha.query.errors import EvaluationError, LimitExceeded
from vezha.query.limits import TIME_MS_MAX
from vezha.query.resets_seen import with_resets
from vezha.query.window import Windows, count_until, shared_times

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator


ROLLED_FUNCTIONS = frozenset(
    ("rate", "increase", "avg_over_time", "count_over_time", "present_over_time")
)
"""Functions that work on roll-ups as well as on samples, see `SeriesData.rolled`."""


def pinned_times(ev: Evaluator, at: At | None) -> Times:
    """The times at which a selector with modifier *at* looks, one per step."""
    if at is None:
        return ev.times
    top = ev.context.top
    pinned = {"start": top.start_ms, "end": ev.context.end_ms, "": at.ts_ms}[at.edge]
    assert pinned is not None, "an @ modifier has an edge or a time"
    return np.full(ev.steps, max(-TIME_MS_MAX, min(pinned, TIME_MS_MAX)), np.int64)


def fetch(
    ev: Evaluator, node: VectorSelector, times: Times, before_ms: int, range_ms: int,
    after_ms: int = 0, newest_only: bool = False, rolled: bool = False,
) -> Samples:  # fmt: skip
    """Samples of a selector in (first time - before, last time + after], stale markers kept."""
    context = ev.context
    began = time.perf_counter()
    # `smoothed` and `anchored` look beside their windows: step 0 asks for every sample
    stepped = ev.steps > 1 and node.extension is Extension.NONE
    selection = Selection(
        node.matchers, int(times[0]) - before_ms, int(times[-1]) + after_ms,
        ev.grid.step_ms if stepped else 0, range_ms, context.function,
        max(0, context.limits.samples_max - context.stats.samples), newest_only, rolled,
        0 if range_ms else before_ms,
    )  # fmt: skip
    try:
        data = context.source.select(selection)
    except TooManySamples as error:
        raise LimitExceeded(
            f"query would load too many samples: limit samples_max is "
            f"{context.limits.samples_max} ({error})"
        ) from error
    warning = data.notes.pop("warning", None)
    if warning is not None:
        context.annotations.missing(str(warning))
    context.count_samples(data.ts.size)
    context.check_cells(len(data.labels), 1)
    context.stats.select_seconds += time.perf_counter() - began
    if context.explain and context.stats.nodes and data.notes:
        context.stats.nodes[-1].notes.update(data.notes)
    # queries of one shape see the same series again; others may see more or fewer of them
    shape = selection.end_ms - selection.start_ms
    column = context.columns.column((node.matchers, shape, node.offset), data.labels)
    hists = data.histograms
    if hists is not None and context.resets.wanted:
        hists = with_resets(hists, data.offsets)
    return Samples(column, data.ts, data.values, data.offsets, hists, data.rolled, data.starts)


def stale_mask(samples: Samples) -> Mask:
    """Which samples are stale markers."""
    return is_stale(samples.values)


def without_stale(samples: Samples) -> Samples:
    """*samples* without stale markers; the same object where there are none."""
    stale = stale_mask(samples)
    if samples.hists is not None:
        stale &= ~not_none(samples.hists)
    if not stale.any():
        return samples
    keep = ~stale
    before = np.zeros(keep.size + 1, np.int64)
    np.cumsum(keep, out=before[1:])
    hists = samples.hists[keep] if samples.hists is not None else None
    rolled = samples.rolled and {name: column[keep] for name, column in samples.rolled.items()}
    return Samples(
        samples.labels, samples.ts[keep], samples.values[keep], before[samples.offsets], hists,
        rolled, samples.starts[keep] if samples.starts is not None else None,
    )  # fmt: skip


def instant(ev: Evaluator, node: VectorSelector) -> Block:
    """An instant selector at every step."""
    return _instant(ev, node)[0]


def instant_with_times(
    ev: Evaluator, node: VectorSelector, until_ms: int | None = None
) -> tuple[Block, Times]:
    """An instant selector and, for each cell, its sample's time int64[series, steps]. Samples
    behind *until_ms* are not seen."""
    block, at, _ = _instant(ev, node, until_ms)
    return block, np.broadcast_to(at, block.values.shape)


def instant_starts(ev: Evaluator, node: VectorSelector) -> Block:
    """When the counters of an instant selector's samples began, s; nothing where the source does
    not keep that, 0 where it was not told."""
    block, _, starts = _instant(ev, node)
    if starts is None:
        return Block.empty(ev.steps)
    return Block(block.labels, starts / 1000.0, block.any_mask())


def _instant(
    ev: Evaluator, node: VectorSelector, until_ms: int | None = None
) -> tuple[Block, Times, Times | None]:
    """The block, its samples' times (int64[steps] where all series share them, else [series, steps])
    and when their counters began."""
    times = pinned_times(ev, node.at) - ev.duration_ms(node.offset)
    if until_ms is not None:
        times = np.minimum(times, until_ms)
    lookback = ev.context.options.lookback_ms
    if node.extension is Extension.SMOOTHED:
        samples = without_stale(fetch(ev, node, times, lookback, lookback, lookback))
        block = extended.smoothed_instant(samples, times, lookback)
        return block, times, None
    one_look = int(times[0]) == int(times[-1])
    samples = fetch(ev, node, times, lookback, 0, newest_only=one_look)
    if len(samples) == 0:
        return Block.empty(ev.steps), np.empty((0, ev.steps), np.int64), None
    ev.context.check_cells(len(samples), ev.steps)
    plain = samples.hists is None and samples.starts is None and not one_look
    shared = shared_times(samples) if plain else None
    if shared is not None:
        block, at = _together(samples, shared, times, lookback)
        return block, at, None
    last = count_until(samples, times) - 1
    found = last >= samples.offsets[:-1, None]
    np.maximum(last, 0, out=last)
    at = samples.ts[last]
    found &= at > times[None, :] - lookback
    values = samples.values[last]
    hists = None
    if samples.hists is not None:
        hists = only(samples.hists[last], found)
        if hists is not None:
            found &= ~not_none(hists)
    stale = is_stale(values)
    if stale.any():
        found &= ~stale
    starts = samples.starts[last] if samples.starts is not None else None
    return Block(samples.labels, values, found, hists), at, starts


def _together(samples: Samples, shared: Times, times: Times, lookback: int) -> tuple[Block, Times]:
    """The same of series that all have a sample at the *shared* times: one look for all."""
    shape = (len(samples), times.size)
    last = shared.searchsorted(times, "right")
    last -= 1
    at = shared[last]
    there = at > times - lookback
    if last[0] < 0:  # steps before the first sample, which see any other instead
        there &= last >= 0
    values = samples.values.reshape(shape[0], shared.size)[:, last]
    found = np.empty(shape, np.bool_)
    found[:] = there
    stale = is_stale(values)
    if stale.any():
        found &= ~stale
    return Block(samples.labels, values, found), at


def matrix(ev: Evaluator, node: MatrixSelector) -> Windows:
    """A range selector's windows at every step."""
    selector = node.selector
    range_ms = ev.duration_ms(node.range)
    if range_ms <= 0:
        raise EvaluationError("duration must be greater than 0")
    ends = pinned_times(ev, selector.at) - ev.duration_ms(selector.offset)
    if selector.extension is not Extension.NONE:
        extended.check_function(selector.extension, ev.context.function)
        lookback = ev.context.options.lookback_ms
        after = lookback if selector.extension is Extension.SMOOTHED else 0
        samples = without_stale(fetch(ev, selector, ends, range_ms + lookback, range_ms, after))
        return extended.windows(samples, ends, range_ms, lookback, selector.extension)
    rolled = ev.context.function in ROLLED_FUNCTIONS
    samples = without_stale(fetch(ev, selector, ends, range_ms, range_ms, rolled=rolled))
    ev.context.check_cells(len(samples), ev.steps * 2)
    return Windows.over(samples, ends, range_ms)
