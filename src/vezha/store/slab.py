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
Slabs vanish by unlink when their samples are in tiles; a reader's map of one stays valid.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Times, Values
from vezha.store.limits import SLAB_BLOCKS_MAX

MAGIC = b"VZSLAB1\0"
LOOSE = -1
_ROSTER_FIRST = -2
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
    """A block as its writer sees it. `values` is [capacity, width]; loose: ref and value."""

    ts: Times
    values: Values
    refs: Refs | None
    words: memoryview
    base: int
    capacity: int
    count: int = 0
    highest: int = _NO_HIGH
    lowest: int = _NO_LOW

    def append(self, ts_ms: int, values: Values) -> None:
        """Add a row; there must be room."""
        row = self.count
        self.ts[row] = ts_ms
        self.values[row] = values
        words, base = self.words, self.base
        if ts_ms > self.highest:
            words[base + HIGHEST] = self.highest = ts_ms
            if row == 0:
                words[base + LOWEST] = self.lowest = ts_ms
        else:
            words[base + DISORDER] = 1
            if ts_ms < self.lowest:
                words[base + LOWEST] = self.lowest = ts_ms
        self.count = words[base + COUNT] = row + 1

    def extend_loose(self, refs: Refs, ts: Times, values: Values) -> None:
        """Add loose samples; there must be room."""
        assert self.refs is not None
        row, end = self.count, self.count + len(refs)
        self.ts[row:end] = ts
        self.refs[row:end] = refs
        self.values[row:end, 0] = values
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
        self.generation = int(self._words[1])

    @staticmethod
    def create(path: str, generation: int, data_bytes: int) -> Slab:
        """A new slab with room for *data_bytes*. Raises OSError if there is none."""
        size = DATA_AT + data_bytes
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
            if hasattr(os, "posix_fallocate"):
                # real pages now, or an error here; never a bus error in the middle of a write
                os.posix_fallocate(fd, 0, size)
            memory = mmap.mmap(fd, size)
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

    @staticmethod
    def attach(path: str) -> Slab | None:
        """Map another process's slab for reading; None if it is gone or not ready yet."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(fd).st_size
            if size < DATA_AT:
                return None
            memory = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        if memory[:8] != MAGIC:
            memory.close()
            return None
        return Slab(path, memory)

    def add_block(
        self, layout: int, capacity: int, width: int, refs: Refs | None = None
    ) -> Block | None:
        """Reserve a block; None if it does not fit. *refs* are the series of a roster's."""
        words = memoryview(self.memory).cast("q")
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
            named = np.frombuffer(self.memory, np.int64, width, at + block_bytes(capacity, width))
            named[:] = refs
        words[3] = at + block_bytes(capacity, width, layout)
        words[2] = used + 1
        ts = np.frombuffer(self.memory, np.int64, capacity, at)
        at += 8 * capacity
        if layout == LOOSE:
            refs = np.frombuffer(self.memory, np.int64, capacity, at)
            values = np.frombuffer(self.memory, np.float64, capacity, at + 8 * capacity)
            return Block(ts, values.reshape(-1, 1), refs, words, base, capacity)
        values = np.frombuffer(self.memory, np.float64, capacity * width, at)
        return Block(ts, values.reshape(capacity, width), None, words, base, capacity)

    def begin(self, place: int) -> None:
        """The generation uses this slab from now on, as its *place*th (from 1)."""
        memoryview(self.memory).cast("q")[4] = place

    @property
    def place(self) -> int:
        """Its place among the slabs of its generation, 0 if it is not in use."""
        return int(self._words[4])

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

    @staticmethod
    def snapshot(slabs: list[Slab]) -> list[tuple[Slab, Directory]]:
        """The slabs in use, oldest first, with their directories as of about now.

        The newest is looked at first: whatever was written before a row that is seen, is seen.
        """
        used = [(s.generation, s.place, s) for s in slabs if s.place]
        used.sort(key=lambda u: u[:2], reverse=True)
        found = [(slab, slab.directory()) for _, _, slab in used]
        found.reverse()
        return found

    def rows(self, entry: Directory) -> tuple[Times, Values]:
        """Times [count] and values [count, width] of a block of frames."""
        offset, capacity, width, count = (int(entry[i]) for i in (OFFSET, CAPACITY, WIDTH, COUNT))
        at = offset // 8
        ts = self._words[at : at + count]
        start = at + capacity
        values = self._words[start : start + count * width].view(np.float64)
        return ts, values.reshape(count, width)

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
