"""Windows over flat sample columns: which samples each step of each series sees.

A window is a half-open index range [lo, hi) into the flat columns; with left-open time ranges
(end - range, end] as Prometheus 3 has them. Where all series share one time column (the usual
case for per-second data) one binary search serves all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Times, Values
from vezha.query.block import Mask, Samples, not_none
from vezha.query.limits import SHORT_WINDOW_SAMPLES, STEP_SAMPLES_MAX, WINDOW_CELLS_MAX

Indexes = npt.NDArray[np.int64]
N = TypeVar("N", bound=np.generic)


def shared_times(samples: Samples) -> Times | None:
    """The time column that all series share, or None."""
    count = len(samples)
    if count == 0 or samples.ts.size % count:
        return None
    each = samples.ts.size // count
    if each == 0:
        return None
    if count == 1:
        return samples.ts
    if not np.array_equal(samples.offsets, np.arange(count + 1, dtype=np.int64) * each):
        return None
    table = samples.ts.reshape(count, each)
    first = table[0]
    if table[-1, -1] != first[-1] or table[-1, 0] != first[0]:
        return None
    return first if bool((table == first).all()) else None


def count_until(samples: Samples, times: Times) -> Indexes:
    """Index after the last sample at or before each time: int64[series, times]."""
    series = len(samples)
    if series == 0:
        return np.zeros((0, times.size), np.int64)
    if samples.ts.size and times.size <= 2:
        # rules and instant queries: usually all samples lie on one side of each time
        low, high = int(samples.ts.min()), int(samples.ts.max())
        if all(t >= high or t < low for t in times.tolist()):
            ends, begins = samples.offsets[1:], samples.offsets[:-1]
            return np.stack([ends if t >= high else begins for t in times.tolist()], axis=1)
    shared = shared_times(samples)
    if shared is not None:
        inside = np.searchsorted(shared, times, "right")
        return samples.offsets[:-1, None] + inside[None, :]
    if samples.ts.size == 0:
        return np.zeros((series, times.size), np.int64)
    if samples.ts.size <= STEP_SAMPLES_MAX * series * times.size:
        step = _even_step(times)
        if step:
            return _count_by_step(samples, times, step)
    first, last = int(samples.ts.min()), int(samples.ts.max())
    span = last - first + 2
    rows = np.repeat(np.arange(series, dtype=np.int64), np.diff(samples.offsets))
    keys = samples.ts - first + 1 + rows * span
    wanted = np.clip(times - first + 1, 0, span - 1)
    asked = np.arange(series, dtype=np.int64)[:, None] * span + wanted[None, :]
    found: Indexes = np.searchsorted(keys, asked.ravel(), "right").reshape(asked.shape)
    return found


def _even_step(times: Times) -> int:
    """By what *times* grow each time; 0 where that differs, or there are few."""
    if times.size < 3:
        return 0
    steps = np.diff(times)
    return int(steps[0]) if steps[0] > 0 and bool((steps == steps[0]).all()) else 0


def _count_by_step(samples: Samples, times: Times, step: int) -> Indexes:
    """The same of even times: each sample is put down at the first step that sees it, and these
    are added up, which is cheaper than a search for each step of each series."""
    series, count = len(samples), times.size
    at = -((int(times[0]) - samples.ts) // step)  # rounded up
    np.clip(at, 0, count, out=at)
    at += np.repeat(np.arange(series, dtype=np.int64) * (count + 1), np.diff(samples.offsets))
    new = np.bincount(at, minlength=series * (count + 1)).reshape(series, count + 1)[:, :count]
    found: Indexes = np.cumsum(new, axis=1, dtype=np.int64)
    found += samples.offsets[:-1, None]
    return found


@dataclass(slots=True)
class Windows:
    """The range vector of every step: samples and, per series and step, [lo, hi) into them.

    `ends` (int64[steps]) are the right edges of the windows, `range_ms` their length.
    """

    samples: Samples
    ends: Times
    range_ms: int
    lo: Indexes
    hi: Indexes

    @staticmethod
    def over(samples: Samples, ends: Times, range_ms: int) -> Windows:
        """Windows (end - range, end] for each of *ends*."""
        both = count_until(samples, np.concatenate([ends - range_ms, ends]))
        steps = ends.size
        return Windows(samples, ends, range_ms, both[:, :steps], both[:, steps:])

    @property
    def count(self) -> Indexes:
        """Samples in each window."""
        return self.hi - self.lo

    @property
    def steps(self) -> int:
        return int(self.ends.size)

    @property
    def starts(self) -> Times:
        """Left edges of the windows (exclusive)."""
        return self.ends - self.range_ms

    def first(self, column: npt.NDArray[N]) -> npt.NDArray[N]:
        """The first sample's value in *column*; meaningless where a window is empty."""
        return _gather(column, self.lo)

    def last(self, column: npt.NDArray[N]) -> npt.NDArray[N]:
        """The last sample's."""
        return _gather(column, self.hi - 1)

    def reduce(self, ufunc: np.ufunc, column: Values, empty: float = 0.0) -> Values:
        """*ufunc* over each window of *column* (as long as the samples), *empty* where none."""
        return reduce_ranges(ufunc, column, self.lo, self.hi, empty)

    def without_histograms(self) -> Windows:
        """Windows over the float samples alone."""
        if self.samples.hists is None:
            return self
        return self._filtered(~not_none(self.samples.hists))

    def only_histograms(self) -> Windows:
        """Windows over the histogram samples alone."""
        assert self.samples.hists is not None
        return self._filtered(not_none(self.samples.hists))

    def _filtered(self, keep: Mask) -> Windows:
        before = np.zeros(keep.size + 1, np.int64)
        np.cumsum(keep, out=before[1:])
        samples = self.samples
        hists = samples.hists[keep] if samples.hists is not None else None
        kept = Samples(
            samples.labels, samples.ts[keep], samples.values[keep], before[samples.offsets], hists,
            starts=samples.starts[keep] if samples.starts is not None else None,
        )  # fmt: skip
        return Windows(kept, self.ends, self.range_ms, before[self.lo], before[self.hi])


