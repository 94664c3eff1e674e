"""Making roll-ups: hour by hour as each is over and quiet, so that every sample is read once.

When a day is over, the chunks of its hours are joined into one without looking at samples again.
A day that came all at once (an import, an archive) is one chunk from the start. What late samples
touch is made anew, and only that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.labels import METRIC_NAME, get_label
from vezha.store.days import CELL, FLUSH, MAX_TS, MIN_TS, DayFile, Directory
from vezha.store.errors import StoreCorrupt
from vezha.store.index import SeriesIndex
from vezha.store.limits import DAY_MS, TILE_SPAN_MS
from vezha.store.merge import joined
from vezha.store.rolled import (
    HOURS,
    ID,
    PLANE,
    SINCE,
    SIZE,
    STRIP,
    UNTIL,
    Rolled,
    RolledFile,
    chunks,
    hours_of,
)
from vezha.store.rollup import (
    COUNTER_SUFFIXES,
    LAST,
    Buckets,
    Fingerprint,
    RollUp,
    buckets_of,
    packed,
    roll_up,
    strip_of,
    together,
)
from vezha.store.tile import Tile, decode
from vezha.store.tombstone import Tombstone, deleted

I64 = npt.NDArray[np.int64]
_ID = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A chunk to be made: its strip, what it is made of, and these rows of the directory."""

    strip: int
    made_of: Fingerprint
    tiles: Directory


