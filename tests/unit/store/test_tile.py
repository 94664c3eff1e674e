"""The codec of tiles gives back every bit, refuses what is damaged, and packs what it should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.model.columns import STALE_NAN
from vezha.store import tile
from vezha.store.errors import StoreCorrupt
from vezha.store.limits import MARK_COLUMNS
from vezha.store.tilecolumn import read_columns

_odd = st.sampled_from(
    [
        *(0.0, -0.0, float("inf"), float("-inf"), float("nan"), STALE_NAN, 5e-324, -5e-324),
        *(2.0**53, 2.0**53 - 1, 2.0**63, -(2.0**63), 1.7e308, 0.1, 0.37, 12.345678, 1e-7),
    ]
)
_bits = st.integers(0, 2**64 - 1).map(lambda b: float(np.uint64(b).view(np.float64)))
_number = st.one_of(
    _odd, _bits, st.integers(-1000, 1000).map(float), st.integers(0, 999).map(lambda n: n / 100)
)


@st.composite
def _tiles(draw: st.DrawFn) -> tuple[list[int], list[int], list[list[int]], list[list[float]]]:
    times: list[list[int]] = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            count = draw(st.integers(1, 20))
            step = draw(st.integers(1, 100_000))
            start = draw(st.integers(0, 2**42))
            times.append([start + i * step for i in range(count)])
        else:
            times.append(sorted(draw(st.sets(st.integers(0, 3_600_000), min_size=1, max_size=20))))
    groups: list[int] = []
    rows: list[list[float]] = []
    columns = max(len(t) for t in times)
    for g, t in enumerate(times):
        for _ in range(draw(st.integers(1, 4))):
            groups.append(g)
            element = draw(st.sampled_from([_number, _odd, st.just(4.5)]))
            row = draw(st.lists(element, min_size=len(t), max_size=len(t)))
            rows.append(row + [row[-1]] * (columns - len(t)))
    refs = draw(st.lists(st.integers(0, 2**40), min_size=len(rows), max_size=len(rows)))
    return refs, groups, times, rows


@settings(deadline=None, max_examples=300)
@given(_tiles(), st.randoms())
def test_it_gives_back_every_bit(
    made: tuple[list[int], list[int], list[list[int]], list[list[float]]], random: object
) -> None:
    refs, groups, times, rows = made
    values = np.array(rows, np.float64)
    opened = tile.decode(
        tile.encode(
            np.array(refs, np.int64),
            np.array(groups, np.int64),
            tile.TimeTable.of([np.array(t, np.int64) for t in times]),
            values,
        )
    )
    assert opened.refs.tolist() == refs
    assert opened.groups.tolist() == groups
    assert [t.tolist() for t in opened.times] == times
    everything = opened.values(np.arange(len(refs)))
    assert (everything.view(np.uint64) == values.view(np.uint64)).all()
    some = np.arange(len(refs) - 1, -1, -2)
    for _ in range(2):  # a tile that is used again answers from what it kept
        assert (opened.values(some).view(np.uint64) == values[some].view(np.uint64)).all()
        part = opened.values(some, 1)
        assert (part.view(np.uint64) == values[some, :1].view(np.uint64)).all()
        places = np.full((len(some), 2), values.shape[1] - 1)
        picked = opened.picked(some, places)
        assert (picked.view(np.uint64) == values[some][:, [-1, -1]].view(np.uint64)).all()
        same = opened.picked(some, places[0])
        assert (same.view(np.uint64) == picked.view(np.uint64)).all()
    assert opened.times[0].tolist() == times[0]


@settings(deadline=None, max_examples=200)
@given(_tiles(), st.data())
def test_the_end_of_a_tile_is_read_without_its_beginning(
    made: tuple[list[int], list[int], list[list[int]], list[list[float]]], data: st.DataObject
) -> None:
    refs, groups, times, rows = made
    table = tile.TimeTable.of([np.array(t, np.int64) for t in times])
    values = np.array(rows, np.float64)
    blob = tile.encode(np.array(refs, np.int64), np.array(groups, np.int64), table, values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tile, "MARK_COLUMNS", data.draw(st.integers(1, 8)))
        patch.setattr(tile, "MARKED_CELLS_MAX", data.draw(st.sampled_from([1, 30, 1_000])))
        patch.setattr(tile, "KEPT_CELLS_MAX", 0)
        opened = tile.decode(blob)
        _, some, _ = opened.rows_of(np.array(refs, np.int64), lambda refs: np.arange(len(refs)))
        for _ in range(3):
            since = data.draw(st.integers(0, values.shape[1] - 1))
            until = data.draw(st.integers(since + 1, values.shape[1]))
            part = opened.values(some, until, since)
            assert (part.view(np.uint64) == values[some, since:until].view(np.uint64)).all()
            picked = opened.picked(some, np.arange(since, until, 2))
            assert (picked.view(np.uint64) == values[some, since:until:2].view(np.uint64)).all()


@settings(deadline=None, max_examples=200)
@given(st.lists(_tiles(), min_size=1, max_size=4), st.data())
def test_one_column_of_many_tiles_is_what_each_gives(
    made: list[tuple[list[int], list[int], list[list[int]], list[list[float]]]],
    data: st.DataObject,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tile, "MARK_COLUMNS", data.draw(st.integers(1, 8)))
        patch.setattr(tile, "KEPT_CELLS_MAX", data.draw(st.sampled_from([0, 30])))
        wanted, expected = [], []
        for refs, groups, times, rows in made:
            table = tile.TimeTable.of([np.array(t, np.int64) for t in times])
            values = np.array(rows, np.float64)
            blob = tile.encode(np.array(refs, np.int64), np.array(groups, np.int64), table, values)
            opened = tile.decode(blob)
            best, _, _ = opened.rows_of(np.array(refs, np.int64), lambda refs: np.arange(len(refs)))
            keep = st.lists(st.booleans(), min_size=len(best), max_size=len(best)).filter(any)
            some = best[np.array(data.draw(keep))]
            column = data.draw(st.integers(0, values.shape[1] - 1))
            wanted.append((opened, some, column))
            expected.append(values[some, column])
        for _ in range(2):
            for found, mine in zip(read_columns(wanted), expected, strict=True):
                assert found.view(np.uint64).tolist() == mine.view(np.uint64).tolist()


def test_rows_of_equal_width_are_added_up_together() -> None:
    random = np.random.default_rng(5)
    values = np.round(random.random((6, 700)) * 100, 2)
    opened = tile.decode(_encode(values))
    way = opened.way_to(np.arange(6), 699)
    assert way is not None
    assert [part.shape for part in way.part] == [(6, 699 % MARK_COLUMNS)] * 2
    (column,) = read_columns([(opened, np.arange(6), 699)])
    assert column.tolist() == values[:, 699].tolist()


@settings(deadline=None, max_examples=100)
@given(_tiles(), st.lists(st.integers(-10, 2**42), min_size=1, max_size=5))
def test_times_until_edges(
    made: tuple[list[int], list[int], list[list[int]], list[list[float]]], edges: list[int]
) -> None:
    refs, groups, times, rows = made
    table = tile.TimeTable.of([np.array(t, np.int64) for t in times])
    opened = tile.decode(
        tile.encode(np.array(refs, np.int64), np.array(groups, np.int64), table, np.array(rows))
    )
    edges = [*edges, times[0][0], times[0][-1], times[-1][0] - 1]
    counted = [[sum(t <= edge for t in group) for edge in edges] for group in times]
    assert opened.clock.until(np.array(edges, np.int64)).tolist() == counted
    everything = tile.decode(
        tile.encode(np.array(refs, np.int64), np.array(groups, np.int64), table, np.array(rows))
    )
    some = np.arange(len(refs))
    picked = everything.picked(some, np.zeros((len(some), 1), np.int64))  # not kept yet
    assert (picked.view(np.uint64) == np.array(rows)[:, :1].view(np.uint64)).all()


def _encode(values: np.ndarray) -> bytes:
    rows, columns = values.shape
    times = [1_700_000_000_000 + 1000 * np.arange(columns, dtype=np.int64)]
    table = tile.TimeTable.of(times)
    return tile.encode(np.arange(rows), np.zeros(rows, np.int64), table, values)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damage_is_corrupt_or_unseen_but_nothing_worse(data: st.DataObject) -> None:
    random = np.random.default_rng(1)
    blob = bytearray(_encode(random.normal(size=(8, 20)).round(2)))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(blob)))
    try:
        opened = tile.decode(bytes(blob[:cut]))
    except StoreCorrupt:
        return
    opened.values(np.arange(len(opened.refs)))


def test_constants_cost_almost_nothing_and_integers_little() -> None:
    random = np.random.default_rng(2)
    constant = np.tile(random.normal(size=(128, 1)), (1, 120))
    counter = np.cumsum(random.integers(0, 200, (128, 120)), axis=1).astype(np.float64)
    assert len(_encode(constant)) / constant.size < 0.15
    assert len(_encode(counter)) / counter.size < 1.1
    pages = random.integers(0, 200, (128, 120)) * 4096.0
    assert len(_encode(pages)) / pages.size < 1.3


def test_a_stale_marker_does_not_spoil_its_row() -> None:
    row = np.cumsum(np.random.default_rng(3).integers(0, 9, (64, 120)), axis=1).astype(np.float64)
    marked = row.copy()
    marked[:, -1] = STALE_NAN
    assert len(_encode(marked)) < 1.5 * len(_encode(row))


def test_one_column_and_one_row() -> None:
    opened = tile.decode(_encode(np.array([[4.25]])))
    assert opened.values(np.array([0])).tolist() == [[4.25]]


def test_not_a_tile() -> None:
    with pytest.raises(StoreCorrupt, match="cut"):
        tile.decode(b"")
    with pytest.raises(StoreCorrupt, match="not a tile"):
        tile.decode(b"x" * 100)
