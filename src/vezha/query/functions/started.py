"""Start timestamps in rate, increase, irate and resets: a counter that says when it began.

Only of float samples, and only where a source has them (`SeriesData.starts`, int64 ms, 0 where it
is not known). They say two things that values alone do not:

- a counter whose start lies behind the sample before it was reset, even where its value did not
  fall; so was one whose start *is* the time of the sample before it (each sample of a delta starts
  where the last one ended), unless that sample did not know its own start;
- the first sample of a window whose start lies inside the window grew from zero since then, so
  nothing needs to be extrapolated to the left, and one sample is enough.

A start at or behind its own sample says nothing.
"""

from __future__ import annotations

import numpy as np

from vezha.model.columns import Times, Values
from vezha.query.block import Mask, Samples
from vezha.query.window import Windows


def restarts(samples: Samples) -> Mask | None:
    """Samples whose start tells of a reset since the one before them in their series; None
    where no start is known."""
    starts, ts = samples.starts, samples.ts
    if starts is None or not starts.any():
        return None
    out = np.zeros(ts.size, np.bool_)
    start, before, began = starts[1:], ts[:-1], starts[:-1]
    known = (start != 0) & (start < ts[1:])
    delta = (start == before) & (began != 0) & (began < before)
    out[1:] = known & ((start > before) | delta)
    heads = samples.offsets[:-1]
    out[heads[heads < out.size]] = False
    return out


def inside(windows: Windows) -> tuple[Mask, Times] | None:
    """Windows whose first sample began inside them, and when; None where there is none."""
    starts = windows.samples.starts
    if starts is None or not starts.any():
        return None
    began: Times = windows.first(starts)
    mask = (windows.count > 0) & (began != 0) & (began > windows.starts)
    mask &= began < windows.first(windows.samples.ts)
    return (mask, began) if mask.any() else None


def edge_factor(windows: Windows, began: Times, per_second: bool) -> Values:
    """By what an increase since *began* grows to cover the rest of its window, on the right."""
    ts = windows.samples.ts
    first, last = windows.first(ts), windows.last(ts)
    count = windows.count
    average = np.zeros(count.shape)
    np.divide((last - first) / 1000.0, count - 1, out=average, where=count > 1)
    to_end = (windows.ends - last) / 1000.0
    to_end = np.where(to_end >= average * 1.1, average / 2, to_end)
    sampled = (last - began) / 1000.0
    factor: Values = (sampled + to_end) / sampled
    return factor / (windows.range_ms / 1000.0) if per_second else factor
