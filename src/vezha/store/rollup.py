"""Roll-ups: what a minute or an hour of a series comes to, so that long spans read little.

A roll-up covers one cell on one day, or as much of it as is over, and one tier. Per series and bucket (left open, right closed,
aligned to the epoch) it has the last, the smallest and the largest value, their sum and their
number: five planes, each a tile of the usual codec, whose samples carry the time of the bucket's
LAST sample. So a plane is read like any tile, and a selector that looks along the edges of
buckets sees in them exactly what it would see in the samples (`plane_for` says when).

A roll-up stands for exactly the tiles that it was made of, which its fingerprint names; once there
is another tile of its cell in its time, or one less, it counts no longer and is made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import STALE_NAN, Refs, Selection, Times, Values, is_stale
from vezha.store.limits import ROLL_UP_GAIN_MIN, ROLL_UP_SPAN_MS_MIN
from vezha.store.tile import TimeTable, encode

I64 = npt.NDArray[np.int64]
TIERS_MS = (3_600_000, 60_000)
"""Lengths of buckets, the longest first."""
PLANES = LAST, MIN, MAX, SUM, COUNT = range(5)
_PLANE_OF = {
    "last_over_time": LAST,
    "min_over_time": MIN,
    "max_over_time": MAX,
    "sum_over_time": SUM,
}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which tiles of a cell: all that begin before `until` (ms), how many and the highest number.
    As numbers are never used twice, equal fingerprints mean equal tiles."""

    until: int
    tiles: int
    last: int


@dataclass(frozen=True, slots=True)
class RollUp:
    """One plane of a cell's day; `data` is empty where this tier is not worth the while."""

    tier_ms: int
    plane: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Choice:
    """The plane that answers a selection, from any of these tiers."""

    plane: int
    tiers_ms: tuple[int, ...]
    no_stale: bool = False
    """Where the last is a stale marker, a range's last value is another one: not for this."""


def plane_for(selection: Selection) -> Choice | None:
    """Which roll-ups answer *selection* exactly; None: only the samples do.

    Every edge at which it looks (its steps, and these less its range) must be an edge of buckets.
    """
    step, back = selection.step_ms, selection.range_ms
    if selection.end_ms - selection.start_ms < ROLL_UP_SPAN_MS_MIN:
        return None
    if back:
        plane = _PLANE_OF.get(selection.function)
        if plane is None:
            return None
    elif step:
        plane = LAST
    else:
        return None  # any sample may be wanted
    tiers = tuple(t for t in TIERS_MS if not (selection.end_ms % t or step % t or back % t))
    return Choice(plane, tiers, plane == LAST and back > 0) if tiers else None


@dataclass(frozen=True, slots=True)
class Buckets:
    """Some samples by bucket: columns, one row per series and bucket. `samples` is how many."""

    refs: Refs
    stamps: Times
    planes: dict[int, Values]
    samples: int


def buckets_of(refs: Refs, ts: Times, values: Values, tier_ms: int) -> Buckets:
    """The buckets of samples: three columns, sorted by series and time."""
    buckets = -(-ts // tier_ms)
    starts = np.flatnonzero((np.diff(refs, prepend=-1) != 0) | (np.diff(buckets, prepend=-1) != 0))
    ends = np.append(starts[1:], len(ts)) - 1
    return Buckets(refs[starts], ts[ends], _planes(values, starts, ends), len(ts))


def roll_up(parts: Sequence[Buckets], tier_ms: int) -> Iterator[RollUp]:
    """The planes of one cell. A bucket may be in several parts, a sample in one only."""
    refs = np.concatenate([p.refs for p in parts])
    if len(refs) * ROLL_UP_GAIN_MIN > sum(p.samples for p in parts):
        yield RollUp(tier_ms, LAST, b"")
        return
    stamps = np.concatenate([p.stamps for p in parts])
    order = np.lexsort((stamps, refs))
    refs, stamps = refs[order], stamps[order]
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
    table = TimeTable.of(times)
    places = rows[:, None] + np.minimum(np.arange(int(counts.max())), counts[:, None] - 1)
    for plane in PLANES:
        column = np.concatenate([p.planes[plane] for p in parts])[order]
        yield RollUp(tier_ms, plane, encode(refs[rows], groups, table, column[places]))


def _planes(values: Values, starts: I64, ends: I64) -> dict[int, Values]:
    """Per bucket; a bucket of nothing but stale markers is one in every plane but the count."""
    stale = is_stale(values)
    counts = np.add.reduceat(~stale, starts).astype(np.float64)
    numbers, addends = values, values
    if stale.any():
        numbers, addends = np.where(stale, np.nan, values), np.where(stale, 0.0, values)
    with np.errstate(invalid="ignore", over="ignore"):
        planes = {
            MIN: np.fmin.reduceat(numbers, starts),
            MAX: np.fmax.reduceat(numbers, starts),
            SUM: np.add.reduceat(addends, starts),
        }
    for plane in planes.values():
        plane[counts == 0] = STALE_NAN
    return {LAST: values[ends], **planes, COUNT: counts}


def fingerprints(cells: I64, ids: I64, until: int) -> dict[int, Fingerprint]:
    """By cell, of tiles that begin before *until*: `cells`, `ids` int64[n]."""
    if not len(cells):
        return {}
    order = np.lexsort((ids, cells))
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    lasts = ids[order][starts + counts - 1]
    return {
        cell: Fingerprint(until, count, last)
        for cell, count, last in zip(
            cells[order][starts].tolist(), counts.tolist(), lasts.tolist(), strict=True
        )
    }
