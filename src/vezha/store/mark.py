"""Marks: what of a store was there at one moment, so that a later look tells what is new since.

An answer that is kept (`vezha.query.remembered`) is right for as long as none of the samples that
it was made of changed: no late one came, none was deleted, none expired. `since` gives the lowest
time at which something may be different; samples before it are what they were. Moving samples from
the head into tiles, or merging tiles, counts as a change of theirs: never too little is told, and
now and then too much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vezha.store import slab as slab_words
from vezha.store.catalog import Known
from vezha.store.days import MAX_TS, MIN_TS, Directory, day_of
from vezha.store.limits import DAY_MS
from vezha.store.packed import AnySlab, snapshot
from vezha.store.partition import Partitions
from vezha.store.rollup import TIERS_MS
from vezha.store.slab import LOOSE, Slab
from vezha.store.tombstone import Tombstone

I64 = npt.NDArray[np.int64]
_ID = 0
_FAR = int(np.iinfo(np.int64).max)
Seen = list[tuple[AnySlab, Directory]]
Place = tuple[str, int]
"""A partition and a day."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What was there of (start, end]: rows of each block of the head, by slab, and the lowest time
    in it; directories of days; days with roll-ups; spans of tombstones. Samples are in the head before
    the catalog names their series: `known` is how many series and layouts it had named, `unnamed`
    the lowest time of a block with others."""

    start_ms: int
    end_ms: int
    head: dict[str, tuple[I64, int]]
    days: dict[Place, Directory]
    rolled: dict[Place, list[int]]
    stones: tuple[tuple[int, int, int], ...]
    known: tuple[int, int]
    unnamed: int

    def of(self, start_ms: int, end_ms: int) -> Mark:
        """The same of a part of its span."""
        first, last = day_of(start_ms), day_of(end_ms)
        days = {at: rows for at, rows in self.days.items() if first <= at[1] <= last}
        rolled = {at: tiers for at, tiers in self.rolled.items() if first <= at[1] <= last}
        return replace(self, start_ms=start_ms, end_ms=end_ms, days=days, rolled=rolled)


class Watch:
    """Makes and compares marks of one store, as one process reads it."""

    def __init__(
        self,
        slabs: Callable[[], list[AnySlab]],
        partitions: Partitions,
        known: Known,
    ) -> None:
        self._known = known
        self._named: dict[str, I64] = {}
        self._slabs = slabs
        self._partitions = partitions
        self._tombstones = known.tombstones

    def mark(self, start_ms: int, end_ms: int) -> Mark:
        """What is there of (start, end] now: to be taken before it is read."""
        return self._look(start_ms, end_ms)[0]

    def since(self, mark: Mark, start_ms: int, end_ms: int) -> tuple[Mark, int | None]:
        """A mark of (start, end] as of now, and from what time on samples of *mark*'s span may
        have changed since it was made; None: none has."""
        fresh, seen = self._look(min(start_ms, mark.start_ms), max(end_ms, mark.end_ms))
        changes = [
            *_head_changes(mark, seen),
            *_day_changes(mark, fresh),
            *_other_changes(mark, fresh),
        ]
        inside = [low for low, high in changes if low <= mark.end_ms and high > mark.start_ms]
        return fresh.of(start_ms, end_ms), min(inside, default=None)

    def still(self, mark: Mark) -> bool:
        """Whether surely nothing of *mark*'s span changed since. Never waits and reads no files
        but in passing, so it may say no where `since` finds nothing."""
        days: dict[Place, Directory] = {}
        for part in self._partitions.all():
            found = part.days.glance(day_of(mark.start_ms), day_of(mark.end_ms))
            if found is None:
                return False
            days.update({(part.name, day): rows for day, rows in found.items()})
        if days.keys() != mark.days.keys():
            return False
        if any(rows is not mark.days[at] for at, rows in days.items()):
            return False
        if self._names() != mark.known and mark.unnamed <= mark.end_ms:
            return False
        if _spans(self._tombstones) != mark.stones:
            return False
        if self._rolled_days(mark.start_ms, mark.end_ms) != mark.rolled:
            return False
        return not any(
            low <= mark.end_ms and high > mark.start_ms
            for low, high in _head_changes(mark, snapshot(self._slabs()))
        )

    def _look(self, start_ms: int, end_ms: int) -> tuple[Mark, Seen]:
        known = self._names()
        seen = snapshot(self._slabs())  # before the days, as in reading
        unnamed = min((self._unnamed(slab, rows, *known) for slab, rows in seen), default=_FAR)
        if len(self._named) > len(seen):
            paths = {slab.path for slab, _ in seen}
            self._named = {path: rows for path, rows in list(self._named.items()) if path in paths}
        head = {slab.path: (rows[:, slab_words.COUNT].copy(), _lowest(rows)) for slab, rows in seen}
        days = {
            (part.name, file.day): file.directory()
            for part in self._partitions.all()
            for file in part.days.between(day_of(start_ms), day_of(end_ms))
        }
        rolled = self._rolled_days(start_ms, end_ms)
        stones = _spans(self._tombstones)
        return Mark(start_ms, end_ms, head, days, rolled, stones, known, unnamed), seen

    def _unnamed(self, slab: AnySlab, rows: Directory, series: int, layouts: int) -> int:
        """The lowest time of blocks with series beyond these; rows looked at once are known."""
        layout, count = rows[:, slab_words.LAYOUT], rows[:, slab_words.COUNT]
        named = np.zeros(len(rows), np.int64)
        known = self._named.get(slab.path)
        if known is not None:
            named[: len(known)] = known[: len(named)]
        unnamed = (layout >= layouts) & (count > 0)
        for i in np.flatnonzero((layout <= LOOSE) & (count > named)).tolist():
            loose = layout[i] == LOOSE
            if loose and isinstance(slab, Slab):
                refs = slab.loose(rows[i])[0][named[i] :]
            else:
                refs = slab.roster(rows[i])
            if int(refs.max()) < series:
                named[i] = count[i] if loose else _FAR
            else:
                unnamed[i] = True
        self._named[slab.path] = named
        return _lowest(rows[unnamed])

    def _names(self) -> tuple[int, int]:
        return self._known.index.count, len(self._known.layout_refs)

    def _rolled_days(self, start_ms: int, end_ms: int) -> dict[Place, list[int]]:
        return {
            (part.name, day): tiers
            for part in self._partitions.all()
            for day, tiers in part.rolled.there(day_of(start_ms), day_of(end_ms), TIERS_MS).items()
        }


def _spans(stones: Sequence[Tombstone]) -> tuple[tuple[int, int, int], ...]:
    return tuple((stone.id, stone.start_ms, stone.end_ms) for stone in stones)


def _lowest(rows: Directory) -> int:
    some = rows[rows[:, slab_words.COUNT] > 0, slab_words.LOWEST]
    return int(some.min()) if len(some) else _FAR


def _head_changes(mark: Mark, seen: Seen) -> list[tuple[int, int]]:
    """Spans [low, high] of the head in which there is something new, or something is gone."""
    changes: list[tuple[int, int]] = []
    there = {slab.path for slab, _ in seen}
    changes += [(low, _FAR) for path, (_, low) in mark.head.items() if path not in there]
    for slab, rows in seen:
        known = mark.head.get(slab.path)
        before = np.zeros(len(rows), np.int64)
        if known is not None:
            before[: len(known[0])] = known[0]
        grown = np.flatnonzero(rows[:, slab_words.COUNT] > before)
        if not len(grown):
            continue
        entries, first = rows[grown], before[grown]
        ordered = (entries[:, slab_words.DISORDER] == 0) & (entries[:, slab_words.LAYOUT] != LOOSE)
        if ordered.any():
            mine = entries[ordered]
            stamps = slab.words[mine[:, slab_words.OFFSET] // 8 + first[ordered]]
            changes.append((int(stamps.min()), int(mine[:, slab_words.HIGHEST].max())))
        for entry, at in zip(entries[~ordered], first[~ordered].tolist(), strict=True):
            times = _times(slab, entry)[at:]
            changes.append((int(times.min()), int(times.max())))
    return changes


def _times(slab: AnySlab, entry: I64) -> I64:
    at, count = int(entry[slab_words.OFFSET]) // 8, int(entry[slab_words.COUNT])
    return slab.words[at : at + count]


def _day_changes(mark: Mark, fresh: Mark) -> list[tuple[int, int]]:
    """Spans of tiles that came or went."""
    first, last = day_of(mark.start_ms), day_of(mark.end_ms)
    none: Directory = np.empty((0, 7), np.int64)
    changes: list[tuple[int, int]] = []
    for at in mark.days.keys() | {at for at in fresh.days if first <= at[1] <= last}:
        old, new = mark.days.get(at, none), fresh.days.get(at, none)
        if old is new:
            continue
        if at not in mark.days or at not in fresh.days:
            changes.append((at[1] * DAY_MS, (at[1] + 1) * DAY_MS))
        for rows, others in ((old, new), (new, old)):
            only = rows[~np.isin(rows[:, _ID], others[:, _ID])]
            if len(only):
                changes += only[:, [MIN_TS, MAX_TS]].tolist()
    return changes


def _other_changes(mark: Mark, fresh: Mark) -> list[tuple[int, int]]:
    """Spans of tombstones that came, or went with what they hid, and days whose roll-ups did."""
    changes = [(low, high) for _, low, high in set(mark.stones) ^ set(fresh.stones)]
    if fresh.known != mark.known:
        changes.append((mark.unnamed, _FAR))
    first, last = day_of(mark.start_ms), day_of(mark.end_ms)
    changes += [
        (at[1] * DAY_MS, (at[1] + 1) * DAY_MS)
        for at in mark.rolled.keys() | fresh.rolled.keys()
        if first <= at[1] <= last and mark.rolled.get(at) != fresh.rolled.get(at)
    ]
    return changes


__all__ = ["Mark", "Watch"]
