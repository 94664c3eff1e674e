"""The head: the newest samples, in shared memory, one generation after another.

A generation begins with a WAL segment and ends when its samples are in tiles. Frames of one
layout (a schema on a host) fill blocks [time][series], so that taking one in is one copy;
samples from elsewhere go to loose blocks of three columns. Once a stretch of rows has become large
it ends, and is packed while the next one fills (see `packed`). `HeadSet` is what readers see: the
slabs of every generation that is not in tiles yet, oldest first.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from vezha.model.columns import Refs, Times, Values
from vezha.store.limits import (
    BLOCK_BYTES_MIN,
    BLOCK_ROWS_FIRST,
    BLOCK_ROWS_MAX,
    BLOCK_ROWS_MIN,
    LOOSE_ROWS_FIRST,
    LOOSE_ROWS_MAX,
    RELIST_MAX,
    ROSTER_BLOCK_BYTES_MAX,
    ROSTER_ROWS_MIN,
    SLAB_BYTES,
    SLAB_BYTES_FIRST,
    SLAB_BYTES_MIN,
    STRETCH_BYTES_MIN,
    STRETCH_ROWS,
)
from vezha.store.listing import Listing
from vezha.store.packed import AnySlab, PackedSlab, attach
from vezha.store.packing import pack_slabs
from vezha.store.slab import HIDDEN, LOOSE, Block, LooseBlock, Slab, block_bytes
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
    block: Block | None = None
    rows_before: int = BLOCK_ROWS_FIRST
    rows_now: int = 0
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = len(self.refs)


@dataclass(slots=True)
class Frozen:
    """A generation that is being written as tiles, and what its end means for recovery."""

    head: Head
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


@dataclass(slots=True)
class _Stretch:
    """Rows of some seconds: slabs that are packed together, and who writes to them. `bytes_used`
    are of all their blocks, `row_bytes` of one row of each of the layouts."""

    slabs: list[Slab] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)
    bytes_used: int = 0
    row_bytes: int = 0

    def is_over(self, rows: int) -> bool:
        """Whether it is worth packing, now that a layout needs more than these rows."""
        enough = max(STRETCH_BYTES_MIN, STRETCH_ROWS * self.row_bytes)
        if rows < STRETCH_ROWS:  # others have taken their share already
            enough *= 2
        return self.bytes_used >= enough

    def let_go(self) -> None:
        """Have its layouts begin new blocks with their next rows."""
        for layout in self.layouts:
            assert layout.block is not None
            layout.rows_before = layout.rows_now - layout.block.capacity + layout.block.count
            layout.block = None


class Head:
    """The generation that takes samples in now."""

    def __init__(self, folder: str, fallback: str, generation: int) -> None:
        self.folder = folder
        self._fallback = fallback
        self.generation = generation
        self.slabs: list[AnySlab] = []
        """All in use, oldest first; replaced as a whole, for any thread may look through it."""
        self._reserved = 0
        self._saved = 0
        self._spares: list[Slab] = []
        self._lock = threading.Lock()
        self._ended = False
        self._places = 0
        self._usual_bytes = 0
        self._stretch = _Stretch()
        self._over: deque[list[Slab]] = deque()
        self._loose_slabs: list[Slab] = []
        self._loose: LooseBlock | None = None

    def write_frame(self, layout: Layout, ts_ms: int, values: Values) -> None:
        """Take a frame, or a roster's row in. `values` float64[len(layout.refs)]."""
        block = layout.block
        if block is None or block.count == block.capacity:
            block = self._next_block(layout)
        block.append(ts_ms, values)

    def _next_block(self, layout: Layout) -> Block:
        """A block with room. If there is none to be had, the layout stays as it was."""
        if layout.block is not None and self._stretch.is_over(layout.rows_now):
            self._end_stretch()
        stretch = self._stretch
        follows = layout.block is not None
        width = layout.width
        row_bytes = 8 * (1 + width)
        # the first of a stretch is small: all are reserved at once, while what was before is still
        # being packed; then as many again
        rows = layout.rows_now if follows else layout.rows_before // 4
        if follows and rows < STRETCH_ROWS:
            rows = min(rows, STRETCH_ROWS - rows)
        if layout.id < LOOSE:
            rows = min(rows, ROSTER_BLOCK_BYTES_MAX // row_bytes)
            rows = max(rows, ROSTER_ROWS_MIN)
        rows = min(max(rows, BLOCK_ROWS_MIN, BLOCK_BYTES_MIN // row_bytes), BLOCK_ROWS_MAX)
        size = block_bytes(rows, width, layout.id)
        block = self._in_slab(
            stretch.slabs,
            self._slab_bytes(),
            size,
            lambda s: s.add_block(layout.id, rows, width, layout.refs),
        )
        if follows:
            layout.rows_now += rows
        else:
            stretch.layouts.append(layout)
            stretch.row_bytes += row_bytes
            layout.rows_now = rows
        stretch.bytes_used += size
        layout.block = block
        return block

    def _end_stretch(self) -> None:
        """What is written from now on goes to other slabs, so that these can be packed."""
        over, self._stretch = self._stretch, _Stretch()
        over.let_go()
        self._usual_bytes = over.bytes_used
        self._over.append(over.slabs)

    def _slab_bytes(self) -> int:
        """Size of the next slab for rows: no more than this stretch will need if it is like the one
        before."""
        left = self._usual_bytes - self._stretch.bytes_used
        if left > 0:
            return min(max(left, SLAB_BYTES_MIN), SLAB_BYTES)
        return SLAB_BYTES if self._usual_bytes or self._stretch.slabs else SLAB_BYTES_FIRST

    def write_loose(self, refs: Refs, ts: Times, values: Values) -> None:
        """Take samples in, three columns of equal length."""
        done = 0
        while done < len(refs):
            block = self._loose
            if block is None or block.count == block.capacity:
                rows = LOOSE_ROWS_FIRST if block is None else 4 * block.capacity
                rows = min(max(rows, len(refs) - done), LOOSE_ROWS_MAX)
                block = self._loose = self._in_slab(
                    self._loose_slabs,
                    min(SLAB_BYTES, SLAB_BYTES_MIN << len(self._loose_slabs)),
                    block_bytes(rows, 2),
                    partial(Slab.add_loose, capacity=rows),
                )
            part = slice(done, done + min(len(refs) - done, block.capacity - block.count))
            block.extend(refs[part], ts[part], values[part])
            done = part.stop

    def _in_slab(
        self, slabs: list[Slab], new: int, size: int, add: Callable[[Slab], AnyBlock | None]
    ) -> AnyBlock:
        """What *add* made in the last of *slabs* or, of *size* bytes, in the next, which has *new*
        bytes or more."""
        block = add(slabs[-1]) if slabs else None
        if block is None:
            slab = None
            with self._lock:
                if self._spares and slabs is self._stretch.slabs and self._spares[0].has_room(size):
                    slab = self._spares.pop(0)
            if slab is None:
                slab = self._new_slab(max(size, new))
            slabs.append(slab)
            with self._lock:
                self.slabs = [*self.slabs, slab]
                self._places += 1
            slab.begin(self._places, self.generation, self._next_path(str(Path(slab.path).parent)))
            block = add(slab)
        assert block is not None
        self._reserved += size
        return block

    @property
    def bytes_used(self) -> int:
        """Memory of all blocks, packed ones as such."""
        return self._reserved - self._saved

    def _next_path(self, folder: str) -> str:
        return f"{folder}/{self.generation:012d}-{next(_slab_numbers):09d}.slab"

    def _new_slab(self, size: int) -> Slab:
        for folder in (self.folder, self._fallback):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return Slab.create(self._next_path(folder), self.generation, size)
            except OSError:
                if folder == self._fallback:
                    raise
        raise AssertionError

    def prepare(self) -> None:
        """Have a slab ready, so that the loop does not wait for pages. From any thread."""
        if self._spares or self._ended:
            return
        slab = self._new_slab(self._slab_bytes() if self.needs_spare() else SLAB_BYTES_FIRST)
        with self._lock:
            if self._ended:
                slab.unlink()
            else:
                self._spares.append(slab)

    def needs_spare(self) -> bool:
        """Whether the slab in use is half full. While there is something to pack, memory is short."""
        slabs = self._stretch.slabs
        return bool(slabs) and not self._over and slabs[-1].fill_ratio() > 0.5

    def needs_packing(self) -> bool:
        """Whether a stretch is over."""
        return bool(self._over)

    def pack(self) -> int:
        """Pack the stretches that are over; how many samples were there already. From one thread at
        a time, any. Raises OSError; what is not packed then stays as it is."""
        duplicates = 0
        while self._over:
            slabs = self._over[0]
            parts, doubled = pack_slabs(slabs, slabs[0].place)
            packed = self._new_packed(slabs, parts)
            duplicates += doubled
            self._saved += sum(slab.bytes_used() for slab in slabs) - sum(map(len, parts))
            with self._lock:
                at = self.slabs.index(slabs[0])
                kept = [slab for slab in self.slabs[at:] if slab not in slabs]
                self.slabs = [*self.slabs[:at], packed, *kept]
            self._over.popleft()
            for slab in slabs:
                slab.unlink()
        return duplicates

    def _new_packed(self, slabs: list[Slab], parts: list[bytes]) -> PackedSlab:
        # readers look through our own folder first, and must not miss both
        if all(Path(slab.path).parent == Path(self.folder) for slab in slabs):
            with contextlib.suppress(OSError):
                return PackedSlab.create(self._next_path(self.folder), parts)
        Path(self._fallback).mkdir(mode=0o700, parents=True, exist_ok=True)
        return PackedSlab.create(self._next_path(self._fallback), parts)

    def freeze(self, following: Head | None = None) -> None:
        """End this generation: nothing is added to its slabs any more. What it had ready goes to the
        *following* one."""
        with self._lock:
            self._ended = True
            spares, self._spares = self._spares, []
        if following is not None:
            following._spares, following._usual_bytes = spares, self._usual_bytes
        else:
            for slab in spares:
                slab.unlink()
        self._stretch.let_go()
        self._stretch = _Stretch()

    def unlink(self) -> None:
        """Take away all slabs."""
        self._over.clear()
        for slab in self.slabs:
            slab.unlink()


class HeadSet:
    """Slabs in other processes' folders, mapped as they come and dropped as they go."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._slabs: dict[str, AnySlab] = {}
        self._listings = [Listing(folder) for folder in folders]

    def slabs(self) -> list[AnySlab]:
        """Every slab there is now, oldest first; each sample is in one of them only."""
        for _ in range(RELIST_MAX):
            found, whole = self._look()
            if whole:
                break
        self._slabs = found
        replaced = {
            (slab.generation, place)
            for slab in found.values()
            if isinstance(slab, PackedSlab)
            for place in slab.replaces
        }
        left = [
            slab
            for slab in found.values()
            if isinstance(slab, PackedSlab) or (slab.generation, slab.place) not in replaced
        ]
        return sorted(left, key=lambda slab: (slab.generation, slab.place))

    def _look(self) -> tuple[dict[str, AnySlab], bool]:
        """Slabs by path; and whether none went meanwhile, which may have been packed into one that
        was not there yet."""
        found: dict[str, AnySlab] = {}
        whole = True
        for listing in self._listings:
            for name in listing.names():
                path = f"{listing.folder}/{name}"
                if not name.endswith(".slab") or path in found:
                    continue
                try:
                    slab = self._slabs.get(path) or attach(path)
                except FileNotFoundError:
                    whole = False
                    continue
                if slab is not None:
                    found[path] = slab
        return found, whole


_OWNER = "owner"
_SUFFIXES = (".slab", HIDDEN, ".new")


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
        return [str(path) for path in Path(folder).iterdir() if path.suffix in _SUFFIXES]
    except FileNotFoundError:
        return []


def empty_columns() -> tuple[Refs, Times, Values]:
    """Three columns without samples."""
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
