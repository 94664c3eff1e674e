"""The forecast: a few simple experts, weighted by how well each did, over all series at once.

Series are cut into days that end now, so the next day begins at the next step, whatever o'clock
that is. Each past day was forecast from the days before it (rolling origin), by each expert:

    yesterday   the same time yesterday (the seasonal naive, against which all is measured)
    last week   the same time a week ago
    profile     exponentially weighted mean of the time of day
    smooth      the same, smoothed over neighbouring times
    weekly      exponentially weighted mean of the time of week
    quick       `smooth` of the last two or three days, for a load that moved to another level
    moving      `smooth`, shifted by how far the last six hours were off it, fading out
    flat        exponentially weighted mean of whole days

The forecast is their mean, weighted by inverse squared recent mean squared error of each series
(Bates and Granger 1969; Timmermann 2006 on why combinations beat selection). Its own errors on past
days, divided by what was usual at that time of day, give the interval (split conformal prediction:
Lei and others 2018, with a local scale): no distribution is assumed.

Pure, numpy; no loop over series or steps, one over days. float32 inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.forecast.limits import (
    CALIBRATION_DAYS,
    COVERAGE,
    DAY_STEPS,
    DAYS_MIN,
    PRESENT_PART_MIN,
    ROWS_AT_ONCE,
)

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

EXPERTS = ("yesterday", "last week", "profile", "smooth", "weekly", "quick", "moving", "flat")
PROFILE_RATE = 0.25
WEEKLY_RATE = 0.5
QUICK_RATE = 0.6
ERROR_RATE = 0.35
"""How quickly an expert's errors of the past are forgotten, by the day."""
WEIGHT_POWER = 2.0
SMOOTH_REACH = 2
"""Steps to either side over which `smooth` is smoothed."""
SCALE_REACH = 4
"""The same, of the errors' scale."""
MOVING_STEPS = 24
MOVING_FADE_STEPS = 16.0
"""Steps after which half of the shift is left."""
COVERAGE_DAYS = 3
"""Past days on which the interval is measured."""
WIDEN_MAX = 4.0
TAIL_PART = 0.75
"""Part of the tails that is cut off: tomorrow differs from the days that were measured."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What comes, for each series.

    `mean`, `low`, `high`: float32 [series, steps ahead], the first being the step after history's
    last; NaN where history is too short. Between low and high should lie 90 % of what comes. The
    rest is measured on past days, each forecast from those before it, float32 [series]: `mae`
    the mean absolute error over the last seven days, `naive_mae` that of the seasonal naive over
    the whole history (the scale of MASE), `coverage` of the interval, `peak` the mean of days'
    maxima. `enough` (bool [series]) says where there is a forecast.
    """

    mean: F32
    low: F32
    high: F32
    mae: F32
    naive_mae: F32
    coverage: F32
    peak: F32
    enough: Mask


def forecast(
    history: F32, steps: int, most: F32 | float = np.inf, only: str | None = None
) -> Forecast:
    """Forecast *steps* ahead of *history* (float32 [series, time], oldest first, NaN = absent).

    Only whole days count, from the end. Values lie between 0 and *most* (a number, or float32
    [series]). *only* names one expert to be believed alone, for comparisons.
    """
    rows = len(history)
    most = np.broadcast_to(np.asarray(most, np.float32), (rows,))
    parts = [
        _forecast_block(history[at : at + ROWS_AT_ONCE], steps, most[at : at + ROWS_AT_ONCE], only)
        for at in range(0, rows, ROWS_AT_ONCE)
    ]
    if not parts:
        nothing = _forecast_block(
            np.full((1, 1), np.nan, np.float32), steps, np.ones(1, np.float32), only
        )
        return Forecast(*(getattr(nothing, name)[:0] for name in Forecast.__slots__))
    return Forecast(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in Forecast.__slots__)
    )


