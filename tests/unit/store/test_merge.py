"""Tiles of an hour become one; late samples are folded in; damage stays where it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
from tests.unit.store.conftest import T0_MS, Bench, schema_of

from vezha.model.labels import metric
from vezha.query import Engine
from vezha.store.days import day_of
from vezha.store.merge import due_days, due_merges

HOUR_MS = 3_600_000
START_MS = T0_MS // HOUR_MS * HOUR_MS


def _write_hour(bench: Bench, windows: int = 6) -> None:
    bench.store.put_schema(1, schema_of("cpu", "mem"))
    for i in range(windows):
        for k in range(0, 100, 2):
            ts = START_MS + (i * 600 + k) * 1000
            bench.clock.time_s = ts / 1000
            bench.frame(1, i * 1000 + k, ts, [float(i * 600 + k), 1.0])
        bench.store.flush()


def _tiles(bench: Bench) -> int:
    file = bench.store._days.file(day_of(START_MS))
    assert file is not None
    return len(file.directory())


def _quiet_down(bench: Bench) -> None:
    bench.clock.time_s = START_MS / 1000 + 3600 + 1000
    for i in range(9):
        bench.frame(1, 100_000 + i, START_MS + HOUR_MS + i * 1000, [0.0, 0.0])
        bench.store.flush()
        bench.clock.time_s += 120


def test_an_hour_becomes_one_tile_with_the_late_samples_in_it(bench: Bench) -> None:
    _write_hour(bench)
    for k in range(100):  # half of them are there already, with another value
        bench.frame(1, 50_000 + k, START_MS + k * 1000, [float(k if k % 2 else -1), 1.0])
    bench.store.flush()
    before = bench.read("cpu", START_MS - 1, START_MS + HOUR_MS - 1)
    assert _tiles(bench) == 7
    _quiet_down(bench)
    assert bench.store.stats()["merges"] == 7
    assert bench.read("cpu", START_MS - 1, START_MS + HOUR_MS - 1) == before
    assert len(before["db-1"]) == 350
    assert before["db-1"][:4] == [(START_MS + k * 1000, float(k)) for k in range(4)]
    bench.restart()
    assert bench.read("cpu", START_MS - 1, START_MS + HOUR_MS - 1) == before


def test_a_damaged_tile_costs_itself_only(bench: Bench, tmp_path: Path) -> None:
    _write_hour(bench)
    path = next((tmp_path / "store/days").glob("*.db"))
    with sqlite3.connect(path) as db:
        (number, data) = db.execute("SELECT id, data FROM tile_data ORDER BY id").fetchall()[2]
        damaged = bytearray(data)
        damaged[len(data) // 2] ^= 4
        db.execute("UPDATE tile_data SET data=? WHERE id=?", (bytes(damaged), number))
    db.close()
    bench.store.flush()
    bench.restart()
    found = bench.read("cpu")["db-1"]
    assert len(found) == 250
    assert bench.store.stats()["corrupt_tiles"] == 1
    for query in ("count_over_time(cpu[1h])", "cpu"):
        result = Engine(bench.store).instant(query, START_MS + 20 * 60_000)
        (warning,) = result.warnings
        assert warning.endswith("missing: a tile is damaged; see `vezha store check`")
    assert Engine(bench.store).instant("cpu", START_MS + 55 * 60_000).warnings == []
    _quiet_down(bench)
    assert bench.read("cpu", START_MS - 1, START_MS + HOUR_MS - 1)["db-1"] == found
    assert bench.store.stats()["merges"] == 5


def test_rows_of_unlike_lengths_are_not_merged_for_ever(bench: Bench) -> None:
    store = bench.store
    refs = store.resolve(schema_of("a", "b"))
    ts = START_MS + 1000 * np.arange(200)
    for part in (slice(0, 100), slice(100, 200)):
        store.write(np.full(100, refs[0]), ts[part], np.arange(100.0))
        store.write(refs[1:], ts[part][:1], np.ones(1))
        store.flush()
    bench.store.put_schema(1, schema_of("cpu", "mem"))
    _quiet_down(bench)
    merges = bench.store.stats()["merges"]
    assert merges == 4
    bench.clock.time_s += 7200
    bench.store.flush()
    assert bench.store.stats()["merges"] == merges
    assert len(bench.read("a")[""]) == 200
    assert len(bench.read("b")[""]) == 2


def test_merging_gives_space_back_to_the_file_system(bench: Bench) -> None:
    random = np.random.default_rng(1)
    series = [metric("noise", n=str(i)) for i in range(200)]
    refs = bench.store.resolve(series)
    for window in range(4):
        ts = START_MS + 1000 * (np.arange(100) + 100 * window)
        bench.clock.time_s = float(ts[-1]) / 1000
        bench.store.write(np.repeat(refs, 100), np.tile(ts, 200), random.normal(size=20_000))
        bench.store.flush()
    file = bench.store._days.file(day_of(START_MS))
    assert file is not None
    before = bench.store._days.bytes_on_disk()[file.day]
    bench.store.delete([])
    bench.clock.time_s += 7200
    assert bench.store.compact() > 0
    bench.store._days.close()
    assert bench.store._days.bytes_on_disk()[file.day] < before / 2


def test_a_day_without_tiles_has_nothing_to_merge() -> None:
    empty = np.empty((0, 7), np.int64)
    assert list(due_days(empty, 1 << 40)) == []
    assert list(due_merges(empty, 1 << 60, 1 << 40)) == []
