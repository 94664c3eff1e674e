"""What is usual of a load that has no forecast (yet): seasonal medians, and how far they scatter. Pure.

Of the values at the same time of week, or else at the same time of day, the median is what is usual; the
half-width is what nine in ten of them keep to, and at least what their median deviation says of a bell
curve. Medians, so that one bad day does not become usual. Time of week needs three weeks, time of day
two days; with less nothing is said, since a load that rises in the morning would be strange then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.forecast.limits import DAY_STEPS, HISTORY_STEPS

F32 = npt.NDArray[np.float32]
WEEK_STEPS = 7 * DAY_STEPS
WEEKS_MIN = 3
WEEK_REACH = 2
"""Steps to either side that count as the same time of week: half an hour."""
DAYS_MIN = 2
DAYS_MAX = 14
DAY_REACH = 2
VALUES_MIN = 8
COVERED = 0.9
BELL = 1.645 * 1.4826
"""From the median absolute deviation to the half-width of nine in ten, of a bell curve."""
FEW = 6.0
"""The half-width grows by this part over the number of values."""
FORECAST, WEEK, DAY, NOTHING = "forecast", "week", "day", ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """float32 [series] each, NaN where nothing is usual; `is_weekly` says by which season."""

    mid: F32
    low: F32
    high: F32
    is_weekly: npt.NDArray[np.bool_]


def baseline(history: F32, ahead: int = 1) -> Baseline:
    """What is usual *ahead* steps after the last of *history* (float32 [series, HISTORY_STEPS],
    NaN = absent)."""
    assert history.shape[1] == HISTORY_STEPS
    at = HISTORY_STEPS - 1 + ahead
    weekly = _seasonal(history, at, WEEK_STEPS, HISTORY_STEPS // WEEK_STEPS, WEEK_REACH, WEEKS_MIN)
    daily = _seasonal(history, at, DAY_STEPS, DAYS_MAX, DAY_REACH, DAYS_MIN)
    is_weekly = np.isfinite(weekly[0])
    mid, half = (np.where(is_weekly, w, d) for w, d in zip(weekly, daily, strict=True))
    return Baseline(mid, mid - half, mid + half, is_weekly)


def _seasonal(
    history: F32, at: int, season: int, back_max: int, reach: int, seasons_min: int
) -> tuple[F32, F32]:
    """(median, half-width), float32 [series]; NaN where fewer seasons than *seasons_min* have any."""
    centres = at - season * np.arange(1, back_max + 1)
    steps = centres[:, None] + np.arange(-reach, reach + 1)
    inside = (steps >= 0) & (steps < history.shape[1])
    values = np.where(inside, history[:, np.where(inside, steps, 0)], np.nan)
    seasons = np.isfinite(values).any(axis=2).sum(axis=1)
    flat = values.reshape(len(history), -1)
    mid = _quantile(flat, 0.5)
    off = np.abs(flat - mid[:, None])
    half = np.maximum(BELL * _quantile(off, 0.5), _quantile(off, COVERED))
    count = np.isfinite(flat).sum(axis=1)
    # a few values do not show how far the next may lie
    half = half * (1.0 + FEW / np.maximum(count, 1)).astype(np.float32)
    enough = (seasons >= seasons_min) & (count >= VALUES_MIN)
    nothing = np.float32(np.nan)
    return np.where(enough, mid, nothing), np.where(enough, half, nothing)


def _quantile(values: F32, level: float) -> F32:
    """Of each row's finite values; NaN where there are none. One sort for all rows."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    ordered = np.sort(np.where(there, values, np.float32(np.inf)), axis=1)
    place = np.clip(np.round(level * (count - 1)).astype(np.int64), 0, values.shape[1] - 1)
    out: F32 = np.take_along_axis(ordered, place[:, None], axis=1)[:, 0]
    return np.where(count > 0, out, np.float32(np.nan))
