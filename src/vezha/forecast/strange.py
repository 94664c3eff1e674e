"""How far loads are off what is usual: their forecast, or the seasonal baseline in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.forecast.baseline import DAY, FORECAST, NOTHING, WEEK, baseline
from vezha.forecast.book import KEYS_AT_ONCE, Book, peak_least_of
from vezha.forecast.history import Key
from vezha.forecast.score import anomaly

F32 = npt.NDArray[np.float32]
BASES = (NOTHING, FORECAST, WEEK, DAY)


@dataclass(frozen=True, slots=True)
class Strange:
    """Of each key, float32: its load `now`, what is usual from `low` to `high` by `basis` (one of
    `BASES`), and the score; NaN where nothing is known to be usual."""

    keys: list[Key]
    now: F32
    low: F32
    high: F32
    score: F32
    basis: list[str]


def judged(book: Book, keys: Sequence[Key], now: F32, step: int) -> Strange:
    """The load *now* (float32 [keys]) in *step* beside what is usual then."""
    mean, low, high = (part[:, 0].copy() for part in book.said(keys, step, 1))
    which = np.where(np.isfinite(mean), 1, 0)
    without = np.flatnonzero(which == 0)
    for at in range(0, len(without), KEYS_AT_ONCE):
        some = without[at : at + KEYS_AT_ONCE]
        # up to the last whole step, however many have passed since
        newest = min(book.loads.newest, step - 1)
        history = book.history([keys[i] for i in some.tolist()], newest)
        told = baseline(history, step - newest)
        mean[some], low[some], high[some] = told.mid, told.low, told.high
        known = np.isfinite(told.mid)
        which[some] = np.where(known, np.where(told.is_weekly, 2, 3), 0)
    score = anomaly(now, mean, low, high, 0.05 * peak_least_of(keys))
    return Strange(list(keys), now, low, high, score, [BASES[i] for i in which.tolist()])
