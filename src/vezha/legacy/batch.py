"""A decoded request: three columns, and what could not be taken."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Times, Values

Numbers = npt.NDArray[np.uint32]


@dataclass(slots=True)
class SampleBatch:
    """`numbers` (uint32, of the SeriesTable), `ts_ms` (int64) and `values` (float64), equally
    long. `left_out` counts what this server does not store, by kind."""

    numbers: Numbers
    ts_ms: Times
    values: Values
    left_out: dict[str, int] = field(default_factory=dict)

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
    )
