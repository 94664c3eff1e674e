"""Roll-ups answer as the samples do, and count no longer once their tiles change."""

from __future__ import annotations

import dataclasses
import math
import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.store.conftest import Bench

from vezha.model.columns import STALE_NAN, Matcher, MatchOp, Selection
from vezha.model.labels import metric
from vezha.query import Engine
from vezha.store import Store, StoreReader, StoreSettings
from vezha.store.check import check, repair, stat
from vezha.store.days import day_name, day_of
from vezha.store.limits import DAY_MS
from vezha.store.rolled import SINCE, UNTIL, Rolled, chunks
from vezha.store.rollup import (
    COUNT,
    FIRST,
    LAST,
    LOST,
    MAX,
    SPAN,
    SUM,
    Choice,
    buckets_of,
    planes_for,
    roll_up,
)
from vezha.store.tile import decode

START_MS = 1_790_000_000_000 // DAY_MS * DAY_MS - 2 * DAY_MS
QUERIES = [
    "load",
    "sum by (instance) (load)",
    "max_over_time(load[2h])",
    "min_over_time(load[1h])",
    "sum_over_time(load[1h])",
    "last_over_time(load[1h])",
    "max_over_time(load[10m])",
    "min_over_time(load[1h] offset 1h)",
    "avg_over_time(load[1h])",
    "count_over_time(load[1h])",
    "rate(load[1h])",
    "rate(load_total[1h])",
    "increase(load_total[2h])",
    "sum(rate(load_total[10m]))",
    "avg_over_time(load_total[1h])",
    "present_over_time(load[10m])",
    "delta(load_total[1h])",
]


def _fill(store: Store, start_ms: int, hours: int, gap_ms: int, seed: int = 1) -> None:
    # the series that bring their columns lie by themselves: here they are another host's
    store.resolve([metric("load", instance="first"), metric("load_total", instance="first")])
    _fill_only(store, start_ms, hours, gap_ms, seed)


def _fill_only(store: Store, start_ms: int, hours: int, gap_ms: int, seed: int = 1) -> None:
    random = np.random.default_rng(seed)
    refs = store.resolve([metric("load", instance=f"db-{i}") for i in range(3)])
    for ref in refs.tolist():
        ts = start_ms + np.arange(0, hours * 3_600_000, gap_ms) + int(random.integers(0, gap_ms))
        ts = ts[random.random(len(ts)) < 0.9]
        values = np.round(random.normal(50, 20, len(ts)), 2)
        values[random.random(len(ts)) < 0.01] = STALE_NAN
        values[random.random(len(ts)) < 0.005] = math.nan
        store.write(np.full(len(ts), ref, np.int64), ts, values)
    refs = store.resolve([metric("load_total", instance=f"db-{i}") for i in range(3)])
    for ref in refs.tolist():
        ts = start_ms + np.arange(0, hours * 3_600_000, gap_ms) + int(random.integers(0, gap_ms))
        ts = ts[random.random(len(ts)) < 0.9]
        values = np.cumsum(random.poisson(3.0, len(ts))).astype(np.float64)
        for at in np.flatnonzero(random.random(len(ts)) < 0.002).tolist():
            values[at:] -= values[at]  # it began anew
        values[random.random(len(ts)) < 0.01] = STALE_NAN
        store.write(np.full(len(ts), ref, np.int64), ts, values)
    store.commit(store.seal())


def _answers(bench: Bench, step_ms: int, roll_ups: bool) -> list[np.ndarray]:
    """Values of every query, NaN where there is none."""
    plain = dataclasses.replace(bench.settings, roll_ups=roll_ups, thin_to_steps=roll_ups)
    reader = StoreReader.open(bench.store.path, plain)
    found = []
    for text in QUERIES:
        end = START_MS + DAY_MS + 6 * 3_600_000
        result = Engine(reader).range(text, START_MS, end, step_ms)
        found.append(np.where(result.present, result.values, -1.5))
    reader.close()
    return found


def _same(bench: Bench, step_ms: int) -> None:
    rolled, plain = _answers(bench, step_ms, True), _answers(bench, step_ms, False)
    for text, got, expected in zip(QUERIES, rolled, plain, strict=True):
        if text.startswith(("sum", "avg", "rate", "increase")):
            np.testing.assert_allclose(got, expected, rtol=1e-12, err_msg=text)
        else:
            np.testing.assert_array_equal(got, expected, err_msg=text)


