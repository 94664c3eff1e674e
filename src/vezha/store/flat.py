"""Which columns of which layouts a match wants, as arrays that all blocks are looked up in at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


class Layouts(Protocol):
    """Columns of layouts that a match wants: layout → (columns, positions)."""

    layouts: dict[int, tuple[I64, list[int]]]
    layouts_seen: int


@dataclass(frozen=True, slots=True)
class FlatLayouts:
    """The same as flat arrays: layout i has `columns[start[i] : start[i] + size[i]]`."""

    seen: int
    start: I64
    size: I64
    columns: I64
    positions: I64

    @staticmethod
    def of(plan: Layouts) -> FlatLayouts:
        """Flatten; worth keeping while `plan.layouts_seen` stays."""
        start = np.zeros(plan.layouts_seen + 1, np.int64)
        size = np.zeros(plan.layouts_seen + 1, np.int64)
        columns, positions, filled = [], [], 0
        for number, (wanted, places) in plan.layouts.items():
            start[number], size[number] = filled, len(wanted)
            columns.append(wanted)
            positions.append(np.array(places, np.int64))
            filled += len(wanted)
        empty = np.empty(0, np.int64)
        return FlatLayouts(
            plan.layouts_seen,
            start,
            size,
            np.concatenate(columns) if columns else empty,
            np.concatenate(positions) if positions else empty,
        )


def counted(sizes: I64) -> I64:
    """0, 1, … sizes[0]-1, 0, 1, … sizes[1]-1, …"""
    total = int(sizes.sum())
    ends = np.cumsum(sizes)
    counted: I64 = np.arange(total) - np.repeat(ends - sizes, sizes)
    return counted
