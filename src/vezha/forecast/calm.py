"""The next calm window: when a change disturbs least, by the forecast. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CalmWindow:
    """A proposal: from step `start` (0 = the first forecast step) on. `load` is the highest load
    that is to be expected within (upper bound; part of the daily peak, the mean over the hosts
    with the busiest resource of each), `expected` the mean, `busiest` the row that is highest."""

    start: int
    load: float
    expected: float
    busiest: int


def calm_windows(
    mean: F32, high: F32, peak: F32, length: int, *, first: int = 0, count: int = 3
) -> list[CalmWindow]:
    """At most *count* windows of *length* steps, the calmest first, none over another.

    *mean*, *high*: float32 [series, steps] of the forecast and its upper bound; *peak*: float32
    [series], each series' own. A step costs the mean over series of high/peak, so that both a load and
    doubt about it count; a window costs its dearest step. NaN rows (no forecast) are left out. The
    window begins not before step *first*. Raises ValueError where *length* is not in 1…steps.
    """
    steps = mean.shape[1] if mean.ndim == 2 else 0
    if not 1 <= length <= max(steps, 1):
        raise ValueError(f"a window of {length} steps does not fit in {steps}")
    known = np.flatnonzero(np.isfinite(high).all(axis=1) & (peak > 0))
    if not len(known):
        return []
    part = high[known] / peak[known, None]
    cost = part.mean(axis=0)
    told = (mean[known] / peak[known, None]).mean(axis=0)
    # the dearest step of each window, and among equals the cheaper on the whole
    views = np.lib.stride_tricks.sliding_window_view(cost, length)
    worst = views.max(axis=1)
    rank = worst + 0.05 * views.mean(axis=1)
    rank[: max(first, 0)] = np.inf
    out: list[CalmWindow] = []
    while len(out) < count and np.isfinite(rank).any():
        at = int(np.argmin(rank))
        within = slice(at, at + length)
        busiest = int(known[int(np.argmax(part[:, within].max(axis=1)))])
        out.append(CalmWindow(at, float(worst[at]), float(told[within].mean()), busiest))
        rank[max(0, at - length + 1) : at + length] = np.inf
    return out
