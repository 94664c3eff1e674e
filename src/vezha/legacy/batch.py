"""A decoded request: three columns, and what could not be taken."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Times, Values
from vezha.model.exemplar import Exemplar
from vezha.model.metadata import MetricMetadata

Numbers = npt.NDArray[np.uint32]


@dataclass(slots=True)
class SampleBatch:
    """`numbers` (uint32, of the SeriesTable), `ts_ms` (int64) and `values` (float64), equally
    long. `left_out` counts what this server does not store, by kind. `histograms` counts native
    ones, and `parts` their samples among the others."""

    numbers: Numbers
    ts_ms: Times
    values: Values
    left_out: dict[str, int] = field(default_factory=dict)
    histograms: int = 0
    parts: int = 0
    exemplars: list[Exemplar] = field(default_factory=list)
    metadata: list[tuple[str, MetricMetadata]] = field(default_factory=list)
    """By the metric's name."""
    starts: list[tuple[int, int, int]] = field(default_factory=list)
    """Of samples that say when their counter began: (series' number, that moment, own time), ms."""

    def __len__(self) -> int:
        return len(self.numbers)


def batch_of(numbers: list[int], ts_ms: list[int], values: list[float]) -> SampleBatch:
    """A batch of plain lists."""
    return SampleBatch(
        np.array(numbers, np.uint32), np.array(ts_ms, np.int64), np.array(values, np.float64)
    )


def joined(batches: list[SampleBatch]) -> SampleBatch:
    """Several batches as one."""
    left_out: dict[str, int] = {}
    for batch in batches:
        for kind, count in batch.left_out.items():
            left_out[kind] = left_out.get(kind, 0) + count
    if not batches:
        return SampleBatch(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0), left_out)
    return SampleBatch(
        np.concatenate([b.numbers for b in batches]),
        np.concatenate([b.ts_ms for b in batches]),
        np.concatenate([b.values for b in batches]),
        left_out,
        sum(b.histograms for b in batches),
        sum(b.parts for b in batches),
        [one for b in batches for one in b.exemplars],
        [one for b in batches for one in b.metadata],
        [one for b in batches for one in b.starts],
    )


class Rows:
    """A batch that is made row by row."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.ts_ms: list[int] = []
        self.values: list[float] = []
        self._left_out: dict[str, int] = {}
        self._histograms = 0
        self._parts = 0
        self.exemplars: list[Exemplar] = []
        self.metadata: list[tuple[str, MetricMetadata]] = []
        self.starts: list[tuple[int, int, int]] = []

    def put(self, number: int, ts_ms: int, value: float, start_ms: int = 0) -> None:
        """One sample; *start_ms*: when its counter began, 0 if nobody said."""
        if start_ms:
            self.starts.append((number, start_ms, ts_ms))
        self.numbers.append(number)
        self.ts_ms.append(ts_ms)
        self.values.append(value)

    def put_histogram(self, parts: list[tuple[int, float]], ts_ms: int) -> None:
        """One native histogram: (series' number, value) of each part."""
        self.numbers += [number for number, _ in parts]
        self.values += [value for _, value in parts]
        self.ts_ms += [ts_ms] * len(parts)
        self._histograms += 1
        self._parts += len(parts)

    def leave_out(self, kind: str, count: int) -> None:
        """What is not stored, by kind."""
        if count:
            self._left_out[kind] = self._left_out.get(kind, 0) + count

    def batch(self) -> SampleBatch:
        """All of it."""
        batch = batch_of(self.numbers, self.ts_ms, self.values)
        batch.left_out = self._left_out
        batch.histograms, batch.parts = self._histograms, self._parts
        batch.exemplars, batch.metadata = self.exemplars, self.metadata
        batch.starts = self.starts
        return batch
