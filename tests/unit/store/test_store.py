"""What the store promises its writer."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest
from tests.unit.store.conftest import HOST, T0_MS, Bench, read, schema_of

from vezha.model.labels import metric
from vezha.query import Engine
from vezha.query.explain import explain_text, explain_tree
from vezha.store import Store, StoreInUse, StoreReader, StoreSettings, TooManySeries, UnknownSchema
from vezha.store.check import stat
from vezha.store.head import claim_folder
from vezha.testing.disk import MemoryDisk


def _two_series(bench: Bench) -> None:
    bench.store.put_schema(1, schema_of("cpu", "mem"))


def test_a_frame_is_readable_at_once_here_and_in_another_process(bench: Bench) -> None:
    _two_series(bench)
    bench.frame(1, 0, T0_MS, [1.0, 2.0])
    assert bench.read("cpu") == {"db-1": [(T0_MS, 1.0)]}
    bench.commit()  # new series become known to others with the commit
    reader = StoreReader.open(str(bench.folder / "store"))
    bench.frame(1, 1, T0_MS + 1000, [3.0, 4.0])
    assert read(reader, "mem") == {"db-1": [(T0_MS, 2.0), (T0_MS + 1000, 4.0)]}
    reader.close()


def test_what_was_committed_is_there_after_a_restart_and_nothing_twice(bench: Bench) -> None:
    _two_series(bench)
    for i in range(5):
        bench.frame(1, i, T0_MS + i * 1000, [float(i), -float(i)])
    bench.store.write(
        bench.store.resolve([metric("up", instance="db-1")]), np.array([T0_MS]), np.array([1.0])
    )
    bench.commit()
    bench.frame(1, 5, T0_MS + 5000, [5.0, -5.0])  # not committed
    store = bench.restart()
    origin = store.origin("a/1")
    assert store.progress(origin) == [(0, 4)]
    assert store.known_schema(1)
    bench.frame(1, 4, T0_MS + 4000, [4.0, -4.0])  # a replay
    bench.frame(1, 5, T0_MS + 5000, [5.0, -5.0])
    assert store.counts["duplicate_frames"] == 1
    assert store.progress(origin) == [(0, 5)]
    expected = {"db-1": [(T0_MS + i * 1000, float(i)) for i in range(6)]}
    assert bench.read("cpu") == expected
    assert bench.read("up") == {"db-1": [(T0_MS, 1.0)]}
    store.flush()
    assert bench.read("cpu") == expected
    bench.restart()
    assert bench.read("cpu") == expected
    assert bench.store.progress(origin) == [(0, 5)]


def test_references_and_layouts_are_stable(bench: Bench) -> None:
    _two_series(bench)
    up = [metric("up", instance=f"h{i}") for i in range(3)]
    refs = bench.store.resolve([up[2], up[0], up[2], up[1]])
    assert refs[0] == refs[2]
    assert len(set(refs.tolist())) == 3
    layout = bench.store.layout(1, HOST)
    bench.commit()
    assert bench.store.layout(1, HOST) is layout
    store = bench.restart()
    assert store.resolve([up[2], up[0], up[2], up[1]]).tolist() == refs.tolist()
    assert store.layout(1, HOST).id == layout.id
    assert store.layout(1, HOST).refs.tolist() == layout.refs.tolist()
    with pytest.raises(UnknownSchema):
        store.layout(77, HOST)


def test_windows_become_tiles_and_the_wal_shrinks(bench: Bench) -> None:
    _two_series(bench)
    for i in range(400):
        bench.clock.time_s = T0_MS / 1000 + i
        bench.frame(1, i, T0_MS + i * 1000, [float(i), 7.0])
        bench.commit()
    stats = bench.store.stats()
    assert stats["flushes"] == 3
    assert stats["wal_disk_bytes"] < stats["wal_bytes"] / 2
    assert bench.read("cpu") == {"db-1": [(T0_MS + i * 1000, float(i)) for i in range(400)]}
    assert bench.read("mem", T0_MS + 100_000, T0_MS + 103_000) == {
        "db-1": [(T0_MS + i * 1000, 7.0) for i in (101, 102, 103)]
    }


def test_late_frames_of_any_age_are_merged_and_the_first_value_wins(bench: Bench) -> None:
    _two_series(bench)
    hour = 3_600_000
    for i in range(0, 100, 2):
        bench.frame(1, i, T0_MS - 5 * hour + i * 1000, [float(i), 0.0])
    bench.store.flush()
    for i in range(100):  # the backlog, overlapping
        bench.frame(1, 100 + i, T0_MS - 5 * hour + i * 1000, [float(i if i % 2 else -1), 0.0])
    expected = {"db-1": [(T0_MS - 5 * hour + i * 1000, float(i)) for i in range(100)]}
    assert bench.read("cpu") == expected
    bench.store.flush()
    assert bench.read("cpu") == expected


def test_times_out_of_bounds_are_refused_but_acknowledged(bench: Bench) -> None:
    _two_series(bench)
    day = 86_400_000
    bench.frame(1, 0, T0_MS + 601_000, [1.0, 1.0])
    bench.frame(1, 1, T0_MS - 31 * day, [1.0, 1.0])
    bench.frame(1, 2, T0_MS + 599_000, [1.0, 1.0])
    refs = bench.store.resolve([metric("up")] * 3)
    times = np.array([T0_MS + 601_000, T0_MS, T0_MS - 31 * day])
    bench.store.write(refs, times, np.ones(3))
    assert bench.store.counts["future_samples"] == 3
    assert bench.store.counts["old_samples"] == 3
    assert bench.read("cpu") == {"db-1": [(T0_MS + 599_000, 1.0)]}
    assert bench.read("up") == {"": [(T0_MS, 1.0)]}
    bench.commit()
    store = bench.restart()
    assert store.progress(store.origin("a/1")) == [(0, 2)]
    assert bench.read("cpu") == {"db-1": [(T0_MS + 599_000, 1.0)]}


def test_expired_days_are_deleted(bench: Bench) -> None:
    _two_series(bench)
    bench.frame(1, 0, T0_MS - 29 * 86_400_000, [1.0, 1.0])
    bench.frame(1, 1, T0_MS, [1.0, 1.0])
    bench.store.flush()
    assert len(list((bench.folder / "store/days").glob("*.db"))) == 2
    bench.clock.time_s += 3 * 86_400
    bench.frame(1, 2, T0_MS + 3 * 86_400_000, [1.0, 1.0])
    bench.commit()
    bench.store.flush()
    assert bench.store.stats()["expired_days"] == 1
    assert bench.read("cpu") == {"db-1": [(T0_MS, 1.0), (T0_MS + 3 * 86_400_000, 1.0)]}


def test_a_source_with_too_many_series_is_refused_by_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.abandon()
    bench.settings = StoreSettings(
        background=False, head_folder=str(tmp_path / "m"), series_per_source_max=3
    )
    store = bench.open()
    store.put_schema(1, schema_of("a", "b", "c", "d"))
    with pytest.raises(TooManySeries, match=r"db-1 .* 3 series; raise `series_per_source_max`"):
        store.layout(1, HOST)
    refs = store.resolve([metric(f"m{i}", instance="x") for i in range(5)])
    assert refs.tolist()[3:] == [-1, -1]
    assert (refs[:3] >= 0).all()
    store.write(refs, np.full(5, T0_MS), np.ones(5))
    assert sum(len(bench.read(f"m{i}")) for i in range(5)) == 3
    assert store.counts["refused_series"] == 6
    assert store.top_sources(1) == [("x", 3)]
    store.abandon()


def test_one_writer_only(bench: Bench) -> None:
    with pytest.raises(StoreInUse):
        Store.open(str(bench.folder / "store"), bench.world, bench.settings)


def test_a_disk_that_fails_loses_nothing_that_was_sealed(tmp_path: Path) -> None:
    disk = MemoryDisk(seed=1)
    bench = Bench(tmp_path, disk)
    _two_series(bench)
    bench.frame(1, 0, T0_MS, [0.0, 0.0])
    bench.commit()
    for fault in ("write", "sync"):
        disk.fail(fault, error=errno.ENOSPC)
        bench.frame(1, len(bench.read("cpu")["db-1"]), T0_MS + 1000, [1.0, 1.0], f"{fault}/1")
        with pytest.raises(OSError) as caught:
            bench.commit()
        assert caught.value.errno == errno.ENOSPC
    bench.frame(1, 1, T0_MS + 2000, [2.0, 2.0])
    bench.commit()
    disk.crash()
    store = bench.restart()
    assert bench.read("cpu") == {"db-1": [(T0_MS + i * 1000, float(i)) for i in range(3)]}
    assert store.progress(store.origin("a/1")) == [(0, 1)]
    assert store.progress(store.origin("write/1")) == [(1, 1)]
    store.abandon()


def test_the_background_thread_writes_tiles_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.abandon()
    bench.settings = StoreSettings(head_folder=str(tmp_path / "m"))
    store = bench.open()
    _two_series(bench)
    for i in range(130):
        bench.clock.time_s = T0_MS / 1000 + i
        bench.frame(1, i, T0_MS + i * 1000, [float(i), 7.0])
        bench.commit()
    deadline = time.monotonic() + 20
    while store.stats()["flushes"] < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.stats()["flushes"] >= 1
    assert len(bench.read("cpu")["db-1"]) == 130
    store.close()
    assert not (tmp_path / "m").exists()
    bench.open()
    assert len(bench.read("cpu")["db-1"]) == 130
    bench.store.abandon()


def test_a_reader_outlives_the_writer_and_finds_the_next(bench: Bench) -> None:
    _two_series(bench)
    bench.frame(1, 0, T0_MS, [1.0, 2.0])
    bench.commit()
    reader = StoreReader.open(str(bench.folder / "store"))
    assert read(reader, "cpu") == {"db-1": [(T0_MS, 1.0)]}
    bench.restart()
    assert read(reader, "cpu") == {"db-1": [(T0_MS, 1.0)]}
    bench.frame(1, 1, T0_MS + 1000, [3.0, 4.0])
    bench.frame(1, 0, T0_MS, [3.0, 4.0], "new/1", (("instance", "db-2"), ("job", "node")))
    bench.commit()
    expected = {"db-1": [(T0_MS, 1.0), (T0_MS + 1000, 3.0)], "db-2": [(T0_MS, 3.0)]}
    assert read(reader, "cpu") == expected
    bench.store.close()
    assert read(reader, "cpu") == expected
    bench.open()
    assert read(reader, "cpu") == expected
    reader.close()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs Linux")
def test_a_memory_file_system_that_is_full_is_done_without(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _two_series(bench)
    real = os.posix_fallocate
    everywhere = False

    def full(fd: int, offset: int, size: int) -> None:
        if everywhere or "/memory/" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full)
    bench.frame(1, 0, T0_MS, [1.0, 2.0])
    bench.commit()
    reader = StoreReader.open(str(bench.folder / "store"))
    assert read(reader, "cpu") == read(bench.store, "cpu") == {"db-1": [(T0_MS, 1.0)]}
    assert list((bench.folder / "store/head").glob("*.slab"))
    reader.close()
    bench.store.flush()
    everywhere = True
    with pytest.raises(OSError, match="no memory for the head"):
        bench.frame(1, 1, T0_MS + 1000, [3.0, 4.0])
    assert bench.store.progress(bench.store.origin("a/1")) == [(0, 0)]
    everywhere = False
    bench.frame(1, 1, T0_MS + 1000, [3.0, 4.0])
    assert bench.store.progress(bench.store.origin("a/1")) == [(0, 1)]
    assert bench.read("cpu") == {"db-1": [(T0_MS, 1.0), (T0_MS + 1000, 3.0)]}


def test_slabs_of_a_store_that_is_gone_are_swept(bench: Bench) -> None:
    shared = bench.folder / "shm"
    gone, there = (shared / f"vezha-{os.getuid()}-{n}" for n in ("gone", "there"))
    for folder, owner in ((gone, bench.folder / "deleted"), (there, bench.folder / "store")):
        folder.mkdir(parents=True)
        (folder / "owner").write_text(str(owner))
        (folder / "1.slab").write_bytes(b"x")
    claim_folder(str(shared / "own"), str(bench.folder / "store"))
    assert not gone.exists()
    assert (there / "1.slab").exists()
    assert (shared / "own").exists()


def test_explaining_tells_tiles_and_bytes_that_came_from_the_files(bench: Bench) -> None:
    bench.store.put_schema(1, schema_of("cpu"))
    for i in range(60):
        bench.frame(1, i, T0_MS - 60_000 + i * 1000, [float(i) ** 1.5])
    bench.store.flush()
    tile_bytes = sum(day.tile_bytes for day in stat(bench.store.path))
    reader = StoreReader.open(bench.store.path)
    for read_bytes in (tile_bytes, 0):  # the second time it is in memory
        result = Engine(reader).range(
            "sum_over_time(cpu[1m])", T0_MS - 30_000, T0_MS, 1_000, explain=True
        )
        (node,) = explain_tree(result)
        assert (node["tiles"], node["bytes_read"]) == (1, read_bytes)
        assert f"[1 tiles, {read_bytes} bytes]" in explain_text(result)
    reader.close()