def _used(store: Store, function: str = "max_over_time", range_ms: int = 3_600_000) -> object:
    chosen = Selection(
        (Matcher("__name__", MatchOp.EQ, "load"),), START_MS, START_MS + DAY_MS - 3_600_000,
        3_600_000, range_ms, function,
    )  # fmt: skip
    return store.select(chosen).notes.get("resolution")


def _rolled_db(store: Store, tier_s: int = 3_600) -> Path:
    return Path(store.path, "rolled", f"{tier_s}s", day_name(day_of(START_MS)))


def _rolled(bench: Bench) -> Store:
    _fill(bench.store, START_MS, 30, 10_000)
    bench.store.compact()
    return bench.store


@pytest.mark.parametrize("step_ms", [3_600_000, 600_000, 90_000])
def test_queries_answer_as_from_samples(bench: Bench, step_ms: int) -> None:
    _rolled(bench)
    assert _used(bench.store) == {"3600 s": 1}
    _same(bench, step_ms)


def test_series_that_brought_their_columns_are_rolled_up_by_themselves(bench: Bench) -> None:
    _fill_only(bench.store, START_MS, 30, 10_000)
    bench.store.compact()
    assert _used(bench.store) == {"3600 s": 2}
    _same(bench, 3_600_000)


def test_late_samples_are_seen_at_once_and_rolled_up_later(bench: Bench) -> None:
    store = _rolled(bench)
    refs = store.resolve([metric("load", instance="db-0")])
    at = START_MS + 5 * 3_600_000 + 1
    store.write(refs, np.array([at]), np.array([1e6]))
    store.commit(store.seal())
    for rolled in (False, False, True):
        assert (_used(store) is not None) == rolled
        data = store.select(
            Selection(
                (Matcher("instance", MatchOp.EQ, "db-0"),), START_MS, START_MS + DAY_MS,
                3_600_000, 3_600_000, "max_over_time",
            )
        )  # fmt: skip
        assert data.values[~np.isnan(data.values)].max() == 1e6
        store.compact() if store.stats()["flushes"] > 1 else store.flush()
    _same(bench, 3_600_000)


def test_deleted_samples_are_gone_at_once(bench: Bench) -> None:
    store = _rolled(bench)
    wanted = (Matcher("instance", MatchOp.EQ, "db-1"),)
    store.delete(wanted, START_MS + 3_600_000, START_MS + 7_200_000)
    assert _used(store) is None
    _same(bench, 3_600_000)
    store.compact()
    _same(bench, 3_600_000)


def test_roll_ups_survive_a_restart_and_outlive_the_samples(bench: Bench) -> None:
    _rolled(bench)
    store = bench.restart()
    assert _used(store) == {"3600 s": 1}
    before = _answers(bench, 3_600_000, True)
    filled = (Matcher("instance", MatchOp.NE, "first"),)
    names = store.series(filled, START_MS, START_MS + DAY_MS)
    bench.clock.time_s += 40 * 86_400
    store.flush()
    assert store.stats()["expired_days"] > 0
    assert _used(store) == {"60 s": 1}  # the finest that is left
    for text, got, was in zip(QUERIES, _answers(bench, 3_600_000, True), before, strict=True):
        if "delta" in text or text == "rate(load[1h])":
            # these need samples; what comes nearest is the buckets' last
            assert got.shape == was.shape
        else:
            np.testing.assert_allclose(got, was, rtol=1e-12, err_msg=text)
    assert store.series(filled, START_MS, START_MS + DAY_MS) == names
    bench.clock.time_s += 60 * 86_400
    store.flush()
    assert _used(store) == {"3600 s": 1}
    assert [d for d in stat(store.path) if d.rolled_bytes.keys() == {"3600s"}]
    bench.clock.time_s += 800 * 86_400
    store.flush()
    assert _used(store) is None
    assert store.stats()["rolled_bytes"] == 0


def test_the_day_is_rolled_up_without_being_asked(bench: Bench) -> None:
    store = bench.store
    _fill(store, START_MS, 24, 10_000)
    store.flush()
    assert _used(store) is None  # late samples may still come
    for _ in range(12):
        bench.clock.time_s += 120
        now_ms = int(bench.clock.time_s * 1000)
        store.write(store.resolve([metric("up")]), np.array([now_ms]), np.array([1.0]))
        bench.commit()
    bench.commit()
    assert _used(store) == {"3600 s": 1}


