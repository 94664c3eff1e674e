"""From head to tiles: the samples of a generation, cut into tiles by hour, hosts and columns.

Pure: slabs in, tiles out. A tile's cell is most often a block of columns x a block of hosts (see
`index`), whatever schemas the hosts have; its hosts may have different times (each is a group of the
tile), as long as their numbers of samples are alike, since rows are padded to the longest.
Times may come in any order; of equal times of a series the first stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Times, Values
from vezha.store import slab as slab_words
from vezha.store.days import NewTile
from vezha.store.index import WIDE, SeriesIndex
from vezha.store.limits import (
    ALONE_SAMPLES_MAX,
    DAY_MS,
    HOSTS_PER_TILE,
    SPARSE_DAY_SAMPLES_MAX,
    SPARSE_SPAN_MS_MIN,
    TILE_SPAN_MS,
)
from vezha.store.packed import AnySlab
from vezha.store.policy import Assignment
from vezha.store.slab import LOOSE, Slab
from vezha.store.tile import TimeTable, encode

I64 = npt.NDArray[np.int64]
_PAD_RATIO, _PAD_FREE = 1.25, 8


@dataclass(slots=True)
class _Frames:
    """Frames of one layout within one hour: `values` is [series, time]."""

    ts: Times
    refs: Refs
    values: Values


@dataclass(slots=True)
class Cut:
    """Cutting a generation: how many samples its tiles have so far, and how many were there
    already."""

    tiles: int = 0
    samples: int = 0
    duplicates: int = 0


_Blocks = list[tuple[AnySlab, I64]]
_Piece = tuple[Times, Values]


def cut_tiles(
    slabs: Sequence[AnySlab],
    index: SeriesIndex,
    layout_refs: Sequence[Refs],
    oldest_ms: int,
    cut: Cut,
    assignment: Assignment | None = None,
) -> Iterator[NewTile]:
    """All samples of *slabs* not older than *oldest_ms*, as tiles, each of one policy.

    One neighbourhood of hosts after another, so that no more than that is unpacked at a time.
    """
    for tile in _tiles(slabs, index, layout_refs, oldest_ms, cut, assignment):
        cut.tiles += 1
        cut.samples += tile.samples
        yield tile


def _tiles(
    slabs: Sequence[AnySlab],
    index: SeriesIndex,
    layout_refs: Sequence[Refs],
    oldest_ms: int,
    cut: Cut,
    assignment: Assignment | None,
) -> Iterator[NewTile]:
    blocks: dict[int, _Blocks] = {}
    rosters: dict[int, _Blocks] = {}
    loose: list[tuple[Refs, Times, Values]] = []
    known = len(layout_refs)
    firsts = np.array([refs[0] for refs in layout_refs[:known]], np.int64)
    neighbourhoods = index.host_of[firsts] // HOSTS_PER_TILE
    for slab in slabs:
        directory = slab.directory()
        directory = directory[directory[:, slab_words.COUNT] > 0]
        layouts = directory[:, slab_words.LAYOUT]
        frames = directory[layouts > LOOSE]
        blocks_of_hosts = neighbourhoods[frames[:, slab_words.LAYOUT]]
        for block in np.unique(blocks_of_hosts).tolist():
            blocks.setdefault(block, []).append((slab, frames[blocks_of_hosts == block]))
        for entry in directory[layouts < LOOSE]:
            rosters.setdefault(int(entry[slab_words.LAYOUT]), []).append((slab, entry))
        if isinstance(slab, Slab):
            loose += [slab.loose(entry) for entry in directory[layouts == LOOSE]]
    for _, entries_here in sorted(blocks.items()):
        by_layout: dict[int, list[_Piece]] = {}
        for slab, entries in entries_here:
            for layout, ts, values in slab.pieces(entries):
                by_layout.setdefault(layout, []).append((ts, values))
        parts = [(layout_refs[n], *_in_order(pieces, cut)) for n, pieces in by_layout.items()]
        del by_layout
        yield from _tiles_of_place(index, parts, oldest_ms, assignment)
    joining = _begun_alone(rosters, loose)
    together: list[tuple[Refs, Times, Values]] = []
    places: dict[int, list[tuple[Refs, slice | I64, _Blocks]]] = {}
    for layout, entries_here in rosters.items():
        slab, entry = entries_here[0]
        refs = slab.roster(entry)
        if layout in joining:
            ts, values = _columns_in_order(entries_here, np.arange(len(refs)), cut)
            together.append((np.repeat(refs, len(ts)), np.tile(ts, len(refs)), values.ravel()))
            continue
        for host_block, columns in _host_blocks(index, refs):
            places.setdefault(host_block, []).append((refs[columns], columns, entries_here))
    for _, wanted in sorted(places.items()):
        parts = [(refs, *_columns_in_order(here, columns, cut)) for refs, columns, here in wanted]
        yield from _tiles_of_place(index, parts, oldest_ms, assignment)
    loose = together + loose  # of equal times the roster's stays, as in reading
    if loose:
        refs, ts, values = (np.concatenate([part[i] for part in loose]) for i in range(3))
        yield from tiles_of_samples(index, refs, ts, values, oldest_ms, cut, assignment)


def _columns_in_order(blocks: _Blocks, columns: slice | I64, cut: Cut) -> _Piece:
    """Some columns of a roster sorted by time."""
    parts = [(slab.times(entry), slab.columns(entry, columns)) for slab, entry in blocks]
    return _in_order(parts, cut)


def _begun_alone(rosters: dict[int, _Blocks], loose: list[tuple[Refs, Times, Values]]) -> set[int]:
    """Rosters of few samples whose series came alone at first: one tile for both, not two."""
    if not rosters or not loose:
        return set()
    alone = np.unique(np.concatenate([refs for refs, _, _ in loose]))
    named = {layout: slab.roster(entry) for layout, ((slab, entry), *_) in rosters.items()}
    every, counts = np.unique(np.concatenate(list(named.values())), return_counts=True)
    shared = every[counts > 1]  # with another roster: which of them came first must stay so
    found: set[int] = set()
    for layout, refs in named.items():
        rows = sum(int(entry[slab_words.COUNT]) for _, entry in rosters[layout])
        if rows * len(refs) > ALONE_SAMPLES_MAX or np.isin(refs, shared).any():
            continue
        if np.isin(refs, alone).any():
            found.add(layout)
    return found


def _tiles_of_place(
    index: SeriesIndex,
    parts: list[tuple[Refs, Times, Values]],
    oldest_ms: int,
    assignment: Assignment | None,
) -> Iterator[NewTile]:
    """Tiles of layouts that are worked on together: series, times, values [series, time]."""
    hours: dict[int, list[_Frames]] = {}
    for refs, ts, values in parts:
        for hour, part in _hours(ts, oldest_ms):
            hours.setdefault(hour, []).append(_Frames(ts[part], refs, values[:, part]))
    for hour, frames_here in sorted(hours.items()):
        for bucket in _buckets(frames_here):
            yield from _frame_tiles(index, hour, bucket, assignment)


def _host_blocks(index: SeriesIndex, refs: Refs) -> Iterator[tuple[int, slice | I64]]:
    """Blocks of hosts that series are of, and which of the series."""
    blocks = _neighbourhoods(index, refs)
    for block in np.unique(blocks).tolist():
        mine = np.flatnonzero(blocks == block)
        if mine[-1] - mine[0] == len(mine) - 1:
            yield block, slice(int(mine[0]), int(mine[-1]) + 1)
        else:
            yield block, mine


def _neighbourhoods(index: SeriesIndex, refs: Refs) -> I64:
    """Series of one number are worked on together: those of a block of hosts, or of a strip of
    wide tiles."""
    cells = index.cell_of[refs]
    return np.where(cells >> 32 >= WIDE, cells >> 32, index.host_of[refs] // HOSTS_PER_TILE)


def _in_order(parts: list[_Piece], cut: Cut) -> _Piece:
    """A layout's samples [series, time] sorted by time, the first of equals."""
    if len(parts) == 1:
        ts, values = parts[0]
    else:
        ts = np.concatenate([p[0] for p in parts])
        values = np.concatenate([p[1] for p in parts], axis=1)
    if len(ts) > 1 and not (ts[1:] > ts[:-1]).all():
        order = np.argsort(ts, kind="stable")
        ts = ts[order]
        keep = np.ones(len(ts), np.bool_)
        keep[1:] = ts[1:] != ts[:-1]
        cut.duplicates += int(np.count_nonzero(~keep)) * len(values)
        ts, values = ts[keep], values[:, order[keep]]
    return ts, values


