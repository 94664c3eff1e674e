"""Thinning: leave out samples that no step of a range query can look at. Exact.

An instant selector takes, at each step, the newest sample: of all samples between two steps only
the last can ever be taken. A range selector that looks back less than a step never sees what lies
between its windows. So a chart of a day at one point a minute needs one sample a minute, however
many there are; memory and the engine's work shrink by as much.

Steps lie at `end_ms`, `end_ms` - `step_ms`, and so on: that is what `Selection` means by them. A
selector that also looks ahead (the experimental `smoothed` and `anchored`) must ask with step 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Selection, Times
from vezha.store.limits import THIN_STEP_MS_MIN


@dataclass(frozen=True, slots=True)
class Thinning:
    """What may be left out of one selection."""

    end_ms: int
    step_ms: int
    range_ms: int

    def edges(self, first: int, last: int) -> Times:
        """The steps that may look at samples in [first, last], ascending."""
        count = (last - first) // self.step_ms + 2
        newest = (self.end_ms - last) // self.step_ms
        return self.end_ms - self.step_ms * np.arange(newest + count - 1, newest - 1, -1)

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
