"""The usual range of any series by time of day: what a chart draws behind its line. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vezha.forecast.limits import DAY_STEPS

Floats = npt.NDArray[np.float64]

DAYS_MIN = 3
REACH = 2
"""Steps to either side of a time of day that count as the same time."""
LOW, HIGH = 0.05, 0.95


def usual(values: Floats, first_step: int) -> tuple[Floats, Floats]:
    """(low, high), float64 [series, DAY_STEPS] by time of day in UTC, NaN where too little is known.

    *values*: float64 [series, steps], NaN = absent; *first_step* counts steps since the epoch. The
    range is of 90 % of the values at that time (and half an hour about it) on all days, so that
    one bad day in two weeks does not widen it. At least three days must have values there.
    """
    rows = len(values)
    days = -(-(values.shape[1] + first_step % DAY_STEPS) // DAY_STEPS)
    grid = np.full((rows, days * DAY_STEPS), np.nan)
    at = first_step % DAY_STEPS
    grid[:, at : at + values.shape[1]] = values
    by_day = grid.reshape(rows, days, DAY_STEPS)
    known_days = np.isfinite(by_day).sum(axis=1)
    near = np.concatenate([np.roll(by_day, by, axis=2) for by in range(-REACH, REACH + 1)], axis=1)
    there = np.isfinite(near)
    count = there.sum(axis=1)
    ordered = np.sort(np.where(there, near, np.inf), axis=1)

    def quantile(level: float) -> Floats:
        place = np.clip(np.round(level * (count - 1)).astype(np.int64), 0, ordered.shape[1] - 1)
        out: Floats = np.take_along_axis(ordered, place[:, None, :], axis=1)[:, 0, :]
        return np.where(known_days >= DAYS_MIN, out, np.nan)

    return quantile(LOW), quantile(HIGH)
