"""Packed slabs: older rows of the head, some bytes each instead of eight, read where they lie.

A stretch of a generation (rows of all layouts from some seconds) is packed once no row can come to
it any more, and its slabs go. The rows of a series become one run: the lowest number, and how far
above it each value is, in the fewest of 1, 2, 4 or 8 bytes that hold all of them (none where they
are all the same). Numbers are those of the tile's codec: decimals as integers where that is exact,
any other values by their bits. So any value is found by its place, without unpacking others; one
metric of all hosts is a handful of operations. Little-endian, all parts begin at multiples of 8:

    0     magic "VZPACK1\\0" · i64 generation · blocks · bytes · place · replaced · series
          · wide ordinals (0 or 1) · large numbers · then where parts begin: replaced · directory
          · places · kinds · ordinals · bases · large · planes of 1, 2, 4, 8 bytes · zeros to 256
    then  replaced: i64 places of the slabs that this one stands for
          directory: entries as in a slab; its word for the capacity is the entry's own number
          places: per block i64 first series · first element in each of four planes · names
          kinds: u8 per series (scale, plane, whether its lowest number is a large one)
          ordinals: u16 or u32 per series: which run of its block in its plane
          bases: i32 per series, the lowest number, or which of the large ones (i64) it is
          times and names of blocks; a roster's names: i64 runs, then for each its first column
          and series
          planes

It is written under another name and renamed, so that readers find all of it or nothing; until then
they have the slabs that it stands for, and afterwards they leave those out.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Times, Values
from vezha.store import slab as slab_words
from vezha.store.slab import (
    CAPACITY,
    COUNT,
    HIGHEST,
    LAYOUT,
    LOWEST,
    OFFSET,
    WIDTH,
    Directory,
    Slab,
)

I64 = npt.NDArray[np.int64]
MAGIC = b"VZPACK1\0"
HEAD_BYTES = 256
PLANE_TYPES = (np.uint8, np.uint16, np.uint32, np.uint64)
PLACE_WORDS = 6
FIRST_SERIES, FIRST_ELEMENT, NAMES = 0, 1, 5
LARGE, PLANE_SHIFT, SCALE = 0x40, 3, 0x07
BITS = 7
SCALES = (0, 1, 2, 3, 4, 6)
_POWERS = np.array([10.0**s for s in SCALES] + [1.0] * (BITS + 1 - len(SCALES)))
(
    H_MAGIC, H_GENERATION, H_BLOCKS, H_BYTES, H_PLACE, H_REPLACED, H_SERIES, H_WIDE, H_LARGE,
    H_AT_REPLACED, H_AT_DIRECTORY, H_AT_PLACES, H_AT_KINDS, H_AT_ORDINALS, H_AT_BASES,
    H_AT_LARGE, H_AT_PLANES,
) = range(17)  # fmt: skip


class PackedSlab:
    """One mapped file that never changes. Read like a `Slab` whose blocks are all in order."""

    def __init__(self, path: str, memory: mmap.mmap) -> None:
        self.path = path
        self.memory = memory
        self._words = np.frombuffer(memory, np.int64, len(memory) // 8)
        head = self._words[: HEAD_BYTES // 8].tolist()
        blocks, series = head[H_BLOCKS], head[H_SERIES]
        self.generation: int = head[H_GENERATION]
        self.place: int = head[H_PLACE]
        self.replaces = frozenset(self._part(head[H_AT_REPLACED], head[H_REPLACED]).tolist())
        self._directory = self._part(head[H_AT_DIRECTORY], 8 * blocks).reshape(blocks, 8)
        self.lowest = int(self._directory[:, LOWEST].min()) if blocks else 0
        self.highest = int(self._directory[:, HIGHEST].max()) if blocks else 0
        self._places = self._part(head[H_AT_PLACES], PLACE_WORDS * blocks).reshape(blocks, -1)
        self._kinds = np.frombuffer(memory, np.uint8, series, head[H_AT_KINDS])
        wide = np.uint32 if head[H_WIDE] else np.uint16
        self._ordinals = np.frombuffer(memory, wide, series, head[H_AT_ORDINALS])
        self._bases = np.frombuffer(memory, np.int32, series, head[H_AT_BASES])
        self._large = self._part(head[H_AT_LARGE], head[H_LARGE])
        ends = [*head[H_AT_PLANES + 1 : H_AT_PLANES + 4], head[H_BYTES]]
        self._planes = [
            np.frombuffer(memory, kind, (end - at) // np.dtype(kind).itemsize, at)
            for kind, at, end in zip(PLANE_TYPES, head[H_AT_PLANES:], ends, strict=False)
        ]

    def _part(self, at: int, count: int) -> I64:
        return self._words[at // 8 : at // 8 + count]

    @staticmethod
    def create(path: str, parts: list[bytes]) -> PackedSlab:
        """Write a new one, to be seen at once as a whole. Raises OSError if there is no room."""
        unfinished = Path(f"{path}.new")
        try:
            with open(unfinished, "wb", opener=_private) as file:
                file.writelines(parts)
                size = file.tell()
            with unfinished.open("rb") as file:
                memory = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
            unfinished.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        return PackedSlab(path, memory)

    def directory(self) -> Directory:
        """The entries, int64[blocks, 8], as in a slab; not to be changed."""
        return self._directory

    @property
    def words(self) -> I64:
        """The whole slab as int64."""
        return self._words

    def times(self, entry: Directory) -> Times:
        """Times [count] of a block."""
        return self._part(int(entry[OFFSET]), int(entry[COUNT]))

    def rows_until(self, entries: Directory, end: int) -> I64:
        """How many rows of each block are at or before a time."""
        if end < self.lowest:
            return np.zeros(len(entries), np.int64)
        counts: I64 = entries[:, COUNT].copy()
        if end >= self.highest:
            return counts
        between = np.flatnonzero(entries[:, HIGHEST] > end)
        if len(between):
            steps = np.minimum(np.arange(int(counts[between].max())), counts[between, None] - 1)
            times = self._words[entries[between, OFFSET, None] // 8 + steps]
            counts[between] = np.count_nonzero(times <= end, axis=1)
        return counts

    def roster(self, entry: Directory) -> Refs:
        """The series of a roster's block, int64[width]."""
        at = int(self._places[int(entry[CAPACITY]), NAMES]) // 8
        runs, width = int(self._words[at]), int(entry[WIDTH])
        columns, refs = self._words[at + 1 : at + 1 + 2 * runs].reshape(2, runs)
        named: Refs = np.repeat(refs - columns, np.diff(columns, append=width)) + np.arange(width)
        return named

    def table(self, entries: Directory, columns: I64, entry_of: I64, low: I64, rows: I64) -> Values:
        """Runs of values, float64[len(columns), longest], each padded by its last: run i is of
        column `columns[i]` of block `entries[entry_of[i]]`, `rows[e]` rows from `low[e]` on."""
        numbers = entries[:, CAPACITY]
        places, counts = self._places[numbers], entries[:, COUNT]
        series = places[entry_of, FIRST_SERIES] + columns
        kinds = self._kinds[series]
        found = self._bases[series].astype(np.int64)
        large = np.flatnonzero(kinds & LARGE)
        if len(large):
            found[large] = self._large[found[large]]
        longest = int(rows.max()) if len(rows) else 0
        steps = np.arange(longest)
        if len(rows) and int(rows.min()) < longest:
            steps = np.minimum(steps, rows[:, None] - 1)
        table = np.empty((len(series), longest), np.int64)
        table[:] = found[:, None]
        planes = (kinds >> PLANE_SHIFT) & 7
        for plane, data in enumerate(self._planes):
            mine = np.flatnonzero(planes == plane + 1)
            if not len(mine):
                continue
            entry = entry_of[mine]
            first = places[entry, FIRST_ELEMENT + plane] + low[entry]
            first += self._ordinals[series[mine]] * counts[entry]
            which = first[:, None] + (steps if steps.ndim == 1 else steps[entry])
            table[mine] += data[which].view(np.int64) if plane == 3 else data[which]
        scales = kinds & SCALE
        values = table.astype(np.float64)
        if scales.any():
            values /= _POWERS[scales][:, None]
            bits = np.flatnonzero(scales == BITS)
            if len(bits):
                values.view(np.int64)[bits] = table[bits]
        return values

    def pieces(self, entries: Directory) -> Iterator[tuple[int, Times, Values]]:
        """(layout, times [count], values [width, count]) of blocks of frames."""
        widths, counts = entries[:, WIDTH], entries[:, COUNT]
        ends = np.cumsum(widths)
        entry_of = np.repeat(np.arange(len(entries)), widths)
        columns = np.arange(int(ends[-1])) - np.repeat(ends - widths, widths)
        values = self.table(entries, columns, entry_of, np.zeros(len(entries), np.int64), counts)
        for entry, end in zip(entries, ends.tolist(), strict=True):
            rows = slice(end - int(entry[WIDTH]), end)
            yield int(entry[LAYOUT]), self.times(entry), values[rows, : int(entry[COUNT])]

    def columns(self, entry: Directory, columns: slice | I64) -> Values:
        """All rows of some columns of a block, float64[columns, count]."""
        if isinstance(columns, slice):
            columns = np.arange(int(entry[WIDTH]))[columns]
        none = np.zeros(len(columns), np.int64)
        return self.table(entry[None, :], columns, none, none[:1], entry[None, COUNT])

    def unlink(self) -> None:
        """Remove the name; maps stay valid until they are dropped."""
        Path(self.path).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


AnySlab = Slab | PackedSlab


def attach(path: str) -> AnySlab | None:
    """Map another process's slab for reading; None if it is not ready yet. Raises
    FileNotFoundError where it is gone."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if size < HEAD_BYTES:
            return None
        memory = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
    if memory[:8] == MAGIC:
        return PackedSlab(path, memory)
    if memory[:8] == slab_words.MAGIC and size >= slab_words.DATA_AT:
        return Slab(path, memory)
    memory.close()
    return None


def snapshot(slabs: Sequence[AnySlab]) -> list[tuple[AnySlab, Directory]]:
    """The slabs in use, oldest first, with their directories as of about now.

    The newest is looked at first: whatever was written before a row that is seen, is seen.
    """
    used = [(s.generation, s.place, s) for s in slabs if s.place]
    used.sort(key=lambda u: u[:2], reverse=True)
    found = [(slab, slab.directory()) for _, _, slab in used]
    found.reverse()
    return found
