"""Roll-ups: what ten seconds, a minute or an hour of a series come to, so that long spans read
little.

Per series and bucket (left open, right closed, aligned to the epoch) there are the last, the
smallest and the largest value, the sum and the number of samples, and of counters also the first
value, the time from it to the last, and what resets took away: each a plane, a tile of the usual
codec, whose samples carry the time of the bucket's LAST sample. So a plane is read like any tile,
and a selector that looks along the edges of buckets sees in them exactly what it would see in the
samples (`planes_for` says when).

A chunk of roll-ups covers a strip (4 columns x 256 hosts) and some whole hours of a day. It stands
for exactly the tiles that it was made of, which its fingerprint names; once there is another tile
in its strip and hours, or one less, it counts no longer and is made anew. A bucket at the edge of
a chunk has a part in each, and a stale marker is a part of its own; parts add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import STALE_NAN, Refs, Selection, Times, Values, is_stale
from vezha.store.limits import (
    HOST_BLOCKS_PER_STRIP,
    ROLL_UP_GAIN_MIN,
    ROLL_UP_SPAN_MS_MIN,
)
from vezha.store.tile import TimeTable, encode

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
TIERS_MS = (3_600_000, 60_000, 10_000)
"""Lengths of buckets, the longest first."""
LAST, MIN, MAX, SUM, COUNT, FIRST, SPAN, LOST = PLANES = tuple(range(8))
COUNTER_PLANES = (FIRST, SPAN, LOST)
"""Made of series only that are named like counters."""
COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")
NAMES = {LAST: "last", SUM: "sum", COUNT: "count", FIRST: "first", SPAN: "span", LOST: "lost"}
"""What `SeriesData.rolled` calls the planes."""
_PLANE_OF = {
    "last_over_time": LAST,
    "min_over_time": MIN,
    "max_over_time": MAX,
    "sum_over_time": SUM,
}
_PLANES_OF = {
    "rate": (LAST, COUNT, FIRST, SPAN, LOST),
    "increase": (LAST, COUNT, FIRST, SPAN, LOST),
    "avg_over_time": (SUM, COUNT),
    "count_over_time": (COUNT,),
    "present_over_time": (COUNT,),
}


def strip_of(cells: I64) -> I64:
    """The strip of each cell, int64."""
    return cells >> 32 << 32 | (cells & 0xFFFFFFFF) // HOST_BLOCKS_PER_STRIP


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which tiles of a strip: all that reach into [since, until) (ms), how many and the highest
    number. As numbers are never used twice, equal fingerprints mean equal tiles."""

    since: int
    until: int
    tiles: int
    last: int


@dataclass(frozen=True, slots=True)
class RollUp:
    """One plane of a chunk; `data` is empty where this tier is not worth the while."""

    tier_ms: int
    plane: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Choice:
    """The planes that answer a selection, the first as its values, from any of these tiers."""

    planes: tuple[int, ...]
    tiers_ms: tuple[int, ...]
    named: bool = False
    """Whether the asker is told which value is what: not one sample per row then."""


def planes_for(selection: Selection) -> Choice | None:
    """Which roll-ups answer *selection* exactly; None: only the samples do.

    Every edge at which it looks (its steps, and these less its range) must be an edge of buckets.
    """
    step, back = selection.step_ms, selection.range_ms
    if selection.end_ms - selection.start_ms < ROLL_UP_SPAN_MS_MIN:
        return None
    if not back and not step:
        return None  # any sample may be wanted
    planes, named = _planes_of(selection)
    if not planes:
        return None
    tiers = tuple(t for t in TIERS_MS if not (selection.end_ms % t or step % t or back % t))
    return Choice(planes, tiers, named) if tiers else None


def planes_without_samples(selection: Selection) -> Choice:
    """What comes nearest where the samples are no longer kept: the finest tier first."""
    planes, named = _planes_of(selection)
    return Choice(planes or (LAST,), TIERS_MS[::-1], named)


