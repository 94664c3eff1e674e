"""Bytes are changed at random places in every file of a store: `check` tells, the start succeeds,
`repair` mends, and nothing that can still be read is lost."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.unit.store.conftest import T0_MS, Bench, read, schema_of

from vezha.model.labels import metric
from vezha.store import StoreReader
from vezha.store.check import check, repair
from vezha.store.errors import StoreCorrupt, WrongFormat
from vezha.store.names import NamesLog

HOSTS = 12
SECONDS = 40


def fill(bench: Bench) -> None:
    """Three flushes and a WAL of frames from 12 hosts, and 300 pods that came and went."""
    bench.store.put_schema(1, schema_of("cpu", "mem"))
    for part in range(4):
        for host in range(HOSTS):
            for k in range(SECONDS):
                second = part * SECONDS + k
                bench.frame(
                    1, second, T0_MS + second * 1000, [float(second), float(host)], f"a/{host}",
                    (("instance", f"db-{host}"), ("job", "node")),
                )  # fmt: skip
        pods = [
            metric("pod_up", instance="k", pod=f"{part}-{n}", image="x" * 40) for n in range(75)
        ]
        refs = bench.store.resolve(pods)
        bench.store.write(refs, np.full(75, T0_MS + part * 1000), np.arange(75.0))
        bench.clock.time_s += SECONDS
        if part < 3:
            bench.store.flush()
        else:
            bench.commit()


def everything(bench: Bench) -> dict[str, dict[str, list[tuple[int, float]]]]:
    return {name: bench.read(name) for name in ("cpu", "mem", "pod_up")}


def damage(path: Path, seed: int, places: int = 1) -> None:
    """Change bytes of a file at random places."""
    chance = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(places):
        at = chance.randrange(len(data))
        data[at : at + 8] = bytes(chance.randrange(256) for _ in data[at : at + 8])
    path.write_bytes(data)


def settle(bench: Bench) -> None:
    """As a stopped server leaves it: what SQLite keeps beside its files is carried over."""
    bench.store.abandon()


def is_whole(bench: Bench) -> bool:
    return not list(check(str(bench.folder / "store"), bench.world))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_catalog_costs_nothing(bench: Bench, seed: int) -> None:
    fill(bench)
    before = everything(bench)
    settle(bench)
    damage(bench.folder / "store/catalog.db", seed, places=1 + seed % 4)
    bench.open()
    assert everything(bench) == before
    bench.restart()  # and it stays so
    assert everything(bench) == before
    settle(bench)
    repair(str(bench.folder / "store"), bench.world)
    assert is_whole(bench)
    bench.open()
    assert everything(bench) == before
    new = bench.store.resolve([metric("another", instance="k")])
    assert int(new[0]) == 2 * HOSTS + 300  # nobody gets the number of somebody else


@pytest.mark.parametrize("seed", range(8))
def test_repair_finds_what_is_wrong_with_a_catalog(bench: Bench, seed: int) -> None:
    fill(bench)
    before = everything(bench)
    settle(bench)
    path = bench.folder / "store/catalog.db"
    with sqlite3.connect(path) as db:  # a page that SQLite itself has nothing against
        table = ("label_column", "host")[seed % 2]
        number, data = db.execute(f"SELECT * FROM {table} ORDER BY id LIMIT 1 OFFSET ?",
                                  (seed,)).fetchone()  # fmt: skip
        changed = data[:-1] + bytes([data[-1] ^ 1])
        db.execute(f"UPDATE {table} SET labels = ? WHERE id = ?", (changed, number))
    db.close()
    kinds = [p.kind for p in check(str(bench.folder / "store"), bench.world)]
    assert kinds == ["catalog"]
    repair(str(bench.folder / "store"), bench.world)
    assert is_whole(bench)
    bench.open()
    assert everything(bench) == before
    assert bench.store.counts["catalog_rebuilt"] == 0  # it was repaired before


def test_a_start_makes_a_damaged_catalog_anew_and_says_so(bench: Bench) -> None:
    fill(bench)
    settle(bench)
    (bench.folder / "store/catalog.db").write_bytes(b"not a database" * 1000)
    bench.open()
    assert bench.store.stats()["catalog_rebuilt"] == 1
    assert bench.store.stats()["lost_names"] == 0
    assert (bench.folder / "store/catalog.db.damaged").exists()
    bench.restart()
    assert bench.store.stats()["catalog_rebuilt"] == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_register_is_written_anew(bench: Bench, seed: int) -> None:
    fill(bench)
    before = everything(bench)
    settle(bench)
    damage(bench.folder / "store/names.log", seed)
    assert {p.kind for p in check(str(bench.folder / "store"), bench.world)} == {"names"}
    repair(str(bench.folder / "store"), bench.world)
    assert is_whole(bench)
    (bench.folder / "store/catalog.db").unlink()
    bench.open()
    assert everything(bench) == before


@pytest.mark.parametrize("seed", range(8))
def test_catalog_and_register_damaged_together(bench: Bench, seed: int) -> None:
    """What one has lost the other knows; what neither knows keeps its samples under a name of
    ours, and every other series its own."""
    fill(bench)
    before = everything(bench)
    settle(bench)
    damage(bench.folder / "store/names.log", seed, places=2)
    damage(bench.folder / "store/catalog.db", seed + 100, places=2)
    bench.open()
    lost = int(bench.store.stats()["lost_names"])
    after = everything(bench)
    kept = sum(len(samples) for name in before.values() for samples in name.values())
    now = sum(len(samples) for name in after.values() for samples in name.values())
    assert kept - now <= lost * 4 * SECONDS
    for name, hosts in after.items():
        for host, samples in hosts.items():
            assert set(samples) <= set(before[name][host])
    if not lost:
        assert after == before


def test_a_catalog_that_nobody_remembers(bench: Bench) -> None:
    """A store of before there was a register, whose catalog is nothing but rubbish."""
    fill(bench)
    bench.store.flush()
    settle(bench)
    (bench.folder / "store/names.log").unlink()
    (bench.folder / "store/catalog.db").write_bytes(b"\xff" * 50_000)
    bench.open()
    assert bench.store.stats()["lost_names"] == 2 * HOSTS + 300
    assert everything(bench) == {"cpu": {}, "mem": {}, "pod_up": {}}
    bench.store.put_schema(1, schema_of("cpu", "mem"))
    bench.frame(1, 0, int(bench.clock.time_s * 1000), [5.0, 6.0])
    assert [v for _, v in bench.read("cpu")["db-1"]] == [5.0]  # nothing of anybody else's


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_day_costs_what_cannot_be_read(bench: Bench, seed: int) -> None:
    fill(bench)
    before = everything(bench)
    settle(bench)
    (day,) = (bench.folder / "store/days").glob("*.db")
    damage(day, seed)
    path = str(bench.folder / "store")
    told = [p for p in check(path, bench.world) if p.file.startswith("days/")]
    if seed % 2:  # with and without a start before
        bench.open()
        settle(bench)
    repair(path, bench.world)
    assert is_whole(bench)
    bench.open()
    after = everything(bench)
    lost = [name for name in before if after[name] != before[name]]
    assert bool(told) or not lost
    for name in before:
        for host, samples in after[name].items():
            assert set(samples) <= set(before[name][host])
    # four parts of an hour, each in a few tiles: one place never costs most of them
    count = sum(len(s) for hosts in after.values() for s in hosts.values())
    assert count > 0.6 * sum(len(s) for hosts in before.values() for s in hosts.values())


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_wal_costs_the_records_that_it_lies_in(bench: Bench, seed: int) -> None:
    bench.store.put_schema(1, schema_of("cpu", "mem"))
    for second in range(60):
        bench.frame(1, second, T0_MS + second * 1000, [float(second), 1.0])
        bench.commit()
    before = bench.read("cpu")["db-1"]
    settle(bench)
    (segment,) = (bench.folder / "store/wal").iterdir()
    damage(segment, seed)
    path = str(bench.folder / "store")
    assert {p.kind for p in check(path, bench.world)} <= {"wal", "torn"}
    assert not is_whole(bench)
    if seed % 2:
        repair(path, bench.world)
        assert is_whole(bench)
    bench.open()
    after = bench.read("cpu")["db-1"]
    assert len(before) - len(after) in (1, 2)
    assert set(after) <= set(before)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_checkpoint_that_was_lost_does_not_cost_tiles(bench: Bench, stopped: bool) -> None:
    """SQLite drops what follows a damaged frame of its journal: the catalog goes back in time."""
    bench.store.put_schema(1, schema_of("cpu"))
    bench.frame(1, 0, T0_MS, [1.0])
    bench.store.flush()
    old = (bench.folder / "store/catalog.db").read_bytes()
    journal = (bench.folder / "store/catalog.db-wal").read_bytes()
    bench.store.put_schema(2, schema_of("mem"))
    bench.frame(2, 1, T0_MS + 1000, [2.0])
    bench.store.flush()
    bench.frame(2, 2, T0_MS + 2000, [3.0])
    bench.commit()
    before = bench.read("mem")
    if stopped:
        bench.store.flush()  # as at an end in order: the WAL is empty
    bench.store.abandon()
    (bench.folder / "store/catalog.db").write_bytes(old)
    (bench.folder / "store/catalog.db-wal").write_bytes(journal)
    bench.open()
    assert bench.read("mem") == before
    assert len(before["db-1"]) == 2
    bench.frame(2, 3, T0_MS + 3000, [4.0])
    bench.store.flush()
    bench.restart()
    assert len(bench.read("mem")["db-1"]) == 3


def test_a_reader_goes_on_with_a_catalog_that_was_made_anew(bench: Bench) -> None:
    fill(bench)
    reader = StoreReader.open(str(bench.folder / "store"))
    assert len(read(reader, "cpu")) == HOSTS
    settle(bench)
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # the reader kept the journal
    db.close()
    damage(bench.folder / "store/catalog.db", 1, places=40)
    bench.open()
    assert bench.store.counts["catalog_rebuilt"] == 1
    bench.store.put_schema(3, schema_of("fresh"))
    bench.frame(3, 0, T0_MS, [1.0], origin="b/1")
    bench.commit()
    assert len(read(reader, "fresh")) == 1
    assert len(read(reader, "cpu")) == HOSTS
    reader.close()


def test_a_store_of_another_version_is_left_alone(bench: Bench) -> None:
    settle(bench)
    (bench.folder / "store/names.log").unlink()  # another format has another register
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        db.execute("UPDATE meta SET value = 1 WHERE key = 'format'")
    db.close()
    with pytest.raises(WrongFormat, match="is of format 1"):
        bench.open()
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        db.execute("UPDATE meta SET value = 2 WHERE key = 'format'")
    db.close()
    bench.open()


def test_the_register_begins_where_there_was_none(bench: Bench) -> None:
    fill(bench)
    before = everything(bench)
    bench.store.delete([], T0_MS, T0_MS)
    settle(bench)
    (bench.folder / "store/names.log").unlink()
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        db.execute("DELETE FROM meta WHERE key = 'names_bytes' OR key LIKE 'sum%'")
    db.close()
    bench.open()
    settle(bench)
    assert is_whole(bench)
    noted = NamesLog(bench.world.disk, str(bench.folder / "store")).read()
    assert len(noted.tombstones) == 1
    (bench.folder / "store/catalog.db").unlink()
    bench.open()
    after = everything(bench)
    assert len(after["cpu"]["db-1"]) == len(before["cpu"]["db-1"]) - 1


def test_a_repaired_store_can_be_read_before_the_server_starts(bench: Bench) -> None:
    fill(bench)
    bench.store.flush()
    settle(bench)
    path = str(bench.folder / "store")
    (bench.folder / "store/catalog.db").write_bytes(b"not a database" * 1000)
    reader = StoreReader.open(path)
    with pytest.raises(StoreCorrupt, match="vezha store repair"):
        read(reader, "cpu")
    repair(path, bench.world)
    assert len(read(reader, "cpu")) == HOSTS
    reader.close()


def test_a_reader_that_knew_the_series_before_goes_on(bench: Bench) -> None:
    fill(bench)
    reader = StoreReader.open(str(bench.folder / "store"))
    assert len(read(reader, "cpu")) == HOSTS
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        db.execute("UPDATE host SET labels = x'ff' WHERE id = 0")
        db.execute("INSERT INTO host VALUES (?, x'ff')", (HOSTS + 1,))
    db.close()
    assert len(read(reader, "cpu")) == HOSTS
    reader.close()


@pytest.mark.parametrize("key", ["segment", "flush"])
def test_a_checkpoint_that_is_not_what_was_written(bench: Bench, key: str) -> None:
    """A flush number that is too low would have tiles taken for unfinished and deleted."""
    fill(bench)
    before = everything(bench)
    settle(bench)
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        db.execute("UPDATE meta SET value = value - 1 WHERE key = ?", (key,))
    db.close()
    assert [p.kind for p in check(str(bench.folder / "store"), bench.world)] == ["catalog"]
    bench.open()
    assert everything(bench) == before
    bench.restart()
    assert everything(bench) == before


def test_progress_that_is_not_what_was_written_is_forgotten(bench: Bench) -> None:
    """Ranges that say too much would have frames dropped that were never stored."""
    fill(bench)
    bench.store.flush()
    before = everything(bench)
    settle(bench)
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        much = msgspec.msgpack.encode([(0, 10**6)])
        db.execute("UPDATE progress SET ranges = ? WHERE origin = 1", (much,))
    db.close()
    bench.open()
    bench.frame(1, 500, T0_MS + 500_000, [7.0, 8.0], "a/1")
    assert (T0_MS + 500_000, 7.0) in bench.read("cpu")["db-1"]
    bench.frame(1, 0, T0_MS, [0.0, 1.0], "a/1", (("instance", "db-1"), ("job", "node")))
    after = bench.read("cpu")
    after["db-1"].remove((T0_MS + 500_000, 7.0))
    assert after == before["cpu"]  # what comes twice is there once


def test_cells_of_types_that_were_never_written(bench: Bench) -> None:
    fill(bench)
    before = everything(bench)
    settle(bench)
    with sqlite3.connect(bench.folder / "store/catalog.db") as db:
        db.execute("UPDATE label_column SET labels = 1.5 WHERE id = 1")
        db.execute("UPDATE layout SET host = 'text' WHERE id = 0")
        db.execute("UPDATE origin SET key = x'00ff' WHERE id = 0")
    db.close()
    assert list(check(str(bench.folder / "store"), bench.world))
    bench.open()
    assert everything(bench) == before
