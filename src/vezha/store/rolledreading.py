"""Reading roll-ups: which chunks of a day stand, and what of them goes into a gathering."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vezha.store.days import DayFile, Directory, day_of
from vezha.store.errors import StoreCorrupt
from vezha.store.gather import Gathering
from vezha.store.gather_tile import Wanted, gather_planes, gather_tile
from vezha.store.limits import DAY_MS
from vezha.store.partition import Partition
from vezha.store.rolled import (
    ID,
    PLANE,
    SINCE,
    SIZE,
    STRIP,
    UNTIL,
    Rolled,
    RolledFile,
    hours_of,
)
from vezha.store.rollup import LAST, TIERS_MS, Choice
from vezha.store.thinning import Thinning
from vezha.store.tile import Tile, decode
from vezha.store.tilecache import TileCache

I64 = npt.NDArray[np.int64]
_NO_SPANS: I64 = np.empty((0, 2), np.int64)


@dataclass(slots=True)
class Looking:
    """One selection's way through the days: which of which partition, with its file of samples and which tiers of
    roll-ups; the planes of the answer's rows; spans of the head, which a roll-up must not overlap; and what was used, with
    the bytes that came from the files and not from the cache, and the days of damaged tiles."""

    start: int
    end: int
    thinning: Thinning | None
    days: list[tuple[Partition, int, DayFile | None, tuple[int, ...]]] = field(default_factory=list)
    choice: Choice | None = None
    planes: tuple[int, ...] = ()
    spans: I64 = field(default_factory=lambda: _NO_SPANS)
    tiles: int = 0
    bytes_read: int = 0
    damaged: set[int] = field(default_factory=set)
    rolled: dict[int, int] = field(default_factory=dict)


class RolledReading:
    """Roll-ups, as one process reads them."""

    def __init__(self, cache: TileCache) -> None:
        self._cache = cache

    def gather(
        self,
        wanted: Wanted,
        strips: I64,
        rolled: Rolled,
        day: int,
        tiers: Sequence[int],
        directory: Directory | None,
        looking: Looking,
        gathering: Gathering,
    ) -> I64:
        """Put in what roll-ups of a day have; the hours of each strip (bits) that they covered.

        `strips` int64[n], ascending; `directory` that of the day's samples, None if there are
        none.
        """
        covered = np.zeros(len(strips), np.int64)
        choice = looking.choice
        assert choice is not None
        for tier in tiers:
            file = rolled.file(tier, day)
            if file is None:
                continue
            rows = file.standing(directory)
            rows = rows[
                np.isin(rows[:, STRIP], strips)
                & np.isin(rows[:, PLANE], choice.planes)
                & (rows[:, UNTIL] > looking.start)
                & (rows[:, SINCE] <= looking.end)
                & (rows[:, SIZE] > 0)
            ]
            for low, high in looking.spans[looking.spans[:, 1] >= day * DAY_MS].tolist():
                # samples in the head may double those of tiles, and a roll-up cannot tell
                rows = rows[(rows[:, SINCE] > high) | (rows[:, UNTIL] <= low)]
                if not len(rows):
                    break
            at = np.searchsorted(strips, rows[:, STRIP])
            hours = hours_of(day, rows[:, SINCE], rows[:, UNTIL])
            free = covered[at] & hours == 0
            rows, at, hours = rows[free], at[free], hours[free]
            if len(rows):
                only = directory is None
                for i in self._take(wanted, file, rows, choice, only, looking, gathering):
                    covered[at[i]] |= hours[i]
        return covered

    def _take(
        self,
        wanted: Wanted,
        file: RolledFile,
        rows: Directory,
        choice: Choice,
        only: bool,
        looking: Looking,
        gathering: Gathering,
    ) -> list[int]:
        """Put in chunks that are whole; one row of each that was. With *only* there are no
        samples any more: where planes are missing (of what is no counter), the last values are
        taken for them."""
        tiles = self._open(file, rows[:, ID].tolist(), looking)
        by_chunk: dict[tuple[int, int], dict[int, int]] = {}
        for i, (strip, plane, since) in enumerate(rows[:, [STRIP, PLANE, SINCE]].tolist()):
            by_chunk.setdefault((strip, since), {})[plane] = i
        taken: list[int] = []
        numbers = rows[:, ID].tolist()
        for found in by_chunk.values():
            planes = [tiles.get(numbers[found[p]]) for p in choice.planes if p in found]
            whole = [tile for tile in planes if tile is not None]
            start, end = looking.start, looking.end
            complete = len(whole) == len(choice.planes)
            good = complete and choice.named and gather_planes(wanted, whole, start, end, gathering)
            if (complete and not choice.named) or (not good and only and whole):
                gather_tile(wanted, whole[0], start, end, gathering, looking.thinning)
                good = True
            if good:
                taken.append(next(iter(found.values())))
        if taken:
            looking.tiles += len(taken)
            looking.rolled[file.tier_ms] = looking.rolled.get(file.tier_ms, 0) + len(taken)
        return taken

    def _open(
        self, file: RolledFile, numbers: list[int], looking: Looking | None = None
    ) -> dict[int, Tile]:
        tiles: dict[int, Tile] = {}
        for number in numbers:
            tile = self._cache.get((file.path, number))
            if tile is not None:
                tiles[number] = tile
        missing = [number for number in numbers if number not in tiles]
        for number, blob in file.fetch(missing).items() if missing else ():
            try:
                tile = decode(blob)
            except StoreCorrupt:
                continue  # the samples are there
            tiles[number] = tile
            if looking is not None:
                looking.bytes_read += len(blob)
            self._cache.put((file.path, number), tile)
        return tiles

    def note_present(
        self,
        wanted: Wanted,
        rolled: Rolled,
        kept: Collection[int],
        seen: npt.NDArray[np.bool_],
        start: int,
        end: int,
    ) -> None:
        """Mark in *seen* the series that have roll-ups in [start, end] on days that are not among
        *kept*, those with samples."""
        for day, tiers in rolled.there(day_of(start), day_of(end), TIERS_MS).items():
            file = None if day in kept or seen.all() else rolled.file(tiers[0], day)
            if file is None:
                continue
            rows = file.directory()
            rows = rows[(rows[:, PLANE] == LAST) & (rows[:, SIZE] > 0)]
            for tile in self._open(file, rows[:, ID].tolist()).values():
                found, positions, _ = tile.rows_of(wanted.refs, wanted.positions)
                reach = (tile.clock.firsts <= end) & (tile.clock.lasts >= start)
                seen[positions[reach[tile.groups[found]]]] = True
