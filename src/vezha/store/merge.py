"""Merging: the tiles of a cell and an hour become one, when the hour is over and quiet.

Longer tiles pack better and open in one go. Late samples that lay over older tiles are folded in
here (the first value of a time wins, as in reading). A replacement is one transaction of the day
file, so a crash leaves either the old tiles or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import structlog

from vezha.store.days import CELL, FLUSH, HOUR, MAX_TS, MIN_TS, SAMPLES, DayFile, Directory
from vezha.store.errors import StoreCorrupt
from vezha.store.flush import tiles_of_sorted
from vezha.store.gather import Gathering
from vezha.store.index import SeriesIndex
from vezha.store.limits import SPARSE_CELL_SAMPLES_MAX, TILE_SPAN_MS
from vezha.store.tile import Tile, decode
from vezha.store.tombstone import Tombstone, deleted

log = structlog.get_logger(__name__)
I64 = npt.NDArray[np.int64]
_ID = 0


def due_deletions(directory: Directory, tombstones: Sequence[Tombstone]) -> Iterator[Directory]:
    """Single tiles that may hold deleted samples, each as a group of one row."""
    for stone in tombstones:
        near = directory[
            (directory[:, MIN_TS] <= stone.end_ms) & (directory[:, MAX_TS] >= stone.start_ms)
        ]
        for row in near:
            yield row[None, :]


def due_merges(directory: Directory, ended_ms: int, quiet_flush: int) -> Iterator[Directory]:
    """Groups of rows of a day's directory that should become one tile each.

    An hour must have ended by *ended_ms*, and the newest tile be of flush *quiet_flush* or
    earlier: while late data still comes in, merging again and again would be in vain.
    """
    over = directory[directory[:, HOUR] + TILE_SPAN_MS <= ended_ms]
    if len(over) < 2:
        return
    over = over[np.lexsort((over[:, _ID], over[:, FLUSH], over[:, CELL], over[:, HOUR]))]
    change = np.ones(len(over), np.bool_)
    change[1:] = (over[1:, CELL] != over[:-1, CELL]) | (over[1:, HOUR] != over[:-1, HOUR])
    starts = np.flatnonzero(change)
    sizes = np.diff(starts, append=len(over))
    newest = np.maximum.reduceat(over[:, FLUSH], starts)
    for at in np.flatnonzero((sizes > 1) & (newest <= quiet_flush)).tolist():
        group = over[starts[at] : starts[at] + sizes[at]]
        # rows of unlike lengths stay apart: merging them again would give the same tiles
        if len(np.unique(group[:, FLUSH])) > 1:
            yield group


def due_days(directory: Directory, quiet_flush: int) -> Iterator[Directory]:
    """Groups of all rows of a cell in a day that is over, where the cell has few samples.

    Its tiles become one (see `flush`), or are cut by hours again, all of one flush, and so are
    never due twice.
    """
    if not len(directory):
        return  # a flush that did not come to its end left nothing behind
    over = directory[np.lexsort((directory[:, _ID], directory[:, FLUSH], directory[:, CELL]))]
    starts = np.flatnonzero(np.diff(over[:, CELL], prepend=-1))
    for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(over)], strict=True):
        group = over[first:last]
        flushes = group[:, FLUSH]
        few = int(group[:, SAMPLES].sum()) <= SPARSE_CELL_SAMPLES_MAX
        if few and flushes[0] != flushes[-1] <= quiet_flush:
            yield group


def merge(
    file: DayFile, index: SeriesIndex, due: Directory, tombstones: Sequence[Tombstone] = ()
) -> int:
    """Replace the tiles of *due* (in the order in which they came); how many went.

    A damaged tile is left as it is: reading says so each time, `vezha store repair` removes it.
    """
    ids = due[:, _ID].tolist()
    blobs = file.fetch(ids)
    tiles: list[Tile] = []
    whole: list[int] = []
    for number in ids:
        blob = blobs.get(number)
        try:
            if blob is None or isinstance(blob, StoreCorrupt):
                continue
            tiles.append(decode(blob))
            whole.append(number)
        except StoreCorrupt as error:
            log.error("a damaged tile is not merged", file=file.path, tile=number, error=str(error))
    if len(whole) < min(2, len(ids)):
        return 0
    refs, ts, values = joined(tiles)
    gone = deleted(tombstones, refs, ts)
    if gone is not None:
        refs, ts, values = refs[~gone], ts[~gone], values[~gone]
    elif len(whole) < 2 or len(np.unique(due[np.isin(due[:, _ID], whole), FLUSH])) < 2:
        return 0  # or a damaged one beside them would have them merged for ever
    tiles_left = tiles_of_sorted(index, refs, ts, values) if len(refs) else ()
    file.add(tiles_left, int(due[:, FLUSH].max()), replaces=whole)
    return len(whole)


def joined(
    tiles: Sequence[Tile],
) -> tuple[I64, I64, npt.NDArray[np.float64]]:
    """All samples of tiles as three columns sorted by series and time; the first of equals."""
    refs = np.unique(np.concatenate([t.refs for t in tiles]))
    gathering = Gathering(1 << 62)
    for tile in tiles:
        positions = np.searchsorted(refs, tile.refs)
        values = tile.values(np.arange(len(tile.refs)))
        clock = tile.clock
        gathering.add_table(positions, tile.groups, tile.table(tile.columns), clock.counts, values)
    data = gathering.result(gathering.present(), [()] * len(refs))
    return np.repeat(refs, np.diff(data.offsets)), data.ts, data.values