def test_a_day_that_runs_is_rolled_up_as_far_as_it_is_over(bench: Bench) -> None:
    store = bench.store
    bench.clock.time_s = (START_MS + 18 * 3_600_000 + 1_800_000) / 1000
    _fill(store, START_MS, 18, 10_000)
    store.compact()
    assert _used(store) == {"3600 s": 1}
    made = store.stats()["roll_ups"]
    _fill(store, START_MS + 18 * 3_600_000, 1, 10_000, seed=5)
    for chunks_used in (1, 1, 2):  # in the head, in tiles beside, and in a chunk of its own
        assert _used(store) == {"3600 s": chunks_used}
        _same(bench, 3_600_000)
        bench.clock.time_s += 3_600
        store.compact() if store.stats()["flushes"] > 1 else store.flush()
    assert store.stats()["roll_ups"] == made + 1  # the hours before it were not made again


def _chunks(store: Store, tier_s: int = 3_600) -> list[list[int]]:
    """Hours of each chunk of the first day."""
    rolled = Rolled(f"{store.path}/rolled", readonly=True)
    file = rolled.file(tier_s * 1000, day_of(START_MS))
    assert file is not None
    rows = np.unique(chunks(file.directory())[:, [SINCE, UNTIL]], axis=0)
    rolled.close()
    return sorted(((rows - START_MS) // 3_600_000).tolist())


def test_hours_are_rolled_up_as_they_end_and_joined_when_the_day_is_over(bench: Bench) -> None:
    store = bench.store
    for hour in range(26):
        bench.clock.time_s = (START_MS + (hour + 1) * 3_600_000) / 1000
        _fill(store, START_MS + hour * 3_600_000, 1, 10_000, seed=hour)
        for _ in range(10):  # until it is quiet, and rolled up
            bench.clock.time_s += 120
            bench.commit()
            refs, now_ms = store.resolve([metric("up")]), int(bench.clock.time_s * 1000)
            store.write(refs, np.array([now_ms]), np.array([1.0]))
        if hour == 2:
            assert [0, 1] in _chunks(store)
            assert [2, 3] in _chunks(store)
    assert _chunks(store) == [[0, 24]]
    _same(bench, 3_600_000)
    _same(bench, 600_000)


@pytest.mark.parametrize("restart", [False, True])
def test_days_long_over_are_merged_and_rolled_up_when_quiet(bench: Bench, restart: bool) -> None:
    store = bench.store
    _fill(store, START_MS, 24, 10_000, seed=2)
    store.flush()
    _fill(store, START_MS, 24, 10_000, seed=3)
    store.flush()
    bench.clock.time_s += 6 * 86_400
    for day in range(3):  # so that the day is none of the last two
        store.write(
            store.resolve([metric("up")]),
            np.array([START_MS + (4 + day) * DAY_MS]),
            np.array([1.0]),
        )
    store.flush()
    if restart:
        store = bench.restart()
    for _ in range(12):
        bench.clock.time_s += 120
        now_ms = int(bench.clock.time_s * 1000)
        store.write(store.resolve([metric("up")]), np.array([now_ms]), np.array([1.0]))
        bench.commit()
    bench.commit()
    assert store.stats()["merges"] > 0
    assert _used(store) == {"3600 s": 1}
    _same(bench, 3_600_000)


def test_a_file_from_before_roll_ups_is_read(bench: Bench) -> None:
    store = _rolled(bench)
    path = store.path
    store.abandon()
    shutil.rmtree(Path(path, "rolled"))
    with sqlite3.connect(Path(path, "days", day_name(day_of(START_MS)))) as db:
        db.execute("CREATE TABLE rolled (id INTEGER)")  # as an early build had it
    db.close()
    store = bench.open()
    assert _used(store) is None
    _same(bench, 3_600_000)
    assert not list(check(store.path, bench.world))


def test_a_damaged_roll_up_costs_nothing_but_itself(bench: Bench) -> None:
    store = _rolled(bench)
    for tier_s in (3_600, 60):
        with sqlite3.connect(_rolled_db(store, tier_s)) as db:
            db.execute("UPDATE roll_up_data SET data = zeroblob(length(data))")
        db.close()
    assert _used(store) is None
    _same(bench, 3_600_000)
    assert {p.kind for p in check(store.path, bench.world)} == {"roll-up"}
    store.abandon()
    assert repair(store.path, bench.world)
    assert not list(check(store.path, bench.world))
    bench.open().compact()
    assert _used(bench.store) == {"3600 s": 1}


def test_the_setting_turns_them_off(bench: Bench, tmp_path: Path) -> None:
    bench.store.abandon()
    bench.settings = StoreSettings(
        background=False, head_folder=str(tmp_path / "memory"), roll_ups=False
    )
    bench.open()
    assert _used(_rolled(bench)) is None
    assert bench.store.stats()["roll_ups"] == 0


HOUR, MINUTE = 3_600_000, 60_000


TEN = 10_000
RATE = (LAST, COUNT, FIRST, SPAN, LOST)


@pytest.mark.parametrize(
    ("step", "back", "function", "end", "choice"),
    [
        (HOUR, 0, "", 24 * HOUR, Choice((LAST,), (HOUR, MINUTE, TEN))),
        (5 * MINUTE, 0, "sum", 24 * HOUR, Choice((LAST,), (MINUTE, TEN))),
        (30_000, 0, "sum", 24 * HOUR, Choice((LAST,), (TEN,))),
        (HOUR, HOUR, "max_over_time", 24 * HOUR, Choice((MAX,), (HOUR, MINUTE, TEN))),
        (HOUR, 5 * MINUTE, "max_over_time", 24 * HOUR, Choice((MAX,), (MINUTE, TEN))),
        (0, 24 * HOUR, "max_over_time", 24 * HOUR, Choice((MAX,), (HOUR, MINUTE, TEN))),
        (HOUR, HOUR, "max_over_time", 24 * HOUR + 1, None),
        (HOUR, HOUR, "rate", 24 * HOUR, Choice(RATE, (HOUR, MINUTE, TEN), True)),
        (HOUR, HOUR, "avg_over_time", 24 * HOUR, Choice((SUM, COUNT), (HOUR, MINUTE, TEN), True)),
        (HOUR, HOUR, "irate", 24 * HOUR, None),
        (HOUR, HOUR, "quantile_over_time", 24 * HOUR, None),
        (0, 0, "", 24 * HOUR, None),
        (15_000, 0, "", 24 * HOUR, None),
        (HOUR, 0, "", 5 * HOUR, None),
    ],
)
def test_when_a_roll_up_will_do(
    step: int, back: int, function: str, end: int, choice: Choice | None
) -> None:
    assert planes_for(Selection((), 0, end, step, back, function, rolled=True)) == choice
    plain = planes_for(Selection((), 0, end, step, back, function))
    assert plain == (None if choice is not None and choice.named else choice)


_numbers = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, STALE_NAN, -0.0])
)