def _forecast_block(history: F32, steps: int, most: F32, only: str | None) -> Forecast:
    rows = len(history)
    days = history.shape[1] // DAY_STEPS
    whole = np.ascontiguousarray(history[:, history.shape[1] - days * DAY_STEPS :], np.float32)
    x = whole.reshape(rows, days, DAY_STEPS)
    there = np.isfinite(x)
    full = there.mean(axis=2) >= PRESENT_PART_MIN
    enough = (full.sum(axis=1) >= DAYS_MIN) & full[:, -3:].any(axis=1) if days else _no(rows)
    if days < DAYS_MIN:
        enough = _no(rows)
        x, there, days = np.full((rows, 1, DAY_STEPS), np.nan, np.float32), _none(rows), 1
    pool = _Pool(rows, only)
    errors = np.full((rows, days, DAY_STEPS), np.nan, np.float32)
    scaled = np.full((rows, days, DAY_STEPS), np.nan, np.float32)
    week_error = np.zeros(rows, np.float32)
    week_count = np.zeros(rows, np.float32)
    kept: list[F32] = []
    for day in range(days):
        value, known = x[:, day], there[:, day]
        if day:
            guess = pool.guess(0)
            error = value - guess
            errors[:, day] = error
            scaled[:, day] = error / pool.scale  # NaN until there was an error before
            if day >= 7:
                # what was said a week before, for how intervals widen
                apart = np.abs(value - kept[day - 7])
                seen = np.isfinite(apart)
                week_error += np.where(seen, apart, 0.0).sum(axis=1)
                week_count += seen.sum(axis=1)
            pool.learn_errors(value, known, error)
        pool.learn(value, known)
        kept.append(pool.guess(6))
    return _finish(pool, x, errors, scaled, week_error, week_count, steps, most, enough)


