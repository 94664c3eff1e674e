"""Scores: how well forecasts did, and what is made of it. Pure.

Predictability is the product of three parts, each from 0 to 1:

    accuracy   1 − 2·MAE/peak: the mean absolute error beside the load's own daily peak
    on model   1/max(1, MASE): MASE is MAE over that of the seasonal naive in history (Hyndman and
               Koehler 2006); above 1 the load has left its ways
    honesty    min(1, coverage/0.9): how much of what came lay within the interval

so a steady or regular load is near 1, an erratic one lower, and one that does today what it never
did falls towards 0. Peaks below a floor count as the floor: an idle machine is predictable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.forecast.limits import COVERAGE, SCORE_STEPS_MIN

F32 = npt.NDArray[np.float32]
ANOMALY_MAX = 100.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Of each series, float32: `mae`, `mase`, `coverage`, `predictability`; `steps` how many were
    scored. NaN where fewer than a quarter of a day were."""

    mae: F32
    mase: F32
    coverage: F32
    predictability: F32
    steps: npt.NDArray[np.int64]


def score(actual: F32, mean: F32, low: F32, high: F32, naive_mae: F32, peak: F32) -> Scores:
    """Score forecasts against what came: float32 [series, steps], NaN where either is absent.

    *naive_mae* and *peak* (float32 [series]) are the series' own scales; peak with its floor.
    """
    error = np.abs(actual - mean)
    seen = np.isfinite(error) & np.isfinite(low) & np.isfinite(high)
    count = seen.sum(axis=1)
    some = np.maximum(count, 1)
    mae = np.where(seen, error, 0.0).sum(axis=1, dtype=np.float64) / some
    coverage = (seen & (actual >= low) & (actual <= high)).sum(axis=1) / some
    return scores_of(mae, coverage, naive_mae, peak, count)


def scores_of(
    mae: npt.NDArray[np.floating],
    coverage: npt.NDArray[np.floating],
    naive_mae: F32,
    peak: F32,
    count: npt.NDArray[np.int64],
) -> Scores:
    """The figures from errors that are summed up already."""
    # A load that never moved has no naive error; a thousandth of its peak is as good as none.
    scale = np.maximum(naive_mae, 1e-3 * peak)
    mase = mae / np.maximum(scale, 1e-12)
    accuracy = np.clip(1.0 - 2.0 * mae / np.maximum(peak, 1e-12), 0.0, 1.0)
    value = accuracy / np.maximum(1.0, mase) * np.minimum(1.0, coverage / COVERAGE)
    few = count < SCORE_STEPS_MIN
    made = [np.where(few, np.nan, part).astype(np.float32) for part in (mae, mase, coverage, value)]
    return Scores(made[0], made[1], made[2], made[3], count)


def anomaly(actual: F32, mean: F32, low: F32, high: F32, floor: F32) -> F32:
    """How far *actual* is off its forecast, in half-widths of the interval; signed, same shape.

    Within -1 to 1 is usual. *floor* is the least half-width, so that a load that never moves is not
    strange for moving a little. NaN where there is no forecast.
    """
    up = np.maximum(high - mean, floor)
    down = np.maximum(mean - low, floor)
    off = actual - mean
    out: F32 = np.clip(np.where(off >= 0, off / up, off / down), -ANOMALY_MAX, ANOMALY_MAX)
    return out.astype(np.float32)
