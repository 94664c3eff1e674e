"""A damaged day's file made anew from the tiles in it that can still be read.

A tile whose bytes are whole but whose row in the directory is not says itself what would stand
there: whose series, which times, how many samples. What the row alone knew, its checksum, is not
needed: a tile that unpacks to what its head says is whole.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vezha.model.columns import Refs
from vezha.store import salvage
from vezha.store.days import DayFile, NewTile
from vezha.store.errors import StoreCorrupt
from vezha.store.limits import DAY_MS, SQL_VALUES_MAX, TILE_SPAN_MS
from vezha.store.tile import decode

_ROW = "id, cell, hour, min_ts, max_ts, flush, samples, crc"
_TILE_BYTES_MIN = 16


def mend_day(days_folder: str, damaged: str, day: int, cells: Refs) -> tuple[int, int]:
    """Bring the tiles of the file *damaged* that can be read into the file of its day, made if
    absent; (tiles kept, tiles lost as far as is known). *cells*: of every series
    (`SeriesIndex.cell_of`). The damaged file stays beside it, as `….unreadable`."""
    path = f"{days_folder}/{damaged}"
    aside = Path(f"{path.removesuffix('.damaged')}.unreadable")
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{path}{suffix}").exists():
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    kept = seen = 0

    def make(empty: str) -> None:
        folder = Path(f"{empty}.folder")
        folder.mkdir()
        made = DayFile(str(folder), day, readonly=False)
        made.close()
        Path(made.path).replace(empty)

    with salvage.opened(str(aside), make) as copies:
        file: DayFile | None = None
        for batch in _batches(copies, aside.stat().st_size):
            seen += len(batch)
            by_flush: dict[int, list[NewTile]] = defaultdict(list)
            for data, row in batch:
                tile = _tile(data, row, cells)
                if tile is not None:
                    by_flush[tile[0]].append(tile[1])
            for flush, tiles in sorted(by_flush.items()):
                if file is None:
                    file = DayFile(days_folder, day, readonly=False)
                file.add(tiles, flush)
                kept += len(tiles)
        if file is not None:
            file.close()
    return kept, seen - kept


_Read = tuple[bytes | None, tuple[int, ...] | None]


def _batches(copies: list[sqlite3.Connection], file_bytes: int) -> Iterator[list[_Read]]:
    """(bytes, row) of tiles of which something can be read."""
    most = file_bytes // _TILE_BYTES_MIN
    numbers = {
        number
        for table in ("tile", "tile_data")
        for (number,) in salvage.scanned(copies, table, "id")
        if isinstance(number, int)
    }
    last = max(
        salvage.highest(copies, "tile"), salvage.highest(copies, "tile_data"),
        salvage.highest(copies, "sqlite_sequence WHERE name = 'tile'", "seq"),
    )  # fmt: skip
    numbers.update(range(1, min(last, most) + 1))
    ordered = sorted(number for number in numbers if 0 < number <= max(most, last))
    for at in range(0, len(ordered), SQL_VALUES_MAX):
        part = ordered[at : at + SQL_VALUES_MAX]
        data = dict(salvage.rows(copies, "tile_data", "id", "id, data", part))
        rows = {row[0]: row for row in salvage.rows(copies, "tile", "id", _ROW, part)}
        yield [(data.get(n), rows.get(n)) for n in part if n in data or n in rows]


def _tile(
    data: bytes | None, row: tuple[int, ...] | None, cells: Refs
) -> tuple[int, NewTile] | None:
    """(flush, tile), if its bytes are whole."""
    if not isinstance(data, bytes):
        return None
    if row is not None and zlib.crc32(data) == row[7]:
        _, cell, hour, low, high, flush, samples, _ = row
        return flush, NewTile(cell, hour, low, high, samples, data)
    try:
        tile = decode(data)
        tile.values(np.arange(len(tile.refs)))
    except (StoreCorrupt, ValueError, IndexError):
        return None
    if row is not None or not len(tile.refs) or int(tile.refs.max()) >= len(cells):
        return None  # what stands in the row says that the bytes are not what was written
    lengths = np.array([len(times) for times in tile.times])
    low = min(int(times[0]) for times in tile.times if len(times))
    high = max(int(times[-1]) for times in tile.times if len(times))
    hour = low // TILE_SPAN_MS * TILE_SPAN_MS
    return 0, NewTile(
        cell=int(cells[tile.refs[0]]),
        hour=hour if high < hour + TILE_SPAN_MS else low // DAY_MS * DAY_MS,
        min_ts=low,
        max_ts=high,
        samples=int(lengths[tile.groups].sum()),
        data=data,
    )
