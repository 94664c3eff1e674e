"""Rosters: series that come together again and again, outside of frames.

Remote write, OTLP and scrapes bring columns; most of them are the series of a target, or of some,
at one time, in the order of the last time. Such a run is a roster once it was seen twice: from then
on its values are kept as rows of a block, as frames are, and not as loose samples (8 bytes a
sample instead of 24, and no sorting when tiles are written). Rosters live in memory only; a block
in the head names its series, and so does the WAL.

The order of arrival must not get lost, since the first value of a time wins:

- A series belongs to one roster at most. A new roster may take series from an older one, but not
  from one that began in the same generation of the head.
- A row is taken only if it is newer than every loose sample of its series, and than the rows of
  rosters that had them before. All other samples are loose, and come after rows in reading.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Times
from vezha.store.head import Layout
from vezha.store.limits import (
    ROSTER_REFS_MAX,
    ROSTER_ROWS_FIRST,
    ROSTER_SERIES_MAX,
    ROSTER_SERIES_MIN,
)
from vezha.store.slab import roster_layout

_NEVER = np.iinfo(np.int64).min
Run = tuple[int, int]


@dataclass(slots=True, eq=False)
class Roster:
    """A run of series. `logged` is the generation of the head whose WAL knows it."""

    number: int
    layout: Layout
    alive: bool = False
    born: int = -1
    logged: int = -1
    highest: int = _NEVER
    twice: bool = False
    """Whether a series stands in it twice; then it never becomes one."""


class Rosters:
    """All runs that were seen lately. Used by the thread that writes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, int], Roster] = OrderedDict()
        self._alive: dict[int, Roster] = {}
        self._refs = 0
        self._count = 0
        self._owner: npt.NDArray[np.int32] = np.full(1_024, -1, np.int32)
        self._loose_until: Times = np.full(1_024, _NEVER, np.int64)

    def __len__(self) -> int:
        return len(self._alive)

    def runs(self, refs: Refs, ts: Times, generation: int) -> Iterator[tuple[Run, Roster | None]]:
        """Cut samples into rows of rosters and loose ones (None), in their order.

        `refs` int64[n], none negative, `ts` int64[n], n > 0. A row has one time.
        """
        self._make_room(int(refs.max()) + 1)
        count = len(refs)
        cuts = (np.flatnonzero(ts[1:] != ts[:-1]) + 1).tolist()
        if (len(cuts) + 1) * ROSTER_SERIES_MIN > count:
            np.maximum.at(self._loose_until, refs, ts)
            yield (0, count), None
            return
        for low, high in zip([0, *cuts], [*cuts, count], strict=True):
            for first in range(low, high, ROSTER_SERIES_MAX):
                last = min(high, first + ROSTER_SERIES_MAX)
                run, ts_ms = refs[first:last], int(ts[first])
                roster = self._roster(run, ts_ms, generation)
                if roster is None:
                    self._loose_until[run] = np.maximum(self._loose_until[run], ts_ms)
                yield (first, last), roster

    def _roster(self, run: Refs, ts_ms: int, generation: int) -> Roster | None:
        if len(run) < ROSTER_SERIES_MIN:
            return None
        key = (len(run), int(run[0]), int(run[-1]))
        roster = self._known.get(key)
        if roster is None or not np.array_equal(roster.layout.refs, run):
            if roster is not None:
                self._forget(key)
            self._remember(key, run)
            return None
        self._known.move_to_end(key)
        if not roster.alive and not self._begin(roster, generation):
            return None
        if bool((self._loose_until[run] >= ts_ms).any()):
            return None
        roster.highest = max(roster.highest, ts_ms)
        return roster

    def _remember(self, key: tuple[int, int, int], run: Refs) -> None:
        number, self._count = self._count, self._count + 1
        layout = Layout(roster_layout(number), run.copy(), rows_before=ROSTER_ROWS_FIRST)
        self._known[key] = Roster(number, layout)
        self._refs += len(run)
        while self._refs > ROSTER_REFS_MAX:
            self._forget(next(iter(self._known)))

    def _forget(self, key: tuple[int, int, int]) -> None:
        roster = self._known.pop(key)
        self._refs -= len(roster.layout.refs)
        if roster.alive:
            self._end(roster)

    def _begin(self, roster: Roster, generation: int) -> bool:
        refs = roster.layout.refs
        if roster.twice or len(np.unique(refs)) < len(refs):
            roster.twice = True
            return False
        owners = [self._alive[o] for o in np.unique(self._owner[refs]).tolist() if o >= 0]
        if any(owner.born == generation for owner in owners):
            return False
        for owner in owners:
            self._end(owner)
        self._owner[refs] = roster.number
        self._alive[roster.number] = roster
        roster.alive, roster.born = True, generation
        return True

    def _end(self, roster: Roster) -> None:
        refs = roster.layout.refs
        self._loose_until[refs] = np.maximum(self._loose_until[refs], roster.highest)
        self._owner[refs] = -1
        del self._alive[roster.number]
        roster.alive, roster.highest = False, _NEVER

    def _make_room(self, series: int) -> None:
        if series > len(self._owner):
            size = max(series, len(self._owner) * 5 // 4)
            owner, until = np.full(size, -1, np.int32), np.full(size, _NEVER, np.int64)
            owner[: len(self._owner)] = self._owner
            until[: len(self._loose_until)] = self._loose_until
            self._owner, self._loose_until = owner, until
