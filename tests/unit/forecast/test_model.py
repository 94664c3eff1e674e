"""The forecast, its scores, calm windows, usual ranges, fills: what they say of known series."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from benchmarks.forecast import KINDS, backtest, recorded

from vezha.forecast.calm import calm_windows
from vezha.forecast.fill import fill
from vezha.forecast.limits import DAY_STEPS
from vezha.forecast.model import forecast
from vezha.forecast.resource import grown, loads
from vezha.forecast.score import anomaly, score
from vezha.forecast.usual import usual

DAYS = 21
STEP = np.arange(DAYS * DAY_STEPS)


def regular(rows: int = 8, noise: float = 2.0, seed: int = 1) -> np.ndarray:
    chance = np.random.default_rng(seed)
    shape = 40 + 20 * np.sin(2 * np.pi * STEP / DAY_STEPS)
    weekend = np.where(STEP // DAY_STEPS % 7 >= 5, 0.5, 1.0)
    return (shape * weekend + chance.normal(0, noise, (rows, len(STEP)))).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.__name__)
def test_it_beats_the_seasonal_naive(kind) -> None:  # type: ignore[no-untyped-def]
    values = np.clip(kind(np.random.default_rng(5))[:20], 0, None).astype(np.float32)
    mase, coverage, worth = backtest(values, 3)
    assert mase < 0.85
    assert 0.8 <= coverage <= 0.98
    assert worth > 0.7


def test_real_noise_is_forecast_no_worse_than_as_before() -> None:
    mase, coverage, _ = backtest(recorded(), 2)
    assert mase < 1.0
    assert coverage > 0.75


def test_a_month_ahead_widens_and_keeps_the_week() -> None:
    values = regular()
    told = forecast(values, 30 * DAY_STEPS, 100.0)
    assert told.mean.shape == (8, 30 * DAY_STEPS)
    assert (told.low <= told.mean).all()
    assert (told.mean <= told.high).all()
    assert (told.high <= 100).all()
    width = (told.high - told.low).reshape(8, 30, DAY_STEPS).mean(axis=(0, 2))
    assert width[29] >= width[0]
    by_day = told.mean.reshape(8, 30, DAY_STEPS).mean(axis=(0, 2))
    # history ends on a Sunday: days 0 to 4 are working days, 5 and 6 are not
    assert by_day[:5].min() > 1.4 * by_day[5:7].max()


def test_too_little_history_is_said_not_made_up() -> None:
    values = regular(3)
    values[1, : -2 * DAY_STEPS] = np.nan  # two days
    values[2] = np.nan
    told = forecast(values, DAY_STEPS)
    assert told.enough.tolist() == [True, False, False]
    assert np.isnan(told.mean[1:]).all()
    assert np.isnan(told.mae[1:]).all()
    assert not forecast(values[:, :50], DAY_STEPS).enough.any()
    assert forecast(np.empty((0, 400), np.float32), 10).mean.shape == (0, 10)


def test_gaps_and_constants_do_no_harm() -> None:
    values = regular(3)
    values[0, 100:400] = np.nan
    values[0, -30:-20] = np.nan
    values[1] = 7.0
    values[2] = 0.0
    told = forecast(values, DAY_STEPS)
    assert told.enough.all()
    assert np.isfinite(told.mean).all()
    assert np.allclose(told.mean[1], 7.0)
    assert np.allclose(told.high[2], 0.0, atol=1e-3)


def test_predictability_tells_the_regular_from_the_erratic_and_the_strange() -> None:
    chance = np.random.default_rng(2)
    values = regular(3)
    values[1] = np.abs(chance.normal(0, 30, len(STEP)))
    values[2, -DAY_STEPS:] = 95.0  # a day as there was never one
    told = forecast(values[:, :-DAY_STEPS], DAY_STEPS, 100.0)
    found = score(
        values[:, -DAY_STEPS:], told.mean, told.low, told.high, told.naive_mae,
        np.maximum(told.peak, 10),
    )  # fmt: skip
    good, erratic, strange = found.predictability.tolist()
    assert good > 0.85
    assert erratic < 0.8 * good
    assert strange < 0.1
    assert found.mase[2] > 5
    unscored = score(
        np.full((3, DAY_STEPS), np.nan, np.float32), told.mean, told.low, told.high,
        told.naive_mae, told.peak,
    )  # fmt: skip
    assert np.isnan(unscored.predictability).all()


def test_anomaly_is_in_half_widths() -> None:
    one = np.array([50.0, 50.0, 50.0, np.nan], np.float32)
    told = anomaly(
        np.array([50, 70, 30, 1], np.float32), one, one - 10, one + 10, np.ones(4, np.float32)
    )
    assert told[:3].tolist() == [0.0, 2.0, -2.0]
    assert np.isnan(told[3])


def test_the_calmest_windows_are_the_quiet_hours() -> None:
    values = regular(4)
    told = forecast(values, 7 * DAY_STEPS, 100.0)
    found = calm_windows(told.mean, told.high, told.peak, 8, count=3)
    assert len(found) == 3
    starts = sorted(w.start for w in found)
    assert all(b - a >= 8 for a, b in itertools.pairwise(starts))
    for window in found:
        hour = (window.start + 4) % DAY_STEPS / 4
        assert 14 <= hour <= 22  # the trough of the sine is at 18
        assert window.start // DAY_STEPS in (5, 6)
    assert found[0].load <= found[-1].load
    late = calm_windows(told.mean, told.high, told.peak, 8, first=600, count=1)
    assert late[0].start >= 600
    nothing = np.full_like(told.mean, np.nan)
    assert calm_windows(nothing, nothing, told.peak, 8) == []
    with pytest.raises(ValueError, match="does not fit"):
        calm_windows(told.mean, told.high, told.peak, 5000)


def test_when_disks_are_full() -> None:
    chance = np.random.default_rng(4)
    step_s, steps, size = 900.0, 672, 100e9
    at = np.arange(steps)
    free = np.stack([
        50e9 - 20e6 * at,  # 20 MB per 15 min
        np.full(steps, 30e9),
        40e9 + np.cumsum(chance.normal(0, 5e6, steps)),  # goes nowhere
        np.where(at < steps - 4, 30e9, 30e9 - (at - steps + 5) * 5e9),  # began an hour ago
        20e9 + 1e7 * at,
        np.full(steps, np.nan),
        np.full(steps, 0.0),
    ])  # fmt: skip
    told = fill(free, np.full(7, size), step_s)
    exact = free[0, -1] / 20e6 * step_s
    assert told.seconds[0] == pytest.approx(exact, rel=0.1)
    assert told.soonest[0] <= told.seconds[0] <= told.latest[0]
    assert np.isinf(told.seconds[[1, 2, 4]]).all()
    assert told.seconds[3] < 4 * 3600
    assert told.within["24h"][3] > 0.5
    assert told.within["7d"][1] < 0.01
    assert np.isnan(told.seconds[5])
    assert told.seconds[6] == 0.0
    assert told.within["4h"][6] == 1.0


def test_how_sure_a_fill_is_comes_true_about_as_often() -> None:
    chance = np.random.default_rng(9)
    steps, ahead, rows = 672, 96, 600
    drift = chance.uniform(2e6, 4e7, (rows, 1))
    moves = drift + chance.normal(0, 6e7, (rows, steps + ahead))
    lost = np.cumsum(moves, axis=1)
    room = lost[:, steps - 1 : steps] + chance.uniform(2e8, 4e9, (rows, 1))
    free = room - lost
    told = fill(free[:, :steps], np.full(rows, 100e9), 900.0).within["24h"]
    came = (free[:, steps:].min(axis=1) <= 0).astype(np.float64)
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.01)):
        some = np.flatnonzero((told >= low) & (told < high))
        assert len(some) > 30
        assert abs(np.mean(came[some]) - np.mean(told[some])) < 0.15


def test_the_usual_range_is_by_time_of_day_and_shrugs_off_a_bad_day() -> None:
    values = regular(2).astype(np.float64)
    values[:, 5 * DAY_STEPS : 5 * DAY_STEPS + 60] = 1000.0
    low, high = usual(values, 10)
    assert low.shape == (2, DAY_STEPS)
    assert (low < high).all()
    assert high.max() < 80
    busy, quiet = (24 + 10) % DAY_STEPS, (72 + 10) % DAY_STEPS
    assert low[0, busy] > low[0, quiet]
    assert high[0, busy] > high[0, quiet]
    short_low, _ = usual(values[:, : 2 * DAY_STEPS], 0)
    assert np.isnan(short_low).all()


def test_loads_come_from_counters() -> None:
    idle = np.array([[0.0, 2700.0, 5400.0, 100.0, 2800.0]])
    parts = {
        "idle": grown(idle, 900.0),
        "all": np.full((1, 4), 4.0),
        "available": np.full((1, 4), 2.0),
        "memory": np.full((1, 4), 8.0),
        "received": np.full((1, 4), 10.0),
        "sent": np.full((1, 4), 5.0),
        "busy": np.full((1, 4), 1.5),
    }
    made = loads(parts)
    assert made["cpu"][0, :2].tolist() == [25.0, 25.0]
    assert np.isnan(made["cpu"][0, 2])  # a reset
    assert made["memory"][0, 0] == 75.0
    assert made["network"][0, 0] == 15.0
    assert made["disk"][0, 0] == 100.0
