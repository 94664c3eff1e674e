"""The newest sample of each series: what an instant selector needs, and all that it needs.

An instant query over 10,000 hosts would otherwise carry five minutes of every series to look at
its last sample. Here the head's blocks are asked for one row each, all blocks of a slab at once;
tiles are opened only for series whose newest sample may still be in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Times, Values
from vezha.store import slab as at
from vezha.store.flat import FlatLayouts, counted
from vezha.store.gather_tile import Wanted
from vezha.store.packed import AnySlab, PackedSlab
from vezha.store.packed_runs import Runs, last_packed, runs_of_frames
from vezha.store.slab import LOOSE, Slab
from vezha.store.tile import Fit, GroupTimes, Tile
from vezha.store.tilecolumn import read_columns

I64 = npt.NDArray[np.int64]
_NONE = np.iinfo(np.int64).min
_NO_VALUES: Values = np.empty(0)


class Newest:
    """The best sample so far of each position, `ts` int64 ms (`NONE` where there is none)."""

    NONE = _NONE

    def __init__(self, positions: int) -> None:
        self.ts: Times = np.full(positions, _NONE, np.int64)
        self.values: Values = np.zeros(positions)

    def offer(self, positions: I64, ts: Times, values: Values) -> None:
        """Samples in the order in which they came in; of equal times the first one stays."""
        if not len(positions):
            return
        best = _first_newest(positions, ts, len(self.ts))
        at = best[best >= 0]
        at = at[ts[at] > self.ts[positions[at]]]
        self.ts[positions[at]], self.values[positions[at]] = ts[at], values[at]

    @property
    def found(self) -> I64:
        """Positions that have a sample."""
        found: I64 = np.flatnonzero(self.ts != _NONE)
        return found


def newest_in_head(
    newest: Newest,
    flat: FlatLayouts,
    positions_of: Callable[[Refs], I64],
    roster_of: Callable[[AnySlab, I64], tuple[I64, I64]],
    slabs: Iterable[AnySlab],
    start: int,
    end: int,
) -> None:
    """Look through the head's slabs, oldest generation first, for samples in (start, end]."""
    loose: list[tuple[int, Slab, I64]] = []
    rosters: list[tuple[AnySlab, I64]] = []
    for slab, near in _worth_a_look(_near(slabs, start, end), start):
        if isinstance(slab, PackedSlab):
            is_roster = near[:, at.LAYOUT] < LOOSE
            runs = runs_of_frames(flat, near[~is_roster])
            if len(runs.columns):
                newest.offer(*last_packed(slab, runs, start, end))
            rosters += [(slab, entry) for entry in near[is_roster]]
            continue
        is_loose = near[:, at.LAYOUT] == LOOSE
        loose += [(int(entry[at.HIGHEST]), slab, entry) for entry in near[is_loose]]
        rosters += [(slab, entry) for entry in near[near[:, at.LAYOUT] < LOOSE]]
        frames = near[(near[:, at.LAYOUT] > LOOSE) & (near[:, at.LAYOUT] < flat.seen)]
        frames = frames[flat.size[frames[:, at.LAYOUT]] > 0]
        if len(frames):
            _offer_frames(newest, flat, slab, frames, start, end)
    _offer_rosters(newest, roster_of, rosters, start, end)
    # newest first, until no block can have anything newer than what every series has
    for highest, slab, entry in sorted(loose, key=lambda block: -block[0]):
        if not len(newest.ts) or int(newest.ts.min()) >= highest:
            break
        refs, ts, values = slab.loose(entry)
        positions = positions_of(refs)
        keep = np.flatnonzero((positions >= 0) & (ts > start) & (ts <= end))
        newest.offer(positions[keep], ts[keep], values[keep])


def _near(slabs: Iterable[AnySlab], start: int, end: int) -> Iterator[tuple[AnySlab, I64]]:
    """Blocks that may have samples in (start, end]."""
    for slab in slabs:
        directory = slab.directory()
        near = directory[
            (directory[:, at.COUNT] > 0)
            & (directory[:, at.LOWEST] <= end)
            & (directory[:, at.HIGHEST] > start)
        ]
        if len(near):
            yield slab, near


