"""What is usual without a forecast, and what was unusual, read back and ranked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vezha.forecast.baseline import baseline
from vezha.forecast.book import Book
from vezha.forecast.limits import DAY_STEPS, HISTORY_STEPS
from vezha.forecast.strange import judged
from vezha.forecast.unusual import unusual
from vezha.model.labels import metric
from vezha.query import Engine
from vezha.store import Store
from vezha.world import SystemClock, World

HOUR = np.arange(HISTORY_STEPS) % DAY_STEPS / 4
DAY = np.arange(HISTORY_STEPS) // DAY_STEPS
NOW_MS = 1_764_000_000_000


def loads(rows: int = 8) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Busy from nine to five on five days of seven, with some noise."""
    work = ((HOUR >= 9) & (HOUR < 17) & (DAY % 7 < 5)) * 50.0
    noise = np.random.default_rng(3).normal(0, 1.0, (rows, HISTORY_STEPS))
    return np.clip(10 + work + noise, 0, None).astype(np.float32)


def test_time_of_week_where_three_weeks_are_known() -> None:
    told = baseline(loads())  # the next step is Monday, 00:00
    assert told.is_weekly.all()
    assert np.allclose(told.mid, 10, atol=1.5)
    at_noon = baseline(loads(), 12 * 4)
    assert np.allclose(at_noon.mid, 60, atol=2)
    saturday = baseline(loads()[:, :HISTORY_STEPS], 5 * DAY_STEPS + 10 * 4)
    assert np.allclose(saturday.mid, 10, atol=1.5)
    assert ((at_noon.high - at_noon.mid) < 5).all()


def test_time_of_day_where_only_days_are_known_and_nothing_before() -> None:
    few = loads()
    few[:, : -2 * DAY_STEPS] = np.nan  # a weekend
    told = baseline(few, 10 * 4)
    assert not told.is_weekly.any()
    assert np.allclose(told.mid, 10, atol=1.5)
    few[:, :-DAY_STEPS] = np.nan
    assert np.isnan(baseline(few).mid).all()
    assert np.isnan(baseline(np.full((1, HISTORY_STEPS), np.nan, np.float32)).high).all()


def test_one_bad_day_does_not_become_usual() -> None:
    values = loads()
    values[:, 20 * DAY_STEPS : 21 * DAY_STEPS] = 100.0
    told = baseline(values, 3 * 4)
    assert np.allclose(told.mid, 10, atol=1.5)
    assert (told.high < 30).all()


def test_a_load_without_a_forecast_is_judged_by_the_baseline(tmp_path: Path) -> None:
    book = Book(World(), str(tmp_path))
    keys = [("host", f"web-{i}", "cpu") for i in range(3)]
    rows = book.loads.place(keys)
    values = loads(3)
    for step in range(HISTORY_STEPS):
        book.loads.write(step, rows, values[:, step])
    now = np.array([10.0, 95.0, np.nan], np.float32)
    found = judged(
        book, [*keys, ("host", "new", "cpu")], np.append(now, 50).astype(np.float32), HISTORY_STEPS
    )
    assert found.basis == ["week", "week", "week", ""]
    assert abs(found.score[0]) < 1
    assert found.score[1] > 3
    assert np.isnan(found.score[2:]).all()


class Clock(SystemClock):
    def now(self) -> float:
        return NOW_MS / 1000


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    store = Store.open(str(tmp_path / "store"), World(clock=Clock()))
    series = [
        metric("vezha_load_anomaly_score", instance=host, resource=resource, job="vezha")
        for host, resource in (
            ("web-1", "cpu"),
            ("web-1", "disk"),
            ("db.1", "cpu"),
            ("dbx1", "cpu"),
        )
    ]
    told = [
        metric(
            "vezha_load_unusual",
            instance="web-1",
            resource="cpu",
            what=what,
            basis="week",
            job="vezha",
        )
        for what in ("now", "low", "high")
    ]
    refs = store.resolve([*series, *told])
    for minute in range(30):
        at = np.full(7, NOW_MS - (29 - minute) * 60_000, np.int64)
        burst = 10 <= minute < 15
        values = np.array(
            [
                8.0 + minute if burst else 0.2,
                -4.0 if minute >= 20 else 0.1,
                5.0,
                50.0,
                97.0,
                10.0,
                22.0,
            ]
        )
        kept = np.arange(7) < 4 if not burst else np.ones(7, bool)
        store.write(refs[kept], at[kept], values[kept])
    store.flush()
    return Engine(store)


def test_what_was_off_is_ranked_with_what_would_have_been_usual(engine: Engine) -> None:
    start_ms = NOW_MS - 29 * 60_000
    rows = unusual(engine, ["web-1", "db.1"], start_ms, NOW_MS)
    assert [(r.host, r.resource) for r in rows] == [
        ("web-1", "cpu"),
        ("db.1", "cpu"),
        ("web-1", "disk"),
    ]
    first, second, third = rows
    assert first.score == 22.0
    assert first.since == (start_ms + 10 * 60_000) / 1000
    assert first.is_over
    assert not second.is_over
    assert third.score == -4.0
    assert first.why("en") == "CPU of web-1: 97 %, usually 10 % to 22 %."
    assert first.why("uk") == "web-1, процесор: 97 %, зазвичай від 10 % до 22 %."
    assert third.why("en") == "disk of web-1 was far below what is usual."
    assert {r.host for r in unusual(engine, [], NOW_MS - 60_000, NOW_MS)} == {
        "web-1",
        "db.1",
        "dbx1",
    }
    assert unusual(engine, ["nobody"], start_ms, NOW_MS) == []