def due_chunks(
    tiles: Directory,
    standing: Sequence[Directory],
    day: int,
    ended_ms: int,
    quiet_flush: int,
) -> Iterator[Due]:
    """Chunks of a day that can be made: hours that ended by *ended_ms*, into which no tile
    later than flush *quiet_flush* reaches, and for which no chunk stands. Neighbours become one."""
    if not len(tiles):
        return
    strips = strip_of(tiles[:, CELL])
    names, of_tile = np.unique(strips, return_inverse=True)
    touched = hours_of(day, tiles[:, MIN_TS], tiles[:, MAX_TS] + 1)
    here, loud = (np.zeros(len(names), np.int64) for _ in range(2))
    np.bitwise_or.at(here, of_tile, touched)
    noisy = tiles[:, FLUSH] > quiet_flush
    np.bitwise_or.at(loud, of_tile[noisy], touched[noisy])
    covered = np.full(len(names), -1, np.int64)
    for tier in standing:
        made = chunks(tier)
        at = np.searchsorted(names, made[:, STRIP])
        known = at < len(names)
        known[known] = names[at[known]] == made[known, STRIP]
        made, at = made[known], at[known]
        mine = np.zeros(len(names), np.int64)
        np.bitwise_or.at(mine, at, hours_of(day, made[:, SINCE], made[:, UNTIL]))
        covered &= mine
    ended = min(max((ended_ms - day * DAY_MS) // TILE_SPAN_MS, 0), HOURS)
    over = np.int64((1 << ended) - 1)
    due = here & over & ~covered & ~loud
    begin = day * DAY_MS
    for i in np.flatnonzero(due).tolist():
        rows = tiles[of_tile == i]
        if ended == HOURS and not covered[i] and not loud[i]:
            yield _due(int(names[i]), begin, begin + DAY_MS, rows)
            continue
        for first, last in runs(int(due[i])):
            span = (begin + first * TILE_SPAN_MS, begin + last * TILE_SPAN_MS)
            yield _due(int(names[i]), *span, rows)


def _due(strip: int, since: int, until: int, rows: Directory) -> Due:
    rows = rows[(rows[:, MIN_TS] < until) & (rows[:, MAX_TS] >= since)]
    return Due(strip, Fingerprint(since, until, len(rows), int(rows[:, _ID].max())), rows)


def runs(bits: int) -> Iterator[tuple[int, int]]:
    """Runs of ones: [first, last)."""
    first = 0
    while bits >> first:
        while not bits >> first & 1:
            first += 1
        last = first
        while bits >> last & 1:
            last += 1
        yield first, last
        first = last


def make(
    file: DayFile,
    rolled: Rolled,
    tiers_ms: Sequence[int],
    index: SeriesIndex,
    due: Due,
    tombstones: Sequence[Tombstone] = (),
) -> None:
    """Make a chunk of all its tiles, for each tier, without what is deleted. With a damaged tile
    it is empty."""
    parts: dict[int, list[Buckets]] = {tier: [] for tier in tiers_ms}
    since, until = due.made_of.since, due.made_of.until
    for group in _apart(due.tiles):
        blobs = file.fetch(group[:, _ID].tolist())
        try:
            refs, ts, values = joined([_whole(blobs.get(i)) for i in group[:, _ID].tolist()])
        except StoreCorrupt:
            parts = {tier: [] for tier in tiers_ms}
            break
        inside = (ts >= since) & (ts < until)
        gone = deleted(tombstones, refs, ts)
        if gone is not None:
            inside &= ~gone
        if not inside.all():
            refs, ts, values = refs[inside], ts[inside], values[inside]
        if len(refs):
            for tier, found in parts.items():
                found.append(buckets_of(refs, ts, values, tier))
    for tier, found in parts.items():
        target = rolled.file(tier, file.day)
        assert target is not None
        made = [RollUp(tier, LAST, b"")]
        if found:
            buckets = together(found)
            made = list(roll_up(buckets, tier, _counters(index, buckets.refs)))
        target.put(due.strip, due.made_of, made)


def _counters(index: SeriesIndex, refs: I64) -> npt.NDArray[np.bool_]:
    """Which series are named like counters."""
    columns, of_row = np.unique(index.column_of[refs], return_inverse=True)
    named = [
        get_label(index.columns.sets[c], METRIC_NAME).endswith(COUNTER_SUFFIXES)
        for c in columns.tolist()
    ]
    return np.array(named, np.bool_)[of_row]


def _apart(rows: Directory) -> Iterator[Directory]:
    """Groups of tiles of one cell that do not overlap each other, each in the order in which it
    came: so only an hour or so of a cell need be in memory."""
    for cell in np.unique(rows[:, CELL]).tolist():
        mine = rows[rows[:, CELL] == cell]
        mine = mine[np.argsort(mine[:, MIN_TS], kind="stable")]
        reach = np.maximum.accumulate(mine[:, MAX_TS])
        cuts = np.flatnonzero(mine[1:, MIN_TS] > reach[:-1]) + 1
        for group in np.split(mine, cuts):
            yield group[np.lexsort((group[:, _ID], group[:, FLUSH]))]


def _whole(blob: bytes | StoreCorrupt | None) -> Tile:
    if not isinstance(blob, bytes):
        raise blob or StoreCorrupt("the tile has no data")
    return decode(blob)


def due_joins(standing: Directory) -> Iterator[Directory]:
    """All rows of each strip that has several chunks, of a day that is over and quiet."""
    strips, counts = np.unique(chunks(standing)[:, STRIP], return_counts=True)
    for strip in strips[counts > 1].tolist():
        yield standing[standing[:, STRIP] == strip]


def join(rolled: RolledFile, tiles: Directory, rows: Directory) -> bool:
    """Make one chunk of a strip's; False where they are not whole, and have to be made anew."""
    strip, begin = int(rows[0, STRIP]), rolled.day * DAY_MS
    mine = tiles[strip_of(tiles[:, CELL]) == strip]
    if not len(mine):
        return False
    made_of = _due(strip, begin, begin + DAY_MS, mine).made_of
    rows = rows[np.lexsort((rows[:, SINCE], rows[:, PLANE]))]
    if (rows[:, SIZE] == 0).any():
        # of hours with little in them: the samples are read instead, as before
        return False
    blobs = rolled.fetch(rows[:, ID].tolist())
    made: list[RollUp] = []
    for plane in np.unique(rows[:, PLANE]).tolist():
        ids = rows[rows[:, PLANE] == plane, ID].tolist()
        try:
            refs, stamps, values = joined([decode(blobs[i]) for i in ids])
        except (KeyError, StoreCorrupt):
            return False
        everyone = np.ones(len(refs), np.bool_)
        made += [
            RollUp(rolled.tier_ms, p, d) for p, d in packed(refs, stamps, {plane: values}, everyone)
        ]
    rolled.put(strip, made_of, made)
    return True