def _worth_a_look(blocks: Iterable[tuple[AnySlab, I64]], start: int) -> list[tuple[AnySlab, I64]]:
    """The same without blocks of packed slabs after which others of their layouts are newer
    throughout: mostly all of them."""
    found = list(blocks)
    highest = [
        int(near[:, at.HIGHEST].max()) if isinstance(slab, PackedSlab) else _NONE
        for slab, near in found
    ]
    later = np.empty(0, np.int64)
    for i in range(len(found) - 1, -1, -1):
        slab, near = found[i]
        if isinstance(slab, PackedSlab):
            near = near[~np.isin(near[:, at.LAYOUT], later)]
            found[i] = slab, near
        before = max(highest[:i], default=_NONE)
        if before == _NONE:
            break
        newer = (near[:, at.LOWEST] > max(before, start)) & (near[:, at.DISORDER] == 0)
        later = np.union1d(later, near[newer, at.LAYOUT])
    return [(slab, near) for slab, near in found if len(near)]


def _offer_rosters(
    newest: Newest,
    roster_of: Callable[[AnySlab, I64], tuple[I64, I64]],
    rosters: list[tuple[AnySlab, I64]],
    start: int,
    end: int,
) -> None:
    """*roster_of* says of a roster's block which of its columns are wanted, and their positions."""
    found: list[tuple[I64, Times, Values]] = []
    for slab, entry in rosters:
        columns, positions = roster_of(slab, entry)
        if not len(columns):
            continue
        if isinstance(slab, PackedSlab):
            runs = Runs(entry[None, :], np.zeros(len(columns), np.int64), columns, positions)
            found.append(last_packed(slab, runs, start, end))
            continue
        ts, rows = slab.rows(entry)
        if entry[at.DISORDER]:
            inside = np.flatnonzero((ts > start) & (ts <= end))
            row = int(inside[np.argmax(ts[inside])]) if len(inside) else -1
        else:
            row = int(np.searchsorted(ts, end, "right")) - 1
        if row >= 0 and ts[row] > start:
            stamps = np.full(len(columns), ts[row], np.int64)
            found.append((positions, stamps, rows[row, columns]))
    if found:
        newest.offer(*(np.concatenate([part[i] for part in found]) for i in range(3)))


def _offer_frames(
    newest: Newest, flat: FlatLayouts, slab: Slab, frames: I64, start: int, end: int
) -> None:
    ordered = frames[:, at.DISORDER] == 0
    for entry in frames[~ordered]:
        ts, rows = slab.rows(entry)
        inside = np.flatnonzero((ts > start) & (ts <= end))
        if len(inside):
            row = inside[np.argmax(ts[inside])]  # argmax takes the first of equals
            layout = int(entry[at.LAYOUT])
            part = slice(flat.start[layout], flat.start[layout] + flat.size[layout])
            columns = flat.columns[part]
            stamps = np.full(len(columns), ts[row], np.int64)
            newest.offer(flat.positions[part], stamps, rows[row, columns])
    frames = frames[ordered]
    if not len(frames):
        return
    words = slab.words
    offset = frames[:, at.OFFSET] // 8
    row = _last_until(words, offset, frames[:, at.COUNT], end)
    stamps = words[offset + np.maximum(row, 0)]
    good = (row >= 0) & (stamps > start)
    frames, offset, row, stamps = frames[good], offset[good], row[good], stamps[good]
    layouts = frames[:, at.LAYOUT]
    sizes = flat.size[layouts]
    place = np.repeat(flat.start[layouts], sizes) + counted(sizes)
    first = offset + frames[:, at.CAPACITY] + row * frames[:, at.WIDTH]
    values = words[np.repeat(first, sizes) + flat.columns[place]].view(np.float64)
    newest.offer(flat.positions[place], np.repeat(stamps, sizes), values)


def samples_of_frames(
    flat: FlatLayouts, slab: Slab, frames: I64, start: int, end: int
) -> tuple[I64, Times, Values]:
    """All samples in (start, end] of many ordered blocks at once: positions, times, values, each
    series' samples together and ascending. For many short runs, where a loop over blocks costs
    more than the sort that this makes necessary."""
    words = slab.words
    offset = frames[:, at.OFFSET] // 8
    count = frames[:, at.COUNT]
    low = _last_until(words, offset, count, start) + 1
    high = _last_until(words, offset, count, end) + 1
    good = low < high
    frames, offset, low, rows = frames[good], offset[good], low[good], (high - low)[good]
    layouts = frames[:, at.LAYOUT]
    series = flat.size[layouts]
    # one run per series and block, then one place per sample
    run_block = np.repeat(np.arange(len(frames)), series)
    run_place = counted(series) + np.repeat(flat.start[layouts], series)
    run_rows = rows[run_block]
    run = np.repeat(np.arange(len(run_block)), run_rows)
    row = counted(run_rows) + np.repeat(low[run_block], run_rows)
    block = run_block[run]
    ts = words[offset[block] + row]
    first = offset + frames[:, at.CAPACITY]
    values = words[
        first[block] + row * frames[block, at.WIDTH] + flat.columns[run_place][run]
    ].view(np.float64)
    return flat.positions[run_place][run], ts, values