class _Pool:
    """The experts' states and weights; arrays are float32 [series, steps of a day]."""

    def __init__(self, rows: int, only: str | None) -> None:
        self._only = None if only is None else EXPERTS.index(only)
        shape = (rows, DAY_STEPS)
        self._week = [np.full(shape, np.nan, np.float32) for _ in range(7)]
        self._weekly = [np.full(shape, np.nan, np.float32) for _ in range(7)]
        self._profile = np.full(shape, np.nan, np.float32)
        self._smooth = np.full(shape, np.nan, np.float32)
        self._quick = np.full(shape, np.nan, np.float32)
        self._flat = np.full((rows, 1), np.nan, np.float32)
        self._shift = np.zeros((rows, 1), np.float32)
        self._mse = np.full((rows, len(EXPERTS)), np.nan, np.float32)
        self._guesses: list[F32] = []
        self._usual_error = np.full(shape, np.nan, np.float32)
        self.scale = np.full(shape, np.nan, np.float32)
        self._day = 0
        steps = np.arange(DAY_STEPS, dtype=np.float32)
        self._fade = (0.5 ** (steps / MOVING_FADE_STEPS)).astype(np.float32)

    def learn(self, value: F32, known: Mask) -> None:
        """Take in a day."""
        before = self._smooth
        self._profile = _blend(self._profile, value, known, PROFILE_RATE)
        self._smooth = _smoothed(self._profile, SMOOTH_REACH)
        self._quick = _blend(self._quick, _smoothed(value, SMOOTH_REACH), known, QUICK_RATE)
        at = self._day % 7
        yesterday = self._week[(self._day - 1) % 7]
        self._week[at] = np.where(known, value, yesterday)
        self._weekly[at] = _blend(self._weekly[at], value, known, WEEKLY_RATE)
        count = known.sum(axis=1, keepdims=True)
        mean = np.where(known, value, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
        self._flat = _blend(self._flat, mean.astype(np.float32), count > 0, PROFILE_RATE)
        off = value[:, -MOVING_STEPS:] - (before if self._day else self._smooth)[:, -MOVING_STEPS:]
        seen = np.isfinite(off)
        self._shift = np.where(seen, off, 0.0).sum(axis=1, keepdims=True, dtype=np.float32)
        self._shift /= np.maximum(seen.sum(axis=1, keepdims=True), 1)
        self._day += 1

    def guess(self, ahead: int) -> F32:
        """The day that comes *ahead* days after the next."""
        at = (self._day + ahead) % 7
        yesterday = self._week[(self._day - 1) % 7]
        weekly = self._weekly[at]
        moved = self._smooth
        if ahead == 0:
            moved = moved + self._shift * self._fade
        guesses = [
            yesterday,
            np.where(np.isfinite(self._week[at]), self._week[at], yesterday),
            self._profile,
            self._smooth,
            np.where(np.isfinite(weekly), weekly, self._profile),
            self._quick,
            moved,
            np.broadcast_to(self._flat, yesterday.shape),
        ]
        if ahead == 0:
            self._guesses = guesses
        weights = self.weights()
        total = np.zeros_like(yesterday)
        for i, one in enumerate(guesses):
            total += weights[:, i : i + 1] * one
        # a time of day that some expert never saw: those who did
        if np.isnan(total).any():
            total = np.where(np.isnan(total), np.where(np.isnan(moved), self._flat, moved), total)
        return total

    def weights(self) -> F32:
        """float32 [series, experts], each row's sum 1."""
        mse = self._mse
        if self._only is not None:
            alone = np.zeros_like(mse)
            alone[:, self._only] = 1.0
            return alone
        best = np.nanmin(np.where(np.isfinite(mse), mse, np.inf), axis=1, keepdims=True)
        floor = np.where(np.isfinite(best), best, 1.0) * 1e-3 + 1e-12
        score = np.where(np.isfinite(mse), ((best + floor) / (mse + floor)) ** WEIGHT_POWER, 0.0)
        score = np.where(np.isfinite(best), score, 1.0)
        weights: F32 = (score / score.sum(axis=1, keepdims=True)).astype(np.float32)
        return weights

    def learn_errors(self, value: F32, known: Mask, error: F32) -> None:
        """How well each expert did on the day that `guess(0)` was asked of, and the scale."""
        for i, guess in enumerate(self._guesses):
            off = value - guess
            seen = known & np.isfinite(off)
            count = seen.sum(axis=1)
            mse = np.where(seen, off * off, 0.0).sum(axis=1) / np.maximum(count, 1)
            self._mse[:, i] = _blend(self._mse[:, i], mse.astype(np.float32), count > 0, ERROR_RATE)
        size = np.abs(error)
        self._usual_error = _blend(self._usual_error, size, np.isfinite(size), ERROR_RATE)
        near = _smoothed(self._usual_error, SCALE_REACH)
        all_day = _mean(near)[:, None]
        near = np.where(np.isfinite(near), near, all_day)
        # a time of day that was never wrong may be so one day
        self.scale = (0.7 * near + 0.3 * all_day + 1e-9).astype(np.float32)


def _finish(
    pool: _Pool,
    x: F32,
    errors: F32,
    scaled: F32,
    week_error: F32,
    week_count: F32,
    steps: int,
    most: F32,
    enough: Mask,
) -> Forecast:
    rows = len(x)
    recent = errors[:, -7:].reshape(rows, -1)
    mae = _mean(np.abs(recent))
    naive = _mean(np.abs(np.diff(x, axis=1)).reshape(rows, -1))
    with np.errstate(invalid="ignore"):
        top = np.where(np.isfinite(x), x, -np.inf).max(axis=2)
    peak = _mean(np.where(np.isfinite(top), top, np.nan))
    z = scaled[:, -CALIBRATION_DAYS:].reshape(rows, -1)
    if not np.isfinite(z).any():
        z = np.full((rows, 1), np.nan, np.float32)
    below, above = _bounds(z)
    coverage = _coverage(scaled)
    ahead = -(-steps // DAY_STEPS)
    mean = np.concatenate([pool.guess(day) for day in range(ahead)], axis=1)[:, :steps]
    # An interval a week ahead is as much wider as errors a week ahead were larger.
    late = np.where(week_count > 0, week_error / np.maximum(week_count, 1), mae * 1.5)
    widen = np.clip(late / np.maximum(mae, 1e-9), 1.0, WIDEN_MAX)[:, None]
    days = (np.arange(steps) // DAY_STEPS)[None, :]
    wider = 1.0 + (widen - 1.0) * np.sqrt(days / 6.0)
    scale = np.tile(pool.scale, (1, ahead))[:, :steps] * wider
    low = np.clip(mean + below[:, None] * scale, 0.0, most[:, None])
    high = np.clip(mean + above[:, None] * scale, 0.0, most[:, None])
    mean = np.clip(mean, 0.0, most[:, None])
    return Forecast(
        _kept(mean, enough),
        _kept(low, enough),
        _kept(high, enough),
        _kept(mae, enough),
        _kept(naive, enough),
        _kept(coverage, enough),
        _kept(peak, enough),
        enough,
    )


def _coverage(scaled: F32) -> F32:
    """float32 [series]: how much of the last days lay in the interval of the days before them."""
    rows, days = scaled.shape[:2]
    last = min(COVERAGE_DAYS, days - 1)
    z = scaled[
        :, days - last - CALIBRATION_DAYS if days - last > CALIBRATION_DAYS else 0 : days - last
    ]
    z = z.reshape(rows, z.shape[1] * DAY_STEPS)
    if not z.shape[1]:
        return np.full(rows, np.nan, np.float32)
    below, above = _bounds(z)
    came = scaled[:, days - last :].reshape(rows, last * DAY_STEPS)
    there = np.isfinite(came)
    inside = (there & (came >= below[:, None]) & (came <= above[:, None])).sum(axis=1)
    count = there.sum(axis=1)
    learned = np.isfinite(z).any(axis=1)
    # with three days there is nothing yet to measure an interval on: it is taken at its word
    out: F32 = np.where(
        learned & (count > 0), inside / np.maximum(count, 1), np.where(count > 0, COVERAGE, np.nan)
    ).astype(np.float32)
    return out


def _kept(values: npt.NDArray[np.floating], enough: Mask) -> F32:
    """float32 like *values*: NaN in the rows that do not have enough history."""
    where = enough if values.ndim == 1 else enough[:, None]
    out: F32 = np.where(where, values, np.nan).astype(np.float32)
    return out


def _bounds(z: F32) -> tuple[F32, F32]:
    """Conformal quantiles of scaled errors (float32 [series, errors], NaN = none): 5 % and 95 %,
    a little farther out, and corrected for their number, so that they hold for few, too."""
    count = np.isfinite(z).sum(axis=1)
    ordered = np.sort(np.where(np.isfinite(z), z, np.inf), axis=1)
    tail = (1.0 - COVERAGE) / 2.0 * TAIL_PART
    low = np.floor((count + 1) * tail).astype(np.int64) - 1
    high = np.ceil((count + 1) * (1.0 - tail)).astype(np.int64) - 1
    last = np.maximum(count - 1, 0)
    at = np.arange(len(z))
    below = ordered[at, np.clip(low, 0, last)]
    above = ordered[at, np.clip(high, 0, last)]
    none = count == 0
    return np.where(none, 0.0, below), np.where(none, 0.0, above)


def _blend(state: F32, value: F32, known: Mask, rate: float) -> F32:
    """Exponentially weighted mean; what is unknown changes nothing."""
    first = known & np.isnan(state)
    out: F32 = np.where(known, np.where(first, value, state + rate * (value - state)), state)
    return out


def _smoothed(values: F32, reach: int) -> F32:
    """Means over *reach* neighbours on either side of a day's circle; absent ones are left out."""
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    total, count = filled.copy(), there.astype(np.float32)
    for by in range(1, reach + 1):
        for side in (by, -by):
            total += np.roll(filled, side, axis=1)
            count += np.roll(there, side, axis=1)
    out: F32 = np.where(count > 0, total / np.maximum(count, 1.0), np.nan).astype(np.float32)
    return out


def _mean(values: F32) -> F32:
    """float32 [series]: means over what is there, NaN where nothing is."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1, dtype=np.float64)
    out: F32 = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return out


def _no(rows: int) -> Mask:
    return np.zeros(rows, np.bool_)


def _none(rows: int) -> Mask:
    return np.zeros((rows, 1, DAY_STEPS), np.bool_)
