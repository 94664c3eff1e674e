"""Pieces of series that lie between one another come out in the order of time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vezha.store.gather import Gathering
from vezha.store.gather_tile import Wanted, gather_tile, gather_tiles
from vezha.store.tile import TimeTable, decode, encode

_PIECES = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True)),
    min_size=1,
    max_size=10,
)


@given(_PIECES)
def test_the_first_of_equal_times_stays(pieces: list[tuple[int, list[int]]]) -> None:
    gathering = Gathering(10**6)
    wanted: dict[int, dict[int, float]] = {}
    for number, (position, ts) in enumerate(pieces):
        stamps = np.array(sorted(ts), np.int64)
        values = (stamps + number / 100).astype(np.float64)
        gathering.add(position, stamps, values)
        for t, value in zip(stamps.tolist(), values.tolist(), strict=True):
            wanted.setdefault(position, {}).setdefault(t, value)
    present = gathering.present()
    data = gathering.result(present, [()] * len(present))
    assert present == sorted(wanted)
    for row, position in enumerate(present):
        part = slice(int(data.offsets[row]), int(data.offsets[row + 1]))
        found = list(zip(data.ts[part].tolist(), data.values[part].tolist(), strict=True))
        assert found == sorted(wanted[position].items())


_SHEETS = st.lists(
    st.tuples(
        st.permutations(range(3)),
        st.integers(1, 3),
        st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True),
    ),
    min_size=1,
    max_size=6,
)


@given(_SHEETS, st.booleans())
def test_sheets_come_out_like_runs(
    sheets: list[tuple[list[int], int, list[int]]], whole: bool
) -> None:
    """Sheets of all series, apart in time, take a short way; what comes out is the same."""
    together, alone = Gathering(10**6), Gathering(10**6)
    for number, (order, count, ts) in enumerate(sheets):
        positions = np.array(order if whole else order[:count], np.int64)
        stamps = np.array(sorted(ts), np.int64) + (number * 100 if whole else 0)
        values = (stamps[None, :] * 1_000 + positions[:, None] * 10 + number).astype(np.float64)
        together.add_rows(positions, stamps, values)
        for row, position in enumerate(positions.tolist()):
            alone.add(position, stamps, values[row])
    present = together.present()
    assert present == alone.present()
    order = present[::-1]
    one = together.result(order, [()] * len(order))
    other = alone.result(order, [()] * len(order))
    for name in ("ts", "values", "offsets"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


_TILES = st.lists(
    st.tuples(
        st.integers(0, 1), st.sampled_from([[4], [6], [4, 6]]), st.integers(0, 2), st.integers(1, 2)
    ),
    min_size=1,
    max_size=6,
)


@given(_TILES, st.integers(-1, 0), st.integers(1, 20))
def test_small_tiles_side_by_side_come_out_like_one_by_one(
    spans: list[tuple[int, list[int], int, int]], start: int, end: int
) -> None:
    """Of a cell's tiles that say something of the same time, the first one is right."""
    tiles = []
    for number, (cell, series, first, count) in enumerate(spans):
        refs = np.array(series, np.int64) + cell
        rows = len(series)
        values = np.arange(rows * count, dtype=np.float64).reshape(rows, count) + 100 * number
        times = TimeTable.of([first + np.arange(count, dtype=np.int64)])
        tiles.append((cell, decode(encode(refs, np.zeros(rows, np.int64), times, values))))
    wanted = Wanted(np.arange(3, 8, dtype=np.int64))
    together, alone = Gathering(10**6), Gathering(10**6)
    gather_tiles(wanted, tiles, start, end, together, None)
    for _, tile in tiles:
        gather_tile(wanted, tile, start, end, alone, None)
    present = together.present()
    assert present == alone.present()
    one, other = (g.result(present, [()] * len(present)) for g in (together, alone))
    for name in ("ts", "values", "offsets"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