def _last_until(words: I64, offset: I64, count: I64, end: int) -> I64:
    """For each block of ascending times the last row with time <= end, or -1: one bisection of
    all blocks at once."""
    low = np.full(len(offset), -1, np.int64)
    high = count - 1
    if bool((words[offset + high] <= end).all()):
        return high  # the usual question: now
    while True:
        open_ = low < high
        if not open_.any():
            return low
        middle = (low + high + 1) // 2
        fits = words[offset + np.maximum(middle, 0)] <= end
        low = np.where(open_ & fits, middle, low)
        high = np.where(open_ & ~fits, middle - 1, high)


def newest_in_tiles(
    newest: Newest, wanted: Wanted, tiles: Iterable[Tile], start: int, end: int
) -> int:
    """Put in the last sample in (start, end] of each *wanted* series of *tiles*, which are in the
    order in which their samples came in, all before the head's: of equal times the first stays.
    How many tiles were looked at. Only what stays is unpacked.
    """
    lasts: dict[int, tuple[GroupTimes, I64, Times]] = {}
    fits: list[tuple[Tile, Fit, I64]] = []
    found: list[Times] = []
    count = 0
    for tile in tiles:
        count += 1
        fit = tile.rows_of(wanted.refs, wanted.positions)
        if not len(fit.rows):
            continue
        known = lasts.get(id(tile.clock))
        if known is None:  # kept with its clock, so that nothing else gets its number
            known = lasts[id(tile.clock)] = (tile.clock, *_last_of(tile.clock, end))
        _, last, stamps = known
        if fit.group >= 0:
            if stamps[fit.group] <= start:
                continue
            found.append(stamps[fit.group : fit.group + 1].repeat(len(fit.rows)))
        else:
            found.append(stamps[tile.groups[fit.rows]])
        fits.append((tile, fit, last))
    if not fits:
        return count
    ts, positions = np.concatenate(found), np.concatenate([fit.positions for _, fit, _ in fits])
    best = _first_newest(positions, ts, len(newest.ts))
    at = best[best >= 0]
    at = at[(ts[at] > start) & (ts[at] >= newest.ts[positions[at]])]
    stays = np.zeros(len(ts), np.bool_)
    stays[at] = True
    values = _unpacked(fits, stays)
    newest.ts[positions[stays]], newest.values[positions[stays]] = ts[stays], values
    return count


def _first_newest(positions: I64, ts: Times, count: int) -> I64:
    """The place of each position's newest time, of equal times of the first; -1 where none is."""
    # later assignments win: so the newest last, and of equal times the first to come last
    order = np.lexsort((-np.arange(len(ts)), ts))
    best = np.full(count, -1, np.int64)
    best[positions[order]] = order
    return best


def _unpacked(fits: list[tuple[Tile, Fit, I64]], stays: npt.NDArray[np.bool_]) -> Values:
    """The last values of the rows that stay, one tile's after another's."""
    values: list[Values | None] = []
    columns: list[tuple[Tile, I64, int]] = []
    at, all_stay = 0, bool(stays.all())
    for tile, fit, last in fits:
        rows = fit.rows
        if not all_stay:
            rows = rows[stays[at : at + len(rows)]]
            at += len(fit.rows)
            if not len(rows):
                continue
        if fit.group >= 0:
            columns.append((tile, rows, int(last[fit.group])))
            values.append(None)
        else:
            values.append(tile.picked(rows, last[tile.groups[rows]][:, None])[:, 0])
    read = iter(read_columns(columns))
    return np.concatenate([next(read) if one is None else one for one in values] or [_NO_VALUES])


def _last_of(clock: GroupTimes, end: int) -> tuple[I64, Times]:
    """The place of each group's last time at or before *end*, and that time; -1 and `NONE` where
    there is none."""
    last = clock.until(np.array([end]))[:, 0] - 1
    stamps = clock.whole[np.arange(len(last)), np.maximum(last, 0)]
    return last, np.where(last >= 0, stamps, _NONE)
