"""What of a tile goes into a gathering: the wanted series' samples in a span, thinned to steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Values
from vezha.store.gather import Gathering
from vezha.store.limits import SHEET_SAMPLES_MAX, THIN_CELLS_MIN
from vezha.store.thinning import Thinning
from vezha.store.tile import Fit, GroupTimes, Tile

I64 = npt.NDArray[np.int64]
_TABLE_FROM = 20_000


@dataclass(slots=True)
class Wanted:
    """The series of a selection: `refs` int64[n], ascending; a series' position is its place."""

    refs: Refs

    def positions(self, refs: Refs) -> I64:
        """The position of each series, or -1."""
        mine = self.refs
        if not len(mine) or not len(refs):
            return np.full(len(refs), -1, np.int64)
        if len(refs) > _TABLE_FROM:
            table = np.full(max(int(refs.max()), int(mine[-1])) + 1, -1, np.int64)
            table[mine] = np.arange(len(mine))
            found: I64 = table[refs]
            return found
        at = np.searchsorted(mine, refs)
        at[at == len(mine)] = 0
        return np.where(mine[at] == refs, at, -1)


class Sheets:
    """Small parts of tiles that share their times, put side by side before they are gathered: a
    host's series lie in many tiles, of each a row or four."""

    def __init__(self, gathering: Gathering, start: int, end: int) -> None:
        """For samples in (start, end]."""
        self._gathering = gathering
        self._start, self._end = start, end
        self._bounds: dict[tuple[int, int], tuple[GroupTimes, int, int]] = {}
        self._open: dict[tuple[int, int], list[tuple[I64, Values]]] = {}
        self._cells: set[int] = set()
        self._samples = 0

    def add(self, cell: int, tile: Tile, fit: Fit) -> None:
        """Take what is wanted of a tile. Of two tiles of a *cell* the first is gathered first."""
        if cell in self._cells or self._samples > SHEET_SAMPLES_MAX:
            self.gather()
        self._cells.add(cell)
        clock, group = tile.clock, fit.group
        key = (id(clock), group)
        known = self._bounds.get(key)
        if known is None:  # kept with its clock, so that nothing else gets its number
            known = self._bounds[key] = (clock, *clock.bounds(group, self._start, self._end))
        _, low, high = known
        if low < high:
            values = tile.values(fit.rows, high, low)
            self._samples += values.size
            self._open.setdefault(key, []).append((fit.positions, values))

    def gather(self) -> None:
        """Gather what was taken."""
        for key, parts in self._open.items():
            clock, low, high = self._bounds[key]
            positions, values = parts[0]
            if len(parts) > 1:
                positions = np.concatenate([part[0] for part in parts])
                values = np.concatenate([part[1] for part in parts])
            self._gathering.add_rows(positions, clock.each[key[1]][low:high], values)
        self._open.clear()
        self._cells.clear()
        self._samples = 0


def gather_tiles(
    wanted: Wanted,
    tiles: Sequence[tuple[int, Tile]],
    start: int,
    end: int,
    gathering: Gathering,
    thinning: Thinning | None,
) -> None:
    """Several tiles, each with its cell, in the order in which their samples came in."""
    if len(tiles) == 1 or len(wanted.refs) == 1:
        for _, tile in tiles:  # nothing to put side by side
            fit = tile.rows_of(wanted.refs, wanted.positions)
            if fit.group < 0 or len(fit.rows) * tile.columns > THIN_CELLS_MIN:
                gather_tile(wanted, tile, start, end, gathering, thinning)
                continue
            clock, group = tile.clock, fit.group
            low, high = clock.bounds(group, start, end)
            if low < high:
                values = tile.values(fit.rows, high, low)
                gathering.add_rows(fit.positions, clock.each[group][low:high], values)
        return
    sheets = Sheets(gathering, start, end)
    for cell, tile in tiles:
        fit = tile.rows_of(wanted.refs, wanted.positions)
        small = len(fit.rows) * tile.columns <= THIN_CELLS_MIN
        if small and fit.group >= 0:
            sheets.add(cell, tile, fit)
        elif len(fit.rows):
            sheets.gather()  # what came before it stays before it
            gather_tile(wanted, tile, start, end, gathering, thinning)
    sheets.gather()


def gather_tile(
    wanted: Wanted,
    tile: Tile,
    start: int,
    end: int,
    gathering: Gathering,
    thinning: Thinning | None,
) -> None:
    rows, positions, _ = tile.rows_of(wanted.refs, wanted.positions)
    if not len(rows):
        return
    clock, groups = tile.clock, tile.groups[rows]
    if len(rows) * tile.columns <= THIN_CELLS_MIN:
        thinning = None  # looking for what may be left out costs more than it does
    if thinning is not None and not thinning.range_ms:
        _gather_last(rows, positions, tile, start, end, gathering, thinning)
        return
    if thinning is None and clock.first > start and clock.last <= end:
        table = tile.table(tile.columns)
        gathering.add_table(positions, groups, table, clock.counts, tile.values(rows))
        return
    bounds = clock.until(np.array([start, end]))
    low, high = bounds[:, 0], bounds[:, 1]
    until = int(high.max())
    size = high - low
    if not until or not size.any():
        return
    since = int(low.min())
    values = tile.values(rows, until, since)
    if thinning is None:
        table = tile.table(until)[:, since:]
        gathering.add_table(positions, groups, table, size, values, low - since)
        return
    for group in np.unique(groups).tolist():
        at = int(low[group])
        ts = clock.each[group][at : int(high[group])]
        picked = thinning.picks(ts)
        if len(picked):
            mine = groups == group
            gathering.add_rows(positions[mine], ts[picked], values[mine][:, at - since + picked])


def _gather_last(
    rows: I64,
    positions: I64,
    tile: Tile,
    start: int,
    end: int,
    gathering: Gathering,
    thinning: Thinning,
) -> None:
    """Of each step the newest sample."""
    clock = tile.clock
    seen = thinning.seen(clock, start, end)
    if seen is None:
        return
    groups = tile.groups[rows]
    # where all rows have the same times, so they have the same columns
    places = seen.places[0] if len(clock.each) == 1 else seen.places[groups]
    gathering.add_table(positions, groups, seen.stamps, seen.size, tile.picked(rows, places))


def gather_planes(
    wanted: Wanted, tiles: list[Tile], start: int, end: int, gathering: Gathering
) -> bool:
    """Several planes of a chunk of roll-ups, row by row; False where not every plane has all the
    wanted series, and nothing was taken then."""
    found = [tile.rows_of(wanted.refs, wanted.positions) for tile in tiles]
    orders = [np.argsort(fit.positions) for fit in found]
    positions = found[0].positions[orders[0]]
    for (_, others, _), order in zip(found[1:], orders[1:], strict=True):
        if not np.array_equal(positions, others[order]):
            return False
    if not len(positions):
        return True
    tile, rows = tiles[0], found[0].rows[orders[0]]
    bounds = tile.clock.until(np.array([start, end]))
    low, size = bounds[:, 0], bounds[:, 1] - bounds[:, 0]
    # other series of the strip may have longer rows, in some of the planes only
    until = int(bounds[tile.groups[rows], 1].max())
    if until and size.any():
        tables = tuple(
            one.values(mine[order], until)
            for one, (mine, _, _), order in zip(tiles, found, orders, strict=True)
        )
        gathering.add_table(positions, tile.groups[rows], tile.table(until), size, tables, low)
    return True