@settings(deadline=None)
@given(
    samples=st.dictionaries(st.integers(-5_000, 5_000), _numbers, min_size=1, max_size=60),
    series=st.integers(1, 3),
    counters=st.booleans(),
)
def test_planes_are_the_buckets(samples: dict[int, float], series: int, counters: bool) -> None:
    ts = np.array(sorted(samples), np.int64)
    values = np.array([samples[t] for t in ts.tolist()])
    n, tier = len(ts), 10_000
    refs = np.repeat(np.arange(series), n)
    made_of = buckets_of(refs, np.tile(ts, series), np.tile(values, series), tier)
    stale = values.view(np.uint64) == np.array([STALE_NAN]).view(np.uint64)[0]
    # a part is one bucket's samples in a row; a stale marker is one of its own
    parts: list[list[int]] = []
    for i in range(n):
        new = not parts or stale[i] or stale[i - 1] or -(-ts[i] // tier) != -(-ts[i - 1] // tier)
        parts.append([i]) if new else parts[-1].append(i)
    assert len(made_of.refs) == series * len(parts)
    made = list(roll_up(made_of, tier, np.full(len(made_of.refs), counters)))
    if not made[0].data:
        assert len(parts) * 3 > n
        return
    assert {row.plane for row in made} == set(range(8 if counters else 5))
    for row in made:
        tile = decode(row.data)
        got = tile.values(np.arange(series))
        for at, part in enumerate(parts):
            real = values[part]
            assert tile.times[0][at] == ts[part[-1]]
            with np.errstate(invalid="ignore"):
                lost = sum(a for a, b in pairwise(real) if b < a)
                expected = {
                    0: real[-1], 1: np.fmin.reduce(real), 2: np.fmax.reduce(real),
                    3: real.sum(), 4: float(len(real)), 5: real[0],
                    6: float(ts[part[-1]] - ts[part[0]]), 7: lost,
                }[row.plane]  # fmt: skip
            if stale[part[0]] and row.plane < 6:
                expected = STALE_NAN
            np.testing.assert_allclose(got[:, at], np.full(series, expected), rtol=1e-9, atol=1e-9)