def _hours(ts: Times, oldest_ms: int) -> Iterator[tuple[int, slice]]:
    """(start of the hour, part) of sorted times; where a day has few of them (an archive that is
    read in), the day is one part, filed under its first hour."""
    low = int(np.searchsorted(ts, oldest_ms))
    while low < len(ts):
        day = int(ts[low]) // DAY_MS * DAY_MS
        high = int(np.searchsorted(ts, day + DAY_MS))
        few = high - low <= SPARSE_DAY_SAMPLES_MAX
        if few and int(ts[high - 1] - ts[low]) >= SPARSE_SPAN_MS_MIN:
            yield day, slice(low, high)
            low = high
        while low < high:
            hour = int(ts[low]) // TILE_SPAN_MS * TILE_SPAN_MS
            end = int(np.searchsorted(ts, hour + TILE_SPAN_MS))
            yield hour, slice(low, end)
            low = end


def _buckets(frames: list[_Frames]) -> Iterator[list[_Frames]]:
    """Frames whose lengths are alike, so that padding stays small."""
    ordered = sorted(frames, key=lambda f: (len(f.ts), int(f.refs[0])))
    bucket: list[_Frames] = []
    for item in ordered:
        if bucket and len(item.ts) > _PAD_RATIO * len(bucket[0].ts) + _PAD_FREE:
            yield bucket
            bucket = []
        bucket.append(item)
    if bucket:
        yield bucket