def _gather(column: npt.NDArray[N], at: Indexes) -> npt.NDArray[N]:
    if column.size == 0:
        return np.zeros(at.shape, column.dtype)
    out: npt.NDArray[N] = column[np.clip(at, 0, column.size - 1)]
    return out


def reduce_ranges(
    ufunc: np.ufunc, column: Values, lo: Indexes, hi: Indexes, empty: float = 0.0
) -> Values:
    """*ufunc* over column[lo:hi] for each pair; *empty* where hi <= lo. Shape of *lo*."""
    size = hi - lo
    longest = int(size.max()) if size.size else 0
    if longest <= SHORT_WINDOW_SAMPLES:
        return _reduce_short(ufunc, column, lo, size, longest, empty)
    out = np.full(lo.shape, empty)
    some = size > 0
    starts, ends = lo[some], hi[some]
    pairs = np.empty(starts.size * 2, np.int64)
    pairs[0::2] = starts
    pairs[1::2] = ends
    # reduceat needs indexes below the column's length: one spare cell makes `end` legal
    padded = np.empty(column.size + 1, column.dtype)
    padded[:-1] = column
    padded[-1] = 0
    out[some] = ufunc.reduceat(padded, pairs)[0::2]
    return out


def _reduce_short(
    ufunc: np.ufunc, column: Values, lo: Indexes, size: Indexes, longest: int, empty: float
) -> Values:
    """The same where no range is long: roll-ups asked along their buckets have one or two."""
    if not longest:
        return np.full(lo.shape, empty)
    some = size > 0
    if some.all():
        out: Values = column[lo]
    else:
        out = np.full(lo.shape, empty)
        out[some] = column[lo[some]]
    for nth in range(1, longest):
        more = np.nonzero(size > nth)
        out[more] = ufunc(out[more], column[lo[more] + nth])
    return out


def unfold(lo: Indexes, hi: Indexes) -> Iterator[tuple[Indexes, Indexes, Mask]]:
    """Windows (1-d lo, hi) as padded index tables, in chunks that fit the memory limit.

    Gives (which windows int64[w], sample indexes int64[w, longest], mask bool[w, longest]).
    Windows of like length come together, so that little is padded.
    """
    lengths = hi - lo
    order = np.argsort(lengths, kind="stable")
    at = 0
    while at < order.size:
        longest_possible = int(lengths[order[-1]])
        width = max(1, longest_possible)
        rows = max(1, WINDOW_CELLS_MAX // width)
        chunk = order[at : at + rows]
        longest = max(1, int(lengths[chunk[-1]]))
        columns = np.arange(longest, dtype=np.int64)
        mask = columns[None, :] < lengths[chunk][:, None]
        indexes = np.where(mask, lo[chunk][:, None] + columns[None, :], lo[chunk][:, None])
        yield chunk, indexes, mask
        at += rows
