"""Thinning: leave out samples that no step of a range query can look at. Exact.

An instant selector takes, at each step, the newest sample: of all samples between two steps only
the last can ever be taken. A range selector that looks back less than a step never sees what lies
between its windows. So a chart of a day at one point a minute needs one sample a minute, however
many there are; memory and the engine's work shrink by as much.

Steps lie at `end_ms`, `end_ms` - `step_ms`, and so on: that is what `Selection` means by them. A
selector that also looks ahead (the experimental `smoothed` and `anchored`) must ask with step 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Selection, Times
from vezha.store.limits import THIN_STEP_MS_MIN
from vezha.store.tile import GroupTimes

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Seen:
    """Which samples of groups the steps take: group g has the first `size[g]` of `places[g]` (its
    columns) and `stamps[g]` (their times), both int64[groups, longest], padded."""

    places: I64
    stamps: Times
    size: I64


@dataclass(frozen=True, slots=True)
class Thinning:
    """What may be left out of one selection."""

    end_ms: int
    step_ms: int
    range_ms: int
    _seen: dict[tuple[int, int, int], tuple[GroupTimes, Seen | None]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def edges(self, first: int, last: int) -> Times:
        """The steps that may look at samples in [first, last], ascending."""
        count = (last - first) // self.step_ms + 2
        newest = (self.end_ms - last) // self.step_ms
        return self.end_ms - self.step_ms * np.arange(newest + count - 1, newest - 1, -1)

    def seen(self, clock: GroupTimes, start: int, end: int) -> Seen | None:
        """What of (start, end] the steps take, which look at instants; None: nothing. Worked out
        once for all tiles that share their times."""
        key = (id(clock), start, end)  # kept below, so that nothing else gets its number
        known = self._seen.get(key)
        if known is None:
            known = self._seen[key] = (clock, self._look(clock, start, end))
        return known[1]

    def _look(self, clock: GroupTimes, start: int, end: int) -> Seen | None:
        first, last = max(clock.first, start + 1), min(clock.last, end)
        if first > last:
            return None
        edges = np.minimum(self.edges(first, last), end)
        # what each edge sees, and before them what lies too early
        seen = clock.until(np.concatenate([[start], edges])) - 1
        last_at = seen[:, 1:]
        fresh = last_at > seen[:, :-1]
        size = fresh.sum(axis=1)
        longest = int(size.max())
        if not longest:
            return None
        line = np.arange(len(fresh))[:, None]
        if longest == fresh.shape[1] and int(size.min()) == longest:
            places = last_at
        else:
            # what counts to the front; padded with the last that does
            order = np.argsort(~fresh, axis=1, kind="stable")[:, :longest]
            last_one = np.maximum(size - 1, 0)[:, None]
            order = order[line, np.minimum(np.arange(longest), last_one)]
            places = np.maximum(last_at[line, order], 0)
        return Seen(places, clock.whole[line, places], size)

    def picks(self, ts: Times) -> npt.NDArray[np.int64]:
        """Which of *ts* (sorted, at most `end_ms`) must stay: indices, ascending."""
        before = self.end_ms - ts
        if self.range_ms:
            return np.flatnonzero(before % self.step_ms < self.range_ms)
        steps = before // self.step_ms
        last = np.ones(len(ts), np.bool_)
        last[:-1] = steps[1:] != steps[:-1]
        return np.flatnonzero(last)


def thinning_of(selection: Selection) -> Thinning | None:
    """What may be left out of *selection*; None: nothing worth the while."""
    step, back = selection.step_ms, selection.range_ms
    if step < THIN_STEP_MS_MIN or back >= step:
        return None
    return Thinning(selection.end_ms, step, back)