def _frame_tiles(
    index: SeriesIndex, hour: int, bucket: list[_Frames], assignment: Assignment | None
) -> Iterator[NewTile]:
    bucket.sort(key=lambda f: int(f.refs[0]))
    refs = np.concatenate([f.refs for f in bucket])
    groups = np.repeat(np.arange(len(bucket)), [len(f.refs) for f in bucket])
    columns = max(len(f.ts) for f in bucket)
    values = np.empty((len(refs), columns))
    row = 0
    for f in bucket:
        part = values[row : row + len(f.refs)]
        part[:, : len(f.ts)] = f.values
        part[:, len(f.ts) :] = part[:, len(f.ts) - 1 : len(f.ts)]
        row += len(f.refs)
    times = [f.ts for f in bucket]
    yield from rows_to_tiles(index, hour, refs, groups, times, values, assignment)


def rows_to_tiles(
    index: SeriesIndex,
    hour: int,
    refs: Refs,
    groups: I64,
    times: list[Times],
    values: Values,
    assignment: Assignment | None = None,
) -> Iterator[NewTile]:
    """Cut rows of one hour by their policies and cells.

    `refs`, `groups` int64[R]; `times[g]` int64[T_g]; `values` float64[R, longest], padded.
    """
    cells = index.cell_of[refs]
    policies = assignment.of(refs) if assignment else np.zeros(len(refs), np.int64)
    order = np.lexsort((refs, groups, cells, policies))
    cells, policies = cells[order], policies[order]
    change = (np.diff(cells, prepend=-1) != 0) | (np.diff(policies, prepend=-1) != 0)
    starts = np.flatnonzero(change).tolist()
    tables: dict[bytes, tuple[TimeTable, I64, int, int, int]] = {}
    lengths = np.array([len(t) for t in times], np.int64)
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        rows = order[start:end]
        mine = groups[rows]
        key = mine.tobytes()
        if key not in tables:
            used = np.unique(mine)
            picked = [times[g] for g in used.tolist()]
            low, high = min(int(t[0]) for t in picked), max(int(t[-1]) for t in picked)
            longest = max(map(len, picked))
            tables[key] = (TimeTable.of(picked), np.searchsorted(used, mine), low, high, longest)
        table, local, low, high, longest = tables[key]
        yield NewTile(
            cell=int(cells[start]),
            hour=hour,
            min_ts=low,
            max_ts=high,
            samples=int(lengths[mine].sum()),
            data=encode(refs[rows], local, table, values[rows, :longest]),
            policy=int(policies[start]),
        )


