"""Packed slabs: bit for bit what was written, whoever looks and whenever."""

from __future__ import annotations

import errno
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.store.conftest import T0_MS, Bench, read, schema_of
from tests.unit.store.small_stretches import small_stretches

from vezha.model.columns import Selection
from vezha.model.labels import metric
from vezha.store import StoreReader
from vezha.store import head as head_room
from vezha.store import packed as packed_room
from vezha.store.head import Head, HeadSet, Layout
from vezha.store.packed import PackedSlab
from vezha.store.packing import pack_slabs
from vezha.store.slab import Slab, roster_layout

ODD = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 5e-324, 1.7e308, 2.0**53, 2.0**53 + 2,
       -(2.0**53), 0.1, 1e15 + 0.5, 123456.789, -7.25, 2.0**31, -(2.0**31) - 1, 3e9, 1 / 3]  # fmt: skip
STALE = np.array([0x7FF0000000000002], np.int64).view(np.float64)[0]
numbers = st.one_of(
    st.sampled_from([*ODD, STALE]),
    st.integers(-(2**40), 2**40).map(float),
    st.integers(-300, 300).map(lambda i: i / 100),
    st.floats(width=64),
)


def _bits(values: np.ndarray) -> list[int]:
    return np.ascontiguousarray(values).view(np.int64).reshape(-1).tolist()


def _packed(slabs: list[Slab], folder: Path) -> tuple[PackedSlab, int]:
    parts, duplicates = pack_slabs(slabs, 1)
    return PackedSlab.create(f"{folder}/packed.slab", parts), duplicates


@given(
    st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=40),
    st.data(),
)
@settings(deadline=None, max_examples=150)
def test_every_value_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("slabs")
    slab = Slab.create(f"{folder}/a.slab", 7, 1 << 16)
    slab.begin(1, 7, f"{folder}/a.slab")
    every = np.array(rows)
    blocks = [slab.add_block(layout, len(rows), 3) for layout in (0, 4)]
    for block in blocks:
        assert block is not None
        for i, row in enumerate(every):
            block.append(T0_MS + 1000 * i, row)
    packed, duplicates = _packed([slab], folder)
    assert duplicates == 0
    assert packed.generation == 7
    assert packed.replaces == {1}
    entries = packed.directory()
    assert sorted(entries[:, 0].tolist()) == [0, 4]
    for _, ts, values in packed.pieces(entries):
        assert ts.tolist() == [T0_MS + 1000 * i for i in range(len(rows))]
        assert _bits(values) == _bits(every.T)
    first = data.draw(st.integers(0, len(rows) - 1))
    count = data.draw(st.integers(1, len(rows) - first))
    columns = np.array([2, 0])
    part = packed.table(
        entries, columns, np.array([1, 0]), np.array([first, first]), np.array([count, count])
    )
    assert _bits(part) == _bits(every.T[columns, first : first + count])


def test_late_rows_are_sorted_in_and_the_first_of_equal_times_stays(tmp_path: Path) -> None:
    slab = Slab.create(f"{tmp_path}/a.slab", 1, 1 << 16)
    slab.begin(3, 1, f"{tmp_path}/a.slab")
    block = slab.add_block(0, 8, 1)
    assert block is not None
    for second, value in ((1, 1.0), (5, 2.0), (3, 3.0), (5, 4.0), (1, 5.0)):
        block.append(second * 1000, np.array([value]))
    packed, duplicates = _packed([slab], tmp_path)
    ((_, ts, values),) = packed.pieces(packed.directory())
    assert (ts.tolist(), values.tolist(), duplicates) == ([1000, 3000, 5000], [[1.0, 3.0, 2.0]], 2)
    assert packed.rows_until(packed.directory(), 2999).tolist() == [1]
    assert packed.rows_until(packed.directory(), 999).tolist() == [0]
    assert packed.rows_until(packed.directory(), 5000).tolist() == [3]


def test_a_wide_roster_is_packed_in_pieces_and_names_its_series(tmp_path: Path) -> None:
    width, rows = 20_000, 8
    refs = np.concatenate([np.arange(500, 700), [3], np.arange(10_000, 10_000 + width - 201)])
    layout = roster_layout(2)
    slab = Slab.create(f"{tmp_path}/a.slab", 1, 1 << 22)
    slab.begin(1, 1, f"{tmp_path}/a.slab")
    block = slab.add_block(layout, rows, width, refs)
    assert block is not None
    random = np.random.default_rng(3)
    every = np.round(random.normal(0, 10 ** (np.arange(width) % 12), (rows, width)), 1)
    every[:, ::5] = every[0, ::5]
    for i in range(rows):
        block.append(T0_MS + i, np.ascontiguousarray(every[i]))
    packed, _ = _packed([slab], tmp_path)
    (entry,) = packed.directory()
    assert packed.roster(entry).tolist() == refs.tolist()
    assert _bits(packed.columns(entry, slice(0, None))) == _bits(every.T)
    some = np.array([19_999, 0, 7_777, 12])
    assert _bits(packed.columns(entry, some)) == _bits(every.T[some])
    assert len(packed.memory) < every.nbytes * 0.75


