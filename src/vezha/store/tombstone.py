"""Tombstones: what an operator deleted. Reading passes over it, merging leaves it out.

A tombstone names series and a closed span of time, both fixed when it is made. What comes into
that span later stays deleted too, so that a host's backlog does not bring back what was removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, SeriesData, Times


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Samples of `refs` (int64, ascending) in [start_ms, end_ms] are deleted."""

    id: int
    start_ms: int
    end_ms: int
    refs: Refs

    def covers(self, refs: Refs) -> npt.NDArray[np.bool_]:
        """Which of *refs* it names."""
        if not len(self.refs):
            return np.zeros(len(refs), np.bool_)
        at = np.searchsorted(self.refs, refs)
        at[at == len(self.refs)] = 0
        covered: npt.NDArray[np.bool_] = self.refs[at] == refs
        return covered


def deleted(tombstones: Sequence[Tombstone], refs: Refs, ts: Times) -> npt.NDArray[np.bool_] | None:
    """Which samples (two equally long columns) are deleted; None: none of them."""
    gone: npt.NDArray[np.bool_] | None = None
    if not len(ts):
        return None
    low, high = int(ts.min()), int(ts.max())
    for stone in tombstones:
        if stone.start_ms <= high and stone.end_ms >= low:
            hit = (ts >= stone.start_ms) & (ts <= stone.end_ms)
            hit[hit] = stone.covers(refs[hit])
            gone = hit if gone is None else gone | hit
    return gone if gone is not None and gone.any() else None


def without_deleted(data: SeriesData, refs: Refs, tombstones: Sequence[Tombstone]) -> SeriesData:
    """*data* without its deleted samples; `refs[i]` is the reference of series i."""
    counts = np.diff(data.offsets)
    gone = deleted(tombstones, np.repeat(refs, counts), data.ts)
    if gone is None:
        return data
    keep = ~gone
    left = np.add.reduceat(keep, data.offsets[:-1]).astype(np.int64)
    present = np.flatnonzero(left)
    if not len(present):
        return SeriesData.empty()
    offsets = np.zeros(len(present) + 1, np.int64)
    np.cumsum(left[present], out=offsets[1:])
    labels = [data.labels[i] for i in present.tolist()]
    rolled = data.rolled and {name: column[keep] for name, column in data.rolled.items()}
    return SeriesData(labels, data.ts[keep], data.values[keep], offsets, rolled=rolled)
