"""What of a tile goes into a gathering: the wanted series' samples in a span, thinned to steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs
from vezha.store.gather import Gathering
from vezha.store.limits import THIN_CELLS_MIN
from vezha.store.thinning import Thinning
from vezha.store.tile import Tile

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


def gather_tile(
    wanted: Wanted,
    tile: Tile,
    start: int,
    end: int,
    gathering: Gathering,
    thinning: Thinning | None,
) -> None:
    rows, positions = tile.rows_of(wanted.refs, wanted.positions)
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
    orders = [np.argsort(positions) for _, positions in found]
    positions = found[0][1][orders[0]]
    for (_, others), order in zip(found[1:], orders[1:], strict=True):
        if not np.array_equal(positions, others[order]):
            return False
    if not len(positions):
        return True
    tile, rows = tiles[0], found[0][0][orders[0]]
    bounds = tile.clock.until(np.array([start, end]))
    low, size = bounds[:, 0], bounds[:, 1] - bounds[:, 0]
    # other series of the strip may have longer rows, in some of the planes only
    until = int(bounds[tile.groups[rows], 1].max())
    if until and size.any():
        tables = tuple(
            one.values(mine[order], until)
            for one, (mine, _), order in zip(tiles, found, orders, strict=True)
        )
        gathering.add_table(positions, tile.groups[rows], tile.table(until), size, tables, low)
    return True
