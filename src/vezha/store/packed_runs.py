"""Which runs of a packed slab a selection wants, and what of them goes into its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Times, Values
from vezha.store import slab as slab_words
from vezha.store.flat import FlatLayouts, counted
from vezha.store.gather import Gathering
from vezha.store.packed import AnySlab, PackedSlab

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Runs:
    """Run i is column `columns[i]` of block `entries[entry_of[i]]`, of the series at
    `positions[i]`."""

    entries: I64
    entry_of: I64
    columns: I64
    positions: I64

    def of(self, kept: npt.NDArray[np.bool_]) -> Runs:
        """The runs of some of the blocks."""
        mine = kept[self.entry_of]
        numbers = np.cumsum(kept) - 1
        return Runs(
            self.entries[kept], numbers[self.entry_of[mine]], self.columns[mine],
            self.positions[mine],
        )  # fmt: skip


def runs_of_frames(flat: FlatLayouts, entries: I64) -> Runs:
    """The wanted columns of blocks of frames."""
    layouts = entries[:, slab_words.LAYOUT]
    if len(entries) and int(layouts.max()) >= flat.seen:
        entries = entries[layouts < flat.seen]
        layouts = entries[:, slab_words.LAYOUT]
    sizes = flat.size[layouts]
    if not sizes.all():
        entries, layouts, sizes = entries[sizes > 0], layouts[sizes > 0], sizes[sizes > 0]
    place = np.repeat(flat.start[layouts], sizes) + counted(sizes)
    entry_of = np.repeat(np.arange(len(entries)), sizes)
    return Runs(entries, entry_of, flat.columns[place], flat.positions[place])


def runs_of_rosters(
    roster_of: Callable[[AnySlab, I64], tuple[I64, I64]], slab: PackedSlab, entries: I64
) -> Runs:
    """The wanted columns of blocks of rosters; *roster_of* tells those of one, and their
    positions."""
    found = [roster_of(slab, entry) for entry in entries]
    none = [np.empty(0, np.int64)]
    return Runs(
        entries,
        np.repeat(np.arange(len(entries)), [len(columns) for columns, _ in found]),
        np.concatenate(none + [columns for columns, _ in found]),
        np.concatenate(none + [positions for _, positions in found]),
    )


def gather_packed(slab: PackedSlab, runs: Runs, start: int, end: int, gathering: Gathering) -> None:
    """Add samples in (start, end]."""
    if not len(runs.columns):
        return
    low = slab.rows_until(runs.entries, start)
    size = slab.rows_until(runs.entries, end) - low
    if not size.all():
        runs, low, size = runs.of(size > 0), low[size > 0], size[size > 0]
        if not len(runs.columns):
            return
    steps = np.minimum(np.arange(int(size.max())), size[:, None] - 1)
    at = runs.entries[:, slab_words.OFFSET] // 8 + low
    times = slab.words[at[:, None] + steps]
    values = slab.table(runs.entries, runs.columns, runs.entry_of, low, size)
    gathering.add_table(runs.positions, runs.entry_of, times, size, values)


def last_packed(slab: PackedSlab, runs: Runs, start: int, end: int) -> tuple[I64, Times, Values]:
    """The last sample in (start, end] of each run that has one: positions, times, values."""
    row = slab.rows_until(runs.entries, end) - 1
    stamps = slab.words[runs.entries[:, slab_words.OFFSET] // 8 + np.maximum(row, 0)]
    kept = (row >= 0) & (stamps > start)
    runs, row, stamps = runs.of(kept), row[kept], stamps[kept]
    values = slab.table(runs.entries, runs.columns, runs.entry_of, row, np.ones_like(row))
    return runs.positions, stamps[runs.entry_of], values.reshape(-1)
