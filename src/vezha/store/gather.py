"""Gathering: pieces of series from tiles and head become one `SeriesData`.

Pieces are added oldest first (in the order in which their samples came in), each a run of one
series, sorted by time. Where runs overlap or repeat a time, the first piece's sample wins.
Loops here go over pieces (a series in a tile), never over samples.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from vezha.model.columns import SeriesData, Times, TooManySamples, Values
from vezha.model.labels import Labels


class Gathering:
    """Pieces by the position of their series."""

    def __init__(self, samples_max: int) -> None:
        self._ts: defaultdict[int, list[Times]] = defaultdict(list)
        self._values: defaultdict[int, list[Values]] = defaultdict(list)
        self._bulk: list[tuple[npt.NDArray[np.int64], Times, Values]] = []
        self._samples_max = samples_max
        self.samples = 0

    def _count(self, samples: int) -> None:
        self.samples += samples
        if self.samples > self._samples_max:
            raise TooManySamples(
                f"the selection has more than {self._samples_max} samples; ask for less time, "
                "fewer series, or raise the limit"
            )

    def add(self, position: int, ts: Times, values: Values) -> None:
        """A run of one series."""
        self._count(len(ts))
        self._ts[position].append(ts)
        self._values[position].append(values)

    def add_rows(self, positions: list[int], ts: Times, values: Values) -> None:
        """Runs of several series with equal times; `values` [len(positions), len(ts)]."""
        self._count(len(ts) * len(positions))
        all_ts, all_values = self._ts, self._values
        for row, position in enumerate(positions):
            all_ts[position].append(ts)
            all_values[position].append(values[row])

    def add_tile(
        self,
        positions: list[int],
        groups: list[int],
        times: list[Times],
        bounds: list[tuple[int, int]],
        values: Values,
    ) -> None:
        """Runs of several series: row i has the times of its group and as many of `values[i]`."""
        sizes = [high - low for low, high in bounds]
        self._count(sum(map(sizes.__getitem__, groups)))
        all_ts, all_values = self._ts, self._values
        for position, group, row in zip(positions, groups, values, strict=True):
            low, high = bounds[group]
            all_ts[position].append(times[group])
            all_values[position].append(row[low:high])

    def add_loose(self, positions: npt.NDArray[np.int64], ts: Times, values: Values) -> None:
        """Samples in any order, each with its series' position."""
        if not len(positions):
            return
        order = np.lexsort((ts, positions))
        positions, ts, values = positions[order], ts[order], values[order]
        starts = np.flatnonzero(np.diff(positions, prepend=-1))
        ends = [*starts[1:].tolist(), len(positions)]
        for position, start, end in zip(
            positions[starts].tolist(), starts.tolist(), ends, strict=True
        ):
            self.add(position, ts[start:end], values[start:end])

    def add_bulk(self, positions: npt.NDArray[np.int64], ts: Times, values: Values) -> None:
        """Samples of many series, each series' together and ascending; newer than all pieces."""
        self._count(len(ts))
        self._bulk.append((positions, ts, values))

    def present(self) -> list[int]:
        """Positions that have samples, ascending."""
        if not self._bulk:
            return sorted(self._ts)
        bulk = [np.unique(positions) for positions, _, _ in self._bulk]
        pieces = np.array(list(self._ts), np.int64)
        present: list[int] = np.unique(np.concatenate([*bulk, pieces])).tolist()
        return present

    def result(self, present: list[int], labels: list[Labels]) -> SeriesData:
        """The series at positions *present*, which are called *labels*, in this order."""
        if not present:
            return SeriesData.empty()
        if self._bulk:
            return self._bulk_result(present, labels)
        counts = np.array([sum(map(len, self._ts[i])) for i in present], np.int64)
        ts = np.concatenate([t for i in present for t in self._ts[i]])
        values = np.concatenate([v for i in present for v in self._values[i]])
        offsets = np.zeros(len(present) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        ts, values, offsets = _ordered(ts, values, offsets)
        return SeriesData(labels, ts, values, offsets)

    def _bulk_result(self, present: list[int], labels: list[Labels]) -> SeriesData:
        """One stable sort by series instead of a loop over pieces."""
        pieces = [
            (p, t, v) for p in self._ts for t, v in zip(self._ts[p], self._values[p], strict=True)
        ]
        sizes = [len(t) for _, t, _ in pieces]
        positions = np.concatenate(
            [
                np.repeat([p for p, _, _ in pieces], sizes).astype(np.int64),
                *(b[0] for b in self._bulk),
            ]
        )
        ts = np.concatenate([*(t for _, t, _ in pieces), *(b[1] for b in self._bulk)])
        values = np.concatenate([*(v for _, _, v in pieces), *(b[2] for b in self._bulk)])
        rank = np.empty(max(present) + 1, np.int64)
        rank[present] = np.arange(len(present))
        series = rank[positions]
        order = np.argsort(series, kind="stable")
        offsets = np.zeros(len(present) + 1, np.int64)
        np.cumsum(np.bincount(series, minlength=len(present)), out=offsets[1:])
        return SeriesData(labels, *_ordered(ts[order], values[order], offsets))


def _ordered(
    ts: Times, values: Values, offsets: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[Times, Values, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Times strictly increasing within each series; the first of equals stays."""
    wrong = np.diff(ts) <= 0
    wrong[offsets[1:-1] - 1] = False
    places = np.flatnonzero(wrong)
    if not len(places):
        return ts, values, offsets
    series_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    touched = np.zeros(len(offsets) - 1, np.bool_)
    touched[series_of[places]] = True
    which = np.flatnonzero(touched[series_of])
    # lexsort is stable: of equal times the piece that was added first comes first
    sorted_which = which[np.lexsort((ts[which], series_of[which]))]
    order = np.arange(len(ts))
    order[which] = sorted_which
    ts, values = ts[order], values[order]
    keep = np.ones(len(ts), np.bool_)
    keep[1:] = (ts[1:] != ts[:-1]) | (series_of[1:] != series_of[:-1])
    counts = np.bincount(series_of[keep], minlength=len(offsets) - 1)
    fresh = np.zeros_like(offsets)
    np.cumsum(counts, out=fresh[1:])
    return ts[keep], values[keep], fresh
