"""Packing: the rows of slabs that nothing is added to any more become one packed slab.

Some columns at a time, so that it takes little memory. Rows are put in order here: what came late
within a stretch is sorted in, and of equal times the first stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Refs, Times, Values
from vezha.store import packed as at
from vezha.store.limits import PACKED_CELLS
from vezha.store.packed import (
    BITS,
    FIRST_ELEMENT,
    HEAD_BYTES,
    LARGE,
    MAGIC,
    PLANE_SHIFT,
    PLANE_TYPES,
    SCALES,
)
from vezha.store.slab import LOOSE, OFFSET, Slab

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_MINUS_ZERO = np.iinfo(np.int64).min
_EXACT_MAX = float(1 << 53)
_THRESHOLDS = np.array([0, 1 << 8, 1 << 16, 1 << 32], np.uint64)


@dataclass(slots=True)
class _Rows:
    """Rows of a layout: `blocks` are (times, values [time, series]) in the order in which they came
    in, `count` rows in all; `refs` where it is a roster."""

    layout: int
    width: int
    blocks: list[tuple[Times, Values]]
    count: int
    refs: Refs | None
    highest: int
    ordered: bool

    def put_in_order(self) -> int:
        """Sort by time where that is needed; how many samples were there already."""
        if self.ordered:
            return 0
        ts = np.concatenate([ts for ts, _ in self.blocks])
        values = np.concatenate([values for _, values in self.blocks])
        order = np.argsort(ts, kind="stable")
        ts = ts[order]
        keep = np.ones(len(ts), np.bool_)
        keep[1:] = ts[1:] != ts[:-1]
        self.blocks, self.count = [(ts[keep], values[order[keep]])], int(np.count_nonzero(keep))
        return int(np.count_nonzero(~keep)) * self.width


@dataclass(slots=True)
class _Parts:
    """What is packed so far."""

    directory: list[tuple[int, ...]] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)
    kinds: list[bytes] = field(default_factory=list)
    ordinals: list[I64] = field(default_factory=list)
    bases: list[bytes] = field(default_factory=list)
    large: list[int] = field(default_factory=list)
    stamps: list[I64] = field(default_factory=list)
    planes: list[list[bytes]] = field(default_factory=lambda: [[] for _ in PLANE_TYPES])
    elements: list[int] = field(default_factory=lambda: [0 for _ in PLANE_TYPES])
    series: int = 0
    words: int = 0
    duplicates: int = 0


def pack_slabs(slabs: Sequence[Slab], place: int) -> tuple[list[bytes], int]:
    """The bytes of a packed slab at *place* of its generation that stands for *slabs*, and how
    many samples were there already."""
    parts = _Parts()
    for together in _alike(_rows_of(slabs, parts)):
        _add(parts, together)
    return _joined(parts, slabs, place), parts.duplicates


def _rows_of(slabs: Sequence[Slab], parts: _Parts) -> list[_Rows]:
    found: dict[int, _Rows] = {}
    for slab in slabs:
        words, doubles = slab.words, slab.words.view(np.float64)
        for entry in slab.directory().tolist():
            layout, offset, capacity, width, count, lowest, highest, disorder = entry
            if not count:
                continue
            at = offset // 8
            first = at + capacity
            values = doubles[first : first + count * width].reshape(count, width)
            rows = found.get(layout)
            if rows is None:
                refs = slab.roster(np.array(entry, np.int64)) if layout < LOOSE else None
                rows = found[layout] = _Rows(layout, width, [], 0, refs, lowest - 1, True)
            rows.ordered &= not disorder and lowest > rows.highest
            rows.highest = max(rows.highest, highest)
            rows.blocks.append((words[at : at + count], values))
            rows.count += count
    for rows in found.values():
        parts.duplicates += rows.put_in_order()
    return list(found.values())


def _alike(rows: list[_Rows]) -> Iterator[list[_Rows]]:
    """Layouts with as many rows, some at a time."""
    together: list[_Rows] = []
    cells = 0
    for one in sorted(rows, key=lambda r: r.count):
        size = one.count * one.width
        if together and (one.count != together[0].count or cells + size > PACKED_CELLS):
            yield together
            together, cells = [], 0
        together.append(one)
        cells += size
    if together:
        yield together


def _add(parts: _Parts, together: list[_Rows]) -> None:
    """Add blocks with as many rows each: all at once, or one in pieces if it is wide."""
    count = together[0].count
    starts: list[int] = []
    width = 0
    for one in together:
        starts.append(width)
        named = 8 * (parts.words + count)
        parts.directory.append(
            (one.layout, 8 * parts.words, len(parts.directory), one.width, count,
             int(one.blocks[0][0][0]), int(one.blocks[-1][0][-1]), 0)
        )  # fmt: skip
        parts.places.append([parts.series + width, *parts.elements, named])
        stamps = [ts for ts, _ in one.blocks]
        if one.refs is not None:
            stamps.append(_names(one.refs))
        parts.stamps += stamps
        parts.words += sum(map(len, stamps))
        width += one.width
    some = max(1, PACKED_CELLS // count)
    begins = np.array(starts, np.int64)
    if len(together) > 1 or width <= some:
        values = np.empty((count, width))
        for one, start in zip(together, starts, strict=True):
            _fill(values[:, start : start + one.width], one, slice(None))
        _add_runs(parts, values, begins)
        return
    elements = list(parts.elements)
    for first in range(0, width, some):
        values = np.empty((count, min(some, width - first)))
        _fill(values, together[0], slice(first, first + some))
        _add_runs(parts, values, begins, elements)


def _fill(values: Values, rows: _Rows, columns: slice) -> None:
    row = 0
    for ts, block in rows.blocks:
        values[row : row + len(ts)] = block[:, columns]
        row += len(ts)


def _add_runs(parts: _Parts, values: Values, starts: I64, begin: list[int] | None = None) -> None:
    """Add series `values` [count, series]: of blocks that start at *starts*, or of one block
    whose elements began at *begin*."""
    count, series = values.shape
    scales, numbers = _numbers(values)
    lowest = numbers.min(axis=0)
    numbers -= lowest
    above = numbers.view(np.uint64)
    most = above.max(axis=0)
    classes = np.searchsorted(_THRESHOLDS, most, side="right").astype(np.uint8)
    classes[most == 0] = 0
    small = (lowest >= -(1 << 31)) & (lowest < 1 << 31)
    kinds = scales | (classes << PLANE_SHIFT)
    bases = lowest
    if not small.all():
        kinds[~small] |= LARGE
        large = lowest[~small]
        bases[~small] = np.arange(len(parts.large), len(parts.large) + len(large))
        parts.large += large.tolist()
    ordinals = np.zeros(series, np.int64)
    for plane, kind in enumerate(PLANE_TYPES):
        mine = classes == plane + 1
        before = np.cumsum(mine) - mine
        if begin is None:
            firsts = before[starts]
            before -= np.repeat(firsts, np.diff(starts, append=series))
            firsts = parts.elements[plane] + firsts * count
            for place, first in zip(parts.places[-len(starts) :], firsts.tolist(), strict=True):
                place[FIRST_ELEMENT + plane] = first
        else:
            before += (parts.elements[plane] - begin[plane]) // count
        which = np.flatnonzero(mine)
        if len(which):
            ordinals[which] = before[which]
            # of little-endian numbers the low bytes are a narrower number
            low = above.view(kind)[:, which * (8 // np.dtype(kind).itemsize)]
            parts.planes[plane].append(low.T.tobytes())
            parts.elements[plane] += len(which) * count
    parts.kinds.append(kinds.tobytes())
    parts.ordinals.append(ordinals)
    parts.bases.append(bases.astype(np.int32).tobytes())
    parts.series += series


def _numbers(values: Values) -> tuple[U8, I64]:
    """Series [count, series] as integers, and which of the scales each has, or `BITS`."""
    bits = values.view(np.int64)
    scales = np.full(values.shape[1], BITS, np.uint8)
    numbers = bits.copy()
    probe = values[[0, len(values) // 2, -1]]
    left = np.arange(values.shape[1])
    for number, scale in enumerate(SCALES):
        likely = _scaled_up(np.take(probe, left, axis=1), scale)[1]
        candidates = left[likely]
        if not len(candidates):
            continue
        whole, fits = _scaled_up(np.take(values, candidates, axis=1), scale)
        good = candidates[fits]
        if len(good):
            numbers[:, good] = whole[:, fits]
            scales[good] = number
            left = left[scales[left] == BITS]
            if not len(left):
                break
    zero = (bits == _MINUS_ZERO).any(axis=0)  # equal to zero, but not the same
    if zero.any():
        scales[zero], numbers[:, zero] = BITS, bits[:, zero]
    return scales, numbers


def _scaled_up(values: Values, scale: int) -> tuple[Values, Mask]:
    """Values times 10**scale, as whole numbers; and which series these stand for exactly."""
    power = 10.0**scale
    with np.errstate(over="ignore", invalid="ignore"):
        whole = np.rint(values * power if scale else values)
        exact = ((whole / power if scale else whole) == values).all(axis=0)
        exact &= (whole.max(axis=0) < _EXACT_MAX) & (whole.min(axis=0) > -_EXACT_MAX)
    return whole, exact


def _names(refs: Refs) -> I64:
    """The series of a roster as runs of neighbours."""
    columns = np.flatnonzero(np.diff(refs, prepend=refs[0] - 2) != 1)
    return np.concatenate([[len(columns)], columns, refs[columns]]).astype(np.int64)


def _joined(parts: _Parts, slabs: Sequence[Slab], place: int) -> list[bytes]:
    ordinals = np.concatenate(parts.ordinals) if parts.ordinals else np.empty(0, np.int64)
    wide = len(ordinals) > 0 and int(ordinals.max()) > 0xFFFF
    directory: I64 = np.array(parts.directory, np.int64).reshape(-1, 8)
    places: I64 = np.array(parts.places, np.int64).reshape(-1, at.PLACE_WORDS)
    replaced = np.array(sorted(slab.place for slab in slabs), np.int64)
    stamps = np.concatenate(parts.stamps) if parts.stamps else np.empty(0, np.int64)
    pieces: list[list[bytes]] = [
        [replaced.tobytes()],
        [],
        [],
        parts.kinds,
        [ordinals.astype(np.uint32 if wide else np.uint16).tobytes()],
        parts.bases,
        [np.array(parts.large, np.int64).tobytes()],
        *parts.planes,
        [stamps.tobytes()],
    ]
    sizes = [sum(map(len, piece)) for piece in pieces]
    sizes[1], sizes[2] = directory.nbytes, places.nbytes
    begins = [HEAD_BYTES]
    for size in sizes:
        begins.append(-(-(begins[-1] + size) // 8) * 8)
    directory[:, OFFSET] += begins[-2]
    places[:, at.NAMES] += begins[-2]
    pieces[1], pieces[2] = [directory.tobytes()], [places.tobytes()]
    head = np.zeros(HEAD_BYTES // 8, np.int64)
    head[0] = int.from_bytes(MAGIC, "little")
    head[1 : 1 + 8] = (
        slabs[0].generation, len(directory), begins[-2], place, len(replaced), parts.series,
        wide, len(parts.large),
    )  # fmt: skip
    head[at.H_AT_REPLACED : at.H_AT_REPLACED + len(begins) - 2] = begins[:-2]
    return [head.tobytes(), *_padded(pieces, sizes)]


def _padded(pieces: Iterable[list[bytes]], sizes: Iterable[int]) -> Iterator[bytes]:
    for piece, size in zip(pieces, sizes, strict=True):
        yield from piece
        if size % 8:
            yield bytes(8 - size % 8)