def tiles_of_samples(
    index: SeriesIndex,
    refs: Refs,
    ts: Times,
    values: Values,
    oldest_ms: int,
    cut: Cut,
    assignment: Assignment | None = None,
) -> Iterable[NewTile]:
    """Tiles of samples in any order, three columns; of equal (series, time) the first stays."""
    recent = ts >= oldest_ms
    if not recent.all():
        refs, ts, values = refs[recent], ts[recent], values[recent]
    if not len(refs):
        return
    order = np.lexsort((ts, refs))
    refs, ts, values = refs[order], ts[order], values[order]
    keep = np.ones(len(refs), np.bool_)
    keep[1:] = (refs[1:] != refs[:-1]) | (ts[1:] != ts[:-1])
    if not keep.all():
        cut.duplicates += int(np.count_nonzero(~keep))
        refs, ts, values = refs[keep], ts[keep], values[keep]
    yield from tiles_of_sorted(index, refs, ts, values, assignment)


def _spans(refs: Refs, ts: Times) -> I64:
    """The hour (its number) that each sample's row is filed under: its own, or the first of its
    day where the series has so few samples that hours would make many tiny tiles."""
    hours: I64 = ts // TILE_SPAN_MS
    if int(ts.max()) - int(ts.min()) < SPARSE_SPAN_MS_MIN:
        return hours
    days = ts // DAY_MS
    starts = np.flatnonzero((np.diff(refs, prepend=-1) != 0) | (np.diff(days, prepend=-1) != 0))
    counts = np.diff(starts, append=len(refs))
    length = ts[starts + counts - 1] - ts[starts]
    sparse = (counts <= SPARSE_DAY_SAMPLES_MAX) & (length >= SPARSE_SPAN_MS_MIN)
    return np.where(np.repeat(sparse, counts), days * (DAY_MS // TILE_SPAN_MS), hours)


def tiles_of_sorted(
    index: SeriesIndex,
    refs: Refs,
    ts: Times,
    values: Values,
    assignment: Assignment | None = None,
) -> Iterator[NewTile]:
    """Tiles of samples sorted by series and time, no two equal."""
    hours = _spans(refs, ts)
    starts = np.flatnonzero((np.diff(refs, prepend=-1) != 0) | (np.diff(hours, prepend=-1) != 0))
    counts = np.diff(starts, append=len(refs))
    row_refs, row_hours = refs[starts], hours[starts]
    host_blocks = _neighbourhoods(index, row_refs)
    # rows of like length share a tile: powers of 1.25
    lengths = np.floor(np.log(counts) / np.log(_PAD_RATIO)).astype(np.int64)
    order = np.lexsort((row_refs, lengths, host_blocks, row_hours))
    change = np.zeros(len(order), np.bool_)
    change[0] = True
    for key in (row_hours, host_blocks, lengths):
        change[1:] |= key[order][1:] != key[order][:-1]
    firsts = np.flatnonzero(change).tolist()
    for first, last in zip(firsts, [*firsts[1:], len(order)], strict=True):
        rows = order[first:last]
        times: list[Times] = []
        known: dict[bytes, int] = {}
        groups = np.empty(len(rows), np.int64)
        for i, (at, count) in enumerate(
            zip(starts[rows].tolist(), counts[rows].tolist(), strict=True)
        ):
            own = ts[at : at + count]
            key_bytes = own.tobytes()
            group = known.get(key_bytes)
            if group is None:
                group = known[key_bytes] = len(times)
                times.append(own)
            groups[i] = group
        longest = int(counts[rows].max())
        places = starts[rows][:, None] + np.minimum(np.arange(longest), counts[rows][:, None] - 1)
        hour = int(row_hours[rows[0]]) * TILE_SPAN_MS
        yield from rows_to_tiles(
            index, hour, row_refs[rows], groups, times, values[places], assignment
        )
