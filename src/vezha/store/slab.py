"""Slabs: pieces of shared memory that hold the head, written by one process, read by any.

A slab is a file that is mapped into memory, best on a memory file system. Little-endian:

    0      magic "VZSLAB1\\0" · i64 generation · i64 blocks in use · i64 bytes in use
           · i64 place in its generation (0: not in use yet) · zeros
    64     directory: SLAB_BLOCKS_MAX entries of 8 x i64:
           layout (-1: loose samples; below: a roster, which names its series itself) · offset · capacity (rows) · width (series) · count (rows)
           · lowest ts · highest ts · 1 if a row is not newer than the row before it
    then   blocks: i64 ts[capacity], then float64 values[capacity][width];
           a roster's block: then i64 ref[width];
           a loose block: i64 ts[capacity], i64 ref[capacity], float64 value[capacity]

The writer fills a row, then the times in the directory, then raises `count`; a reader copies
the directory first and believes only rows below `count`. Rows never change, so no lock is needed
(x86-64 keeps stores in order; elsewhere the interpreter's own atomics between the two stores do).
Slabs vanish by unlink when their samples are packed (`packed`) or in tiles; a reader's map of one
stays valid.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Times, Values
from vezha.store.limits import SLAB_BLOCKS_MAX

MAGIC = b"VZSLAB1\0"
LOOSE = -1
_ROSTER_FIRST = -2
HIDDEN = ".spare"
"""What the name of a slab that is not in use yet ends with."""
_HEAD_WORDS = 8
_ENTRY_WORDS = 8
DATA_AT = 8 * (_HEAD_WORDS + _ENTRY_WORDS * SLAB_BLOCKS_MAX)
LAYOUT, OFFSET, CAPACITY, WIDTH, COUNT, LOWEST, HIGHEST, DISORDER = range(8)
_NO_LOW = (1 << 63) - 1
_NO_HIGH = -(1 << 63)

Directory = npt.NDArray[np.int64]


def roster_layout(number: int) -> int:
    """The layout that blocks of a roster name."""
    return _ROSTER_FIRST - number


def block_bytes(capacity: int, width: int, layout: int = LOOSE) -> int:
    """Room that a block takes (a loose block has width 2)."""
    return 8 * capacity * (1 + width) + (8 * width if layout < LOOSE else 0)


@dataclass(slots=True)
class Block:
    """Rows of a layout as their writer sees them. It names places in its slab, as words, rather
    than holding arrays: a frame finds its block cold, and each object on the way costs a miss."""

    words: memoryview[int]
    doubles: memoryview[float]
    base: int
    ts_at: int
    values_at: int
    width: int
    capacity: int
    count: int = 0
    highest: int = _NO_HIGH
    lowest: int = _NO_LOW

    def append(self, ts_ms: int, values: Values) -> None:
        """Add a row, float64[width], aligned; there must be room."""
        row, width = self.count, self.width
        words, base = self.words, self.base
        words[self.ts_at + row] = ts_ms
        at = self.values_at + row * width
        self.doubles[at : at + width] = values  # type: ignore[call-overload]  # it is a buffer
        if ts_ms > self.highest:
            words[base + HIGHEST] = self.highest = ts_ms
            if row == 0:
                words[base + LOWEST] = self.lowest = ts_ms
        else:
            words[base + DISORDER] = 1
            if ts_ms < self.lowest:
                words[base + LOWEST] = self.lowest = ts_ms
        self.count = words[base + COUNT] = row + 1


@dataclass(slots=True)
class LooseBlock:
    """Loose samples as their writer sees them, three columns [capacity]."""

    refs: Refs
    ts: Times
    values: Values
    words: memoryview[int]
    base: int
    capacity: int
    count: int = 0
    highest: int = _NO_HIGH
    lowest: int = _NO_LOW

    def extend(self, refs: Refs, ts: Times, values: Values) -> None:
        """Add samples; there must be room."""
        row, end = self.count, self.count + len(refs)
        self.ts[row:end] = ts
        self.refs[row:end] = refs
        self.values[row:end] = values
        words, base = self.words, self.base
        self.lowest = words[base + LOWEST] = min(self.lowest, int(ts.min()))
        self.highest = words[base + HIGHEST] = max(self.highest, int(ts.max()))
        words[base + DISORDER] = 1
        self.count = words[base + COUNT] = end


class Slab:
    """One mapped file. `create` is for the writer, `attach` for readers."""

    def __init__(self, path: str, memory: mmap.mmap) -> None:
        self.path = path
        self.memory = memory
        self._words = np.frombuffer(memory, np.int64, len(memory) // 8)
        self._cells = memoryview(memory).cast("q")
        self._doubles = memoryview(memory).cast("d")
        self.generation = int(self._words[1])

    @staticmethod
    def create(path: str, generation: int, data_bytes: int) -> Slab:
        """A new slab with room for *data_bytes*, hidden until it begins. Raises OSError if there is
        none."""
        path += HIDDEN
        size = DATA_AT + data_bytes
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
            if hasattr(os, "posix_fallocate"):
                # real pages now, or an error here; never a bus error in the middle of a write
                os.posix_fallocate(fd, 0, size)
            # mapped as a whole, so that a frame need not wait for its page to be found
            memory = mmap.mmap(fd, size, mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
        except OSError:
            with contextlib.suppress(OSError):
                Path(path).unlink()
            raise
        finally:
            os.close(fd)
        memory[8:16] = generation.to_bytes(8, "little")
        memory[24:32] = DATA_AT.to_bytes(8, "little")
        memory[:8] = MAGIC
        slab = Slab(path, memory)
        slab.generation = generation
        return slab

    def add_block(
        self, layout: int, capacity: int, width: int, refs: Refs | None = None
    ) -> Block | None:
        """Reserve a block of rows; None if it does not fit. *refs* are the series of a roster's."""
        reserved = self._reserve(layout, capacity, width, refs)
        if reserved is None:
            return None
        base, at = reserved
        return Block(self._cells, self._doubles, base, at, at + capacity, width, capacity)

    def add_loose(self, capacity: int) -> LooseBlock | None:
        """Reserve a block of loose samples; None if it does not fit."""
        reserved = self._reserve(LOOSE, capacity, 2)
        if reserved is None:
            return None
        base, at = reserved
        ts, refs, values = self._words[at : at + 3 * capacity].reshape(3, capacity)
        return LooseBlock(refs, ts, values.view(np.float64), self._cells, base, capacity)

    def _reserve(
        self, layout: int, capacity: int, width: int, refs: Refs | None = None
    ) -> tuple[int, int] | None:
        """Where a new block's entry begins, and its data: places of words."""
        words = self._cells
        used, at = words[2], words[3]
        if used == SLAB_BLOCKS_MAX or at + block_bytes(capacity, width, layout) > len(self.memory):
            return None
        base = _HEAD_WORDS + used * _ENTRY_WORDS
        for word, value in (
            (LAYOUT, layout), (OFFSET, at), (CAPACITY, capacity), (WIDTH, width), (COUNT, 0),
            (LOWEST, _NO_LOW), (HIGHEST, _NO_HIGH), (DISORDER, 0),
        ):  # fmt: skip
            words[base + word] = value
        if layout < LOOSE:
            assert refs is not None
            named = (at + block_bytes(capacity, width)) // 8
            self._words[named : named + width] = refs
        words[3] = at + block_bytes(capacity, width, layout)
        words[2] = used + 1
        return base, at // 8

    def begin(self, place: int, generation: int, path: str) -> None:
        """The generation uses this slab from now on, as its *place*th (from 1), at *path*.

        Readers do not see it before: one that knew this slab already, but not yet another that began
        earlier, would see later rows without earlier ones.
        """
        self._cells[1] = self.generation = generation
        self._cells[4] = place
        Path(self.path).rename(path)
        self.path = path

    @property
    def place(self) -> int:
        """Its place among the slabs of its generation, 0 if it is not in use."""
        return int(self._words[4])

    def bytes_used(self) -> int:
        """Room that its blocks take."""
        return int(self._words[3]) - DATA_AT

    def has_room(self, data_bytes: int) -> bool:
        """Whether a block of that size fits."""
        return int(self._words[3]) + data_bytes <= len(self.memory)

    def fill_ratio(self) -> float:
        """How much of it is reserved by blocks."""
        used, at = int(self._words[2]), int(self._words[3])
        return max(used / SLAB_BLOCKS_MAX, at / len(self.memory))

    def directory(self) -> Directory:
        """A copy of the entries in use, int64[blocks, 8]."""
        used = int(self._words[2])
        flat = self._words[_HEAD_WORDS : _HEAD_WORDS + used * _ENTRY_WORDS]
        return flat.reshape(used, _ENTRY_WORDS).copy()

    @property
    def words(self) -> npt.NDArray[np.int64]:
        """The whole slab as int64."""
        return self._words

    def rows(self, entry: Directory) -> tuple[Times, Values]:
        """Times [count] and values [count, width] of a block of frames."""
        offset, capacity, width, count = (int(entry[i]) for i in (OFFSET, CAPACITY, WIDTH, COUNT))
        at = offset // 8
        ts = self._words[at : at + count]
        start = at + capacity
        values = self._words[start : start + count * width].view(np.float64)
        return ts, values.reshape(count, width)

    def times(self, entry: Directory) -> Times:
        """Times [count] of a block."""
        at = int(entry[OFFSET]) // 8
        return self._words[at : at + int(entry[COUNT])]

    def pieces(self, entries: Directory) -> Iterator[tuple[int, Times, Values]]:
        """(layout, times [count], values [width, count]) of blocks of frames."""
        for entry in entries:
            ts, values = self.rows(entry)
            yield int(entry[LAYOUT]), ts, values.T

    def columns(self, entry: Directory, columns: slice | npt.NDArray[np.int64]) -> Values:
        """All rows of some columns of a block, float64[columns, count]."""
        return self.rows(entry)[1][:, columns].T

    def loose(self, entry: Directory) -> tuple[Refs, Times, Values]:
        """Columns [count] of a loose block."""
        at, capacity, count = int(entry[OFFSET]) // 8, int(entry[CAPACITY]), int(entry[COUNT])
        words = self._words
        return (
            words[at + capacity : at + capacity + count],
            words[at : at + count],
            words[at + 2 * capacity : at + 2 * capacity + count].view(np.float64),
        )

    def roster(self, entry: Directory) -> Refs:
        """The series of a roster's block, int64[width]."""
        capacity, width = int(entry[CAPACITY]), int(entry[WIDTH])
        at = int(entry[OFFSET]) // 8 + capacity * (1 + width)
        return self._words[at : at + width]

    def unlink(self) -> None:
        """Remove the name; maps stay valid until they are dropped."""
        Path(self.path).unlink(missing_ok=True)