@pytest.fixture
def small() -> Iterator[None]:
    with small_stretches():
        yield


def _write(bench: Bench, first: int, last: int) -> None:
    if first == 0:
        bench.store.put_schema(1, schema_of("a", "b"))
    for i in range(first, last):
        bench.frame(1, i, T0_MS + i * 1000, [float(i), i / 4])
    bench.commit()


def test_what_is_packed_is_freed(bench: Bench, small: None) -> None:
    _write(bench, 0, 30)
    slabs = [slab for slab in bench.store._head.slabs if isinstance(slab, Slab)]
    plain = [weakref.ref(slab) for slab in slabs]
    paths = [Path(slab.path) for slab in slabs]
    del slabs
    _write(bench, 30, 60)
    gc.collect()
    assert all(slab() is None for slab in plain)
    assert not any(path.exists() for path in paths)
    assert any(isinstance(slab, PackedSlab) for slab in bench.store._head.slabs)
    expected = [(T0_MS + i * 1000, float(i)) for i in range(60)]
    assert bench.read("a") == {"db-1": expected}
    bench.store.flush()
    assert not list(Path(bench.store.head_folder).glob("*.slab*"))
    assert bench.read("a") == {"db-1": expected}


def test_a_reader_that_looked_just_before_packing_looks_again(
    bench: Bench, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Head, "pack", lambda self: 0)
    _write(bench, 0, 40)
    head = bench.store._head
    assert head.needs_packing()
    monkeypatch.undo()
    with small_stretches():
        packed: list[int] = []

        def attach(path: str) -> object:
            if not packed:  # the listing was made before, what it names goes now
                packed.append(head.pack())
            return packed_room.attach(path)

        monkeypatch.setattr(head_room, "attach", attach)
        reader = StoreReader.open(str(bench.folder / "store"))
        assert read(reader, "a") == {"db-1": [(T0_MS + i * 1000, float(i)) for i in range(40)]}
        assert packed == [0]
        reader.close()


def test_slabs_and_what_stands_for_them_are_not_both_seen(
    bench: Bench, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Slab, "unlink", lambda self: None)
    _write(bench, 0, 40)
    seen = HeadSet((bench.store.head_folder, f"{bench.store.path}/head"))
    slabs = [slab for slab in seen.slabs() if slab.place]
    assert any(isinstance(slab, PackedSlab) for slab in slabs)
    rows = sum(int(slab.directory()[:, 4].sum()) for slab in slabs)
    assert rows == 40


def test_without_room_the_head_stays_as_it_is(
    bench: Bench, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, parts: list[bytes]) -> PackedSlab:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(PackedSlab, "create", staticmethod(full))
    _write(bench, 0, 40)
    expected = [(T0_MS + i * 1000, float(i)) for i in range(40)]
    assert bench.store.stats()["flush_failures"] > 0
    assert bench.read("a") == {"db-1": expected}
    bench.store.flush()
    assert bench.read("a") == {"db-1": expected}
    assert bench.store.stats()["frozen_heads"] == 0


def test_packed_rosters_frames_and_newest_samples(bench: Bench, small: None) -> None:
    targets = bench.store.resolve([metric(f"r{i}", instance="t") for i in range(20)])
    bench.store.put_schema(1, schema_of("a", "b"))
    for i in range(50):
        bench.frame(1, i, T0_MS + i * 1000, [float(i), i / 4])
        if i < 30:  # then it falls silent
            bench.store.write(targets, np.full(20, T0_MS + i * 1000), np.arange(20.0) + i / 8)
    bench.commit()
    assert any(isinstance(slab, PackedSlab) for slab in bench.store._head.slabs)
    for end in (T0_MS + 49_000, T0_MS + 20_500, T0_MS + 100_000):
        data = bench.store.select(Selection((), end - 25_000, end, newest_only=True))
        full = bench.store.select(Selection((), end - 25_000, end))
        lasts = full.offsets[1:] - 1
        assert data.labels == full.labels
        assert data.ts.tolist() == full.ts[lasts].tolist()
        assert data.values.tolist() == full.values[lasts].tolist()


def test_a_host_that_falls_silent_keeps_no_memory(tmp_path: Path) -> None:
    with small_stretches():
        head = Head(str(tmp_path), str(tmp_path), 1)
        silent, loud = Layout(0, np.arange(4)), Layout(1, np.arange(4, 8))
        head.write_frame(silent, 1000, np.ones(4))
        first = weakref.ref(head.slabs[0])
        for i in range(40):
            head.write_frame(loud, 1000 * i, np.ones(4))
        assert head.pack() == 0
        gc.collect()
        assert first() is None
        assert silent.block is None
        head.write_frame(silent, 90_000, np.ones(4))
        assert silent.block is not None
        head.unlink()