def _planes_of(selection: Selection) -> tuple[tuple[int, ...], bool]:
    if not selection.range_ms:
        return (LAST,), False
    plane = _PLANE_OF.get(selection.function)
    if plane is not None:
        return (plane,), False
    return (_PLANES_OF.get(selection.function, ()), True) if selection.rolled else ((), False)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Some samples by bucket: columns, one row per series and part of a bucket. `samples` is how
    many there were."""

    refs: Refs
    stamps: Times
    planes: dict[int, Values]
    samples: int


def buckets_of(refs: Refs, ts: Times, values: Values, tier_ms: int) -> Buckets:
    """The buckets of samples: three columns, sorted by series and time."""
    buckets = -(-ts // tier_ms)
    stale = is_stale(values)
    change = (np.diff(refs, prepend=-1) != 0) | (np.diff(buckets, prepend=-1) != 0) | stale
    change[1:] |= stale[:-1]
    starts = np.flatnonzero(change)
    ends = np.append(starts[1:], len(ts)) - 1
    return Buckets(refs[starts], ts[ends], _planes(ts, values, stale, starts, ends), len(ts))


def _planes(ts: Times, values: Values, stale: Mask, starts: I64, ends: I64) -> dict[int, Values]:
    """Per part; a stale marker is one in every plane but those of numbers and times."""
    lost = np.zeros(len(values))
    with np.errstate(invalid="ignore", over="ignore"):
        lost[1:] = np.where(values[1:] < values[:-1], values[:-1], 0.0)
        lost[starts] = 0.0
        planes = {
            LAST: values[ends],
            MIN: np.fmin.reduceat(values, starts),
            MAX: np.fmax.reduceat(values, starts),
            SUM: np.add.reduceat(values, starts),
            COUNT: (ends - starts + 1).astype(np.float64),
            FIRST: values[starts],
            SPAN: (ts[ends] - ts[starts]).astype(np.float64),
            LOST: np.add.reduceat(lost, starts),
        }
    marked = stale[starts]
    if marked.any():
        for plane in (LAST, MIN, MAX, SUM, FIRST):
            planes[plane][marked] = STALE_NAN
        planes[COUNT][marked] = STALE_NAN
    return planes


def together(parts: Sequence[Buckets]) -> Buckets:
    """Buckets of different series or times as one."""
    refs = np.concatenate([p.refs for p in parts])
    stamps = np.concatenate([p.stamps for p in parts])
    order = np.lexsort((stamps, refs))
    planes = {
        plane: np.concatenate([p.planes[plane] for p in parts])[order] for plane in parts[0].planes
    }
    return Buckets(refs[order], stamps[order], planes, sum(p.samples for p in parts))


def roll_up(buckets: Buckets, tier_ms: int, counters: Mask) -> Iterator[RollUp]:
    """The planes of a chunk; *counters* says which rows are of counters."""
    if len(buckets.refs) * ROLL_UP_GAIN_MIN > buckets.samples:
        yield RollUp(tier_ms, LAST, b"")
        return
    for plane, data in packed(buckets.refs, buckets.stamps, buckets.planes, counters):
        yield RollUp(tier_ms, plane, data)


def packed(
    refs: Refs, stamps: Times, planes: dict[int, Values], counters: Mask
) -> Iterator[tuple[int, bytes]]:
    """Planes as tiles: columns sorted by series and time."""
    whole = _Layout.of(refs, stamps)
    some = _Layout.of(refs[counters], stamps[counters]) if counters.any() else None
    for plane, column in planes.items():
        if plane not in COUNTER_PLANES:
            yield plane, whole.pack(column)
        elif some is not None:
            yield plane, some.pack(column[counters])


@dataclass(frozen=True, slots=True)
class _Layout:
    """Rows of a tile: where each begins in the columns, its group, and the groups' times."""

    refs: Refs
    groups: I64
    table: TimeTable
    places: I64

    @staticmethod
    def of(refs: Refs, stamps: Times) -> _Layout:
        rows = np.flatnonzero(np.diff(refs, prepend=-1) != 0)
        counts = np.diff(rows, append=len(refs))
        times: list[Times] = []
        known: dict[bytes, int] = {}
        groups = np.empty(len(rows), np.int64)
        for i, (at, count) in enumerate(zip(rows.tolist(), counts.tolist(), strict=True)):
            own = stamps[at : at + count]
            key = own.tobytes()
            if key not in known:
                known[key] = len(times)
                times.append(own)
            groups[i] = known[key]
        places = rows[:, None] + np.minimum(np.arange(int(counts.max())), counts[:, None] - 1)
        return _Layout(refs[rows], groups, TimeTable.of(times), places)

    def pack(self, column: Values) -> bytes:
        return encode(self.refs, self.groups, self.table, column[self.places])


def fingerprints(strips: I64, ids: I64) -> tuple[I64, I64, I64]:
    """Of some tiles: (strips, ascending; how many tiles each has; the highest number)."""
    order = np.lexsort((ids, strips))
    starts = np.flatnonzero(np.diff(strips[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    return strips[order][starts], counts, ids[order][starts + counts - 1]
