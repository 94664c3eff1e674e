"""The head: the newest samples, in shared memory, one generation after another.

A generation begins with a WAL segment and ends when its samples are in tiles. Frames of one
layout (a schema on a host) fill blocks [time][series], so that taking one in is one copy;
samples from elsewhere go to loose blocks of three columns. `HeadSet` is what readers see: the
slabs of every generation that is not in tiles yet, oldest first.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from vezha.model.columns import Refs, Times, Values
from vezha.store.limits import (
    BLOCK_ROWS_FIRST,
    BLOCK_ROWS_MAX,
    BLOCK_ROWS_MIN,
    LOOSE_ROWS_FIRST,
    LOOSE_ROWS_MAX,
    ROSTER_BLOCK_BYTES_MAX,
    ROSTER_ROWS_MIN,
    SLAB_BYTES,
    SLAB_BYTES_FIRST,
)
from vezha.store.listing import Listing
from vezha.store.slab import LOOSE, Block, LooseBlock, Slab, block_bytes
from vezha.wire.ranges import Ranges

AnyBlock = TypeVar("AnyBlock", Block, LooseBlock)
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a folder of ours in it, 0700
_SHARED_FREE_MIN = 16 * SLAB_BYTES


@dataclass(slots=True, eq=False)
class Layout:
    """Where the values of one schema on one host go: `refs[i]` is the series of value i."""

    id: int
    refs: Refs
    source: str = ""
    generation: int = -1
    block: Block | None = None
    rows_before: int = BLOCK_ROWS_FIRST
    rows_now: int = 0
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = len(self.refs)


@dataclass(slots=True)
class Frozen:
    """A generation that is being written as tiles, and what its end means for recovery."""

    generation: int
    slabs: list[Slab]
    segment: int
    progress: dict[int, Ranges] = field(default_factory=dict)


def head_folder(store_path: str, setting: str) -> str:
    """The folder for slabs of the store at *store_path*."""
    if setting:
        return setting
    shared = Path(_SHARED_MEMORY)
    with contextlib.suppress(OSError):
        stat = os.statvfs(shared)
        if stat.f_bavail * stat.f_frsize >= _SHARED_FREE_MIN and os.access(shared, os.W_OK):
            name = hashlib.sha256(str(Path(store_path).resolve()).encode()).hexdigest()[:16]
            return str(shared / f"vezha-{os.getuid()}-{name}")
    return str(Path(store_path) / "head")


_slab_numbers = itertools.count()
"""One count for all heads of the process, so that no two slabs ever share a name."""


class Head:
    """The generation that takes samples in now."""

    def __init__(
        self, folder: str, fallback: str, generation: int, *, follows: bool = False
    ) -> None:
        """*follows* says that another one came before, so that its layouts' sizes are known."""
        self.folder = folder
        self.follows = follows
        self._fallback = fallback
        self.generation = generation
        self.slabs: list[Slab] = []
        self.bytes_used = 0
        self._spares: list[Slab] = []
        self._second_half = False
        self._spare_lock = threading.Lock()
        self._ended = False
        self._loose: LooseBlock | None = None

    def write_frame(self, layout: Layout, ts_ms: int, values: Values) -> None:
        """Take a frame, or a roster's row in. `values` float64[len(layout.refs)]."""
        block = layout.block
        if block is None or layout.generation != self.generation or block.count == block.capacity:
            block = self._next_block(layout)
        block.append(ts_ms, values)

    def _next_block(self, layout: Layout) -> Block:
        """A block with room. If there is none to be had, the layout stays as it was."""
        rows_now = 0
        if layout.generation == self.generation:
            rows = rows_now = layout.rows_now  # as many again
        else:
            if layout.block is not None:
                layout.rows_before = layout.rows_now - layout.block.capacity + layout.block.count
            # half of what the last generation needed: while it is being written as tiles, the
            # next one shall not take as much memory again
            rows = layout.rows_before // 2 + 2
        width = layout.width
        if layout.id < LOOSE:
            rows = min(rows, ROSTER_BLOCK_BYTES_MAX // (8 * (1 + width)))
            rows = min(max(rows, ROSTER_ROWS_MIN), BLOCK_ROWS_MAX)
        else:
            rows = min(max(rows, BLOCK_ROWS_MIN), BLOCK_ROWS_MAX)
        size = block_bytes(rows, width, layout.id)
        block = self._in_slab(size, lambda s: s.add_block(layout.id, rows, width, layout.refs))
        layout.block, layout.generation = block, self.generation
        layout.rows_now = rows_now + rows
        return block

    def write_loose(self, refs: Refs, ts: Times, values: Values) -> None:
        """Take samples in, three columns of equal length."""
        done = 0
        while done < len(refs):
            block = self._loose
            if block is None or block.count == block.capacity:
                rows = LOOSE_ROWS_FIRST if block is None else 4 * block.capacity
                rows = min(max(rows, len(refs) - done), LOOSE_ROWS_MAX)
                block = self._loose = self._in_slab(
                    block_bytes(rows, 2), partial(Slab.add_loose, capacity=rows)
                )
            part = slice(done, done + min(len(refs) - done, block.capacity - block.count))
            block.extend(refs[part], ts[part], values[part])
            done = part.stop

    def _in_slab(self, size: int, add: Callable[[Slab], AnyBlock | None]) -> AnyBlock:
        """What *add* made in the slab in use or, of *size* bytes, in the next."""
        block = add(self.slabs[-1]) if self.slabs else None
        if block is None:
            with self._spare_lock:
                spare = self._spares.pop(0) if self._spares else None
            if spare is not None:
                self._begin(spare)
                block = add(spare)
        if block is None:
            slab = self._new_slab(max(size, SLAB_BYTES if self.slabs else SLAB_BYTES_FIRST))
            self._begin(slab)
            block = add(slab)
        assert block is not None
        self.bytes_used += size
        return block

    def _begin(self, slab: Slab) -> None:
        self.slabs.append(slab)
        slab.begin(len(self.slabs))

    def _new_slab(self, size: int) -> Slab:
        name = f"{self.generation:012d}-{next(_slab_numbers):09d}.slab"
        for folder in (self.folder, self._fallback):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return Slab.create(f"{folder}/{name}", self.generation, size)
            except OSError:
                if folder == self._fallback:
                    raise
        raise AssertionError

    def prepare(self, spares: int) -> None:
        """Have slabs ready, so that the loop does not wait for pages. From any thread."""
        while len(self._spares) < spares and not self._ended:
            first = not self.slabs and not self._spares and spares == 1
            slab = self._new_slab(SLAB_BYTES_FIRST if first else SLAB_BYTES)
            with self._spare_lock:
                if self._ended:
                    slab.unlink()
                else:
                    self._spares.append(slab)

    def prepare_second_half(self) -> None:
        """Have slabs ready for when all blocks are full at once. From any thread."""
        if not self._second_half:
            self._second_half = True
            self.prepare(len(self.slabs))

    def needs_spare(self) -> bool:
        """Whether the slab in use is half full."""
        slabs = self.slabs
        return bool(slabs) and slabs[-1].fill_ratio() > 0.5

    def freeze(self) -> list[Slab]:
        """End this generation: its slabs, without those that were not used."""
        with self._spare_lock:
            self._ended = True
            for slab in self._spares:
                slab.unlink()
            self._spares = []
        return self.slabs


class HeadSet:
    """Slabs in other processes' folders, mapped as they come and dropped as they go."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._slabs: dict[str, Slab] = {}
        self._listings = [Listing(folder) for folder in folders]

    def slabs(self) -> list[Slab]:
        """Every slab there is now, oldest generation first."""
        found: dict[str, Slab] = {}
        named: list[tuple[str, str]] = []
        for listing in self._listings:
            for name in listing.names():
                path = f"{listing.folder}/{name}"
                if name.endswith(".slab") and path not in found:
                    slab = self._slabs.get(path) or Slab.attach(path)
                    if slab is not None:
                        found[path] = slab
                        named.append((name, path))
        self._slabs = found
        return [found[path] for _, path in sorted(named)]


_OWNER = "owner"


def claim_folder(folder: str, store_path: str) -> None:
    """Begin with an empty folder that says whose it is; remove those of stores that are gone.

    A store that was killed leaves its slabs behind. It takes them away when it is opened again;
    if its folder was deleted instead, the next store to open does.
    """
    clear_folder(folder)
    own = Path(folder)
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    (own / _OWNER).write_text(str(Path(store_path).resolve()))
    for other in own.parent.glob(f"vezha-{os.getuid()}-*"):
        with contextlib.suppress(OSError):
            if not Path((other / _OWNER).read_text()).exists():
                release_folder(str(other))


def release_folder(folder: str) -> None:
    """Remove a folder of slabs."""
    clear_folder(folder)
    with contextlib.suppress(OSError):
        Path(folder, _OWNER).unlink(missing_ok=True)
        Path(folder).rmdir()


def clear_folder(folder: str) -> None:
    """Remove the slabs of a former life."""
    for path in _slab_paths(folder):
        Path(path).unlink(missing_ok=True)


def _slab_paths(folder: str) -> list[str]:
    try:
        return [str(path) for path in Path(folder).iterdir() if path.suffix == ".slab"]
    except FileNotFoundError:
        return []


def empty_columns() -> tuple[Refs, Times, Values]:
    """Three columns without samples."""
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
