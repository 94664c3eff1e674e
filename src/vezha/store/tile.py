"""The codec of tiles: rows of samples of several series, packed together, bit-exact.

A tile holds R rows (one series each) in G groups (rows of one group share their times). Values
are coded per row and stored by significance across rows:

1. A row whose values are all the same 64 bits keeps only those (`CONST`).
2. Values that cannot be numbers on a line (NaN of any payload, infinities, -0.0) are set aside
   with their places; the row goes on with the value before them.
3. A row of decimal numbers, value == integer / 10**scale exactly, goes on as these integers;
   any other row goes on as its bits read as int64. Both wrap around like machine integers.
4. Differences of neighbours; trailing zero bits that all differences share are shifted out;
   zigzag (sign in the lowest bit).
5. Rows are sorted by the bytes that their largest difference needs; plane p holds byte p of
   all rows that need it. Everything goes into ONE zstd frame, which thus sees like by like.

`docs/reference/formats/tiles.md` gives the bytes; `tests/unit/store/test_tile.py` the proofs.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from vezha.model.columns import Refs, Times, Values
from vezha.store.errors import StoreCorrupt
from vezha.store.limits import (
    KEPT_CELLS_MAX,
    MARK_COLUMNS,
    MARKED_CELLS_MAX,
    TILE_BYTES_MAX,
    TILE_ROWS_MAX,
)

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

MAGIC = b"VT1\0"
_HEAD = struct.Struct("<4sIIIIII")
# magic, rows, groups, columns, exceptions, bytes of the times, bytes of the body
_KIND_CONST = 0x80
_KIND_BITS = 0x40
_SCALES = (0, 1, 2, 3, 4, 6)
_POWERS = np.array([10.0**s for s in range(16)])
_EXACT_MAX = float(1 << 53)
_EXPONENT = 0x7FF << 52
_MINUS_ZERO = np.iinfo(np.int64).min
_NONE = np.empty(0, np.int64)
_PROBE = 8
_TIME_TABLES = 2_048
_FITS_KEPT = 4
_local = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)
        _local.decompressor = zstandard.ZstdDecompressor()
    compressor: zstandard.ZstdCompressor = _local.compressor
    return compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    _compressor()
    decompressor: zstandard.ZstdDecompressor = _local.decompressor
    return decompressor


def _split(integers: I64 | U64) -> bytes:
    """Bytes by significance: all lowest bytes first. Any shape, flattened."""
    flat = np.ascontiguousarray(integers).reshape(-1)
    return flat.view(np.uint8).reshape(-1, 8).T.tobytes()


def _joined(body: memoryview, at: int, count: int) -> tuple[I64, int]:
    end = at + 8 * count
    if end > len(body):
        raise StoreCorrupt("a tile's body is too short")
    planes = np.frombuffer(body[at:end], np.uint8).reshape(8, count)
    return np.ascontiguousarray(planes.T).reshape(-1).view(np.int64), end


def _deltas(numbers: I64) -> I64:
    """The first, and the differences of neighbours; around like machine integers."""
    deltas = numbers.copy()
    deltas[1:] -= numbers[:-1]
    return deltas


@dataclass(frozen=True, slots=True)
class TimeTable:
    """Times of some groups and their bytes; packed once, used by every tile of these groups."""

    times: list[Times]
    packed: bytes

    @staticmethod
    def of(times: list[Times]) -> TimeTable:
        """`times[g]` int64[T_g] ms, strictly increasing."""
        counts = np.array([len(t) for t in times], np.int64)
        starts = np.array([t[0] for t in times], np.int64)
        steps = np.zeros(len(times), np.int64)
        odd_times: list[bytes] = []
        for g, t in enumerate(times):
            if len(t) > 1:
                gaps = np.diff(t)
                if (gaps == gaps[0]).all():
                    steps[g] = gaps[0]
                else:
                    odd_times.append(_split(gaps))
        parts = [_split(counts), _split(_deltas(starts)), _split(steps), *odd_times]
        return TimeTable(times, b"".join(parts))


@dataclass(frozen=True, slots=True)
class GroupTimes:
    """The times of a tile's groups: `each[g]` int64[T_g]; first and last times, int64[G]; and
    the step of groups that tick evenly, 0 for others."""

    each: list[Times]
    firsts: I64
    lasts: I64
    steps: I64
    counts: I64
    regular: bool
    first: int
    last: int
    whole: Times

    def table(self, columns: int) -> Times:
        """The first *columns* times of each group, int64[G, columns], padded; not to be changed."""
        if columns <= self.whole.shape[1]:
            return self.whole[:, :columns]
        return np.pad(self.whole, ((0, 0), (0, columns - self.whole.shape[1])), mode="edge")

    def bounds(self, group: int, start: int, end: int) -> tuple[int, int]:
        """Which times of a group lie in (start, end]: from one to below the other."""
        if self.regular:
            first, step = int(self.firsts[group]), max(int(self.steps[group]), 1)
            count = int(self.counts[group])
            low, high = (start - first) // step + 1, (end - first) // step + 1
            return min(max(low, 0), count), min(max(high, 0), count)
        low, high = np.searchsorted(self.each[group], (start, end), "right").tolist()
        return low, high

    def until(self, edges: Times) -> I64:
        """How many times of each group are at or before each edge: int64[G, edges]."""
        if self.regular:
            # one division instead of a search in every group
            inside = (edges[None, :] - self.firsts[:, None]) // np.maximum(self.steps, 1)[:, None]
            inside += 1
            np.maximum(inside, 0, out=inside)
            np.minimum(inside, self.counts[:, None], out=inside)
            return inside
        found = np.empty((len(self.each), len(edges)), np.int64)
        for g, times in enumerate(self.each):
            found[g] = np.searchsorted(times, edges, "right")
        return found


@lru_cache(_TIME_TABLES)
def _unpacked_times(packed: bytes, groups: int, columns: int) -> GroupTimes:
    body = memoryview(packed)
    counts, at = _joined(body, 0, groups)
    delta_starts, at = _joined(body, at, groups)
    steps, at = _joined(body, at, groups)
    starts = np.cumsum(delta_starts)
    if ((counts < 1) | (counts > columns)).any():
        raise StoreCorrupt("a tile's group is too long")
    longest = int(counts.max())
    table = starts[:, None] + steps[:, None] * np.arange(longest, dtype=np.int64)
    for group in np.flatnonzero((counts > 1) & (steps == 0)).tolist():
        count = int(counts[group])
        gaps, at = _joined(body, at, count - 1)
        table[group, 1:count] = starts[group] + np.cumsum(gaps)
    times = [table[group, :count] for group, count in enumerate(counts.tolist())]
    if at != len(body):
        raise StoreCorrupt("a tile's times do not fit")
    lasts = np.array([t[-1] for t in times], np.int64)
    even = bool(((steps > 0) | (counts == 1)).all())
    low, high = int(starts.min()), int(lasts.max())
    return GroupTimes(times, starts, lasts, steps, counts, even, low, high, table)


def encode(refs: Refs, groups: npt.NDArray[np.int64], times: TimeTable, values: Values) -> bytes:
    """Pack rows.

    `refs` int64[R] names the series of each row; `groups` int64[R] says whose times of the table
    a row has; `values` float64[R, T] with T at least the longest of these: a shorter row is
    padded at its end by repeating its last value.
    """
    rows, columns = values.shape
    assert 0 < rows <= TILE_ROWS_MAX
    assert columns > 0
    assert len(refs) == len(groups) == rows
    values = np.ascontiguousarray(values)
    bits = values.view(np.int64)
    kinds = np.zeros(rows, np.uint8)
    widths = np.zeros(rows, np.uint8)
    shifts = np.zeros(rows, np.uint8)
    const = (bits == bits[:, :1]).all(axis=1)
    kinds[const] = _KIND_CONST
    firsts = bits[:, 0].copy()
    planes: list[bytes] = []
    places, exceptions = _NONE, _NONE
    live = np.flatnonzero(~const)
    if len(live):
        plain = values[live]
        places, exceptions = _set_aside(plain, live, columns)
        scales, numbers = _numbers(plain)
        kinds[live] = scales
        firsts[live] = numbers[:, 0]
        zigzags, shifts[live], widths[live] = _zigzags(numbers)
        planes = _planes(zigzags, widths[live])
    body = b"".join(
        [
            _split(_deltas(refs)),
            _split(_deltas(groups)),
            times.packed,
            kinds.tobytes(),
            widths.tobytes(),
            shifts.tobytes(),
            _split(firsts),
            _split(_deltas(places)),
            _split(exceptions),
            *planes,
        ]
    )
    counts = (rows, len(times.times), columns, len(places), len(times.packed), len(body))
    head = _HEAD.pack(MAGIC, *counts)
    return head + _compressor().compress(body)


def _set_aside(plain: Values, live: I64, columns: int) -> tuple[I64, I64]:
    """Replace odd values in *plain* (in place); their places in the tile and their bits."""
    bits = plain.view(np.int64)
    odd = ((bits & _EXPONENT) == _EXPONENT) | (bits == _MINUS_ZERO)
    touched = np.flatnonzero(odd.any(axis=1))
    if not len(touched):
        return _NONE, _NONE
    part = odd[touched]
    row, column = np.nonzero(part)
    places = live[touched[row]] * columns + column
    bits = plain[touched[row], column].view(np.int64)
    # the place of the last ordinary value at or before each place, or of the first one
    usable = np.where(part, -1, np.arange(columns))
    last = np.maximum.accumulate(usable, axis=1)
    first = np.where(part.all(axis=1), 0, (~part).argmax(axis=1))
    last = np.where(last < 0, first[:, None], last)
    filled = np.take_along_axis(plain[touched], last, axis=1)
    filled[part.all(axis=1)] = 0.0
    plain[touched] = filled
    return places.astype(np.int64), np.ascontiguousarray(bits)


def _numbers(plain: Values) -> tuple[U8, I64]:
    """Rows as int64, and each row's kind: its scale, or `_KIND_BITS`."""
    kinds = np.full(len(plain), _KIND_BITS, np.uint8)
    numbers = plain.view(np.int64).copy()
    stride = max(1, plain.shape[1] // _PROBE)
    probe = plain[:, ::stride]
    left = np.arange(len(plain))
    for scale in _SCALES:
        likely = _scaled_up(probe[left], scale)[1]
        if not likely.any():
            continue
        candidates = left[likely]
        whole, fits = _scaled_up(plain[candidates], scale)
        good = candidates[fits]
        if len(good):
            numbers[good] = whole[fits]  # whole numbers, so that storing them makes them integers
            kinds[good] = scale
            left = left[kinds[left] == _KIND_BITS]
            if not len(left):
                break
    return kinds, numbers


def _scaled_up(values: Values, scale: int) -> tuple[Values, Mask]:
    """Values times 10**scale, as whole numbers; and which rows these stand for exactly."""
    with np.errstate(over="ignore"):
        whole = np.rint(values * _POWERS[scale] if scale else values)
    back = whole / _POWERS[scale] if scale else whole
    exact = (back == values).all(axis=1)
    exact &= (whole.max(axis=1) < _EXACT_MAX) & (whole.min(axis=1) > -_EXACT_MAX)
    return whole, exact


def _zigzags(numbers: I64) -> tuple[U64, U8, U8]:
    """Zigzag differences uint64[R, T-1], the bits shifted out and the bytes needed, by row."""
    deltas = numbers[:, 1:] - numbers[:, :-1]
    merged = np.bitwise_or.reduce(deltas, axis=1)
    lowest = merged & -merged  # a power of two, or 0, or the sign bit alone
    shifts = np.zeros(len(numbers), np.uint8)
    some = lowest != 0
    shifts[some] = np.log2(lowest[some].view(np.uint64).astype(np.float64)).astype(np.uint8)
    deltas >>= shifts[:, None].astype(np.int64)
    zigzags = ((deltas << 1) ^ (deltas >> 63)).view(np.uint64)
    needed = np.bitwise_or.reduce(zigzags, axis=1)
    thresholds = np.array([1 << (8 * k) for k in range(8)], np.uint64)
    widths: U8 = np.asarray(np.searchsorted(thresholds, needed, side="right")).astype(np.uint8)
    return zigzags, shifts, widths


def _planes(zigzags: U64, widths: U8) -> list[bytes]:
    order = np.argsort(-widths.astype(np.int8), kind="stable")
    ordered = widths[order]
    octets = zigzags[order].view(np.uint8).reshape(len(order), -1, 8)
    return [
        octets[: int(np.count_nonzero(ordered > p)), :, p].tobytes() for p in range(int(ordered[0]))
    ]


class Fit(NamedTuple):
    """The wanted series of a tile: its rows, their positions, and the group of all of them, -1
    where they are of several."""

    rows: I64
    positions: I64
    group: int


class Way(NamedTuple):
    """What adds up to the values of some rows in one column: a number that is known, and bytes by
    significance of the differences from there on, which are of equal width in all of them."""

    firsts: I64
    part: list[U8]
    shifts: U8
    kinds: U8


@dataclass(slots=True)
class Tile:
    """An opened tile: everything but the values is unpacked.

    `refs` int64[R], `groups` int64[R]; `clock` has the groups' times. Rows come out cheapest in
    the order of `ordered`.
    """

    refs: Refs
    groups: I64
    clock: GroupTimes
    columns: int
    size_bytes: int
    _kinds: U8
    _widths: U8
    _shifts: U8
    _firsts: I64
    _places: I64
    _exceptions: I64
    _body: memoryview
    _planes_at: int
    _rank: I64
    _counts: list[int]
    _fits: list[tuple[Refs, Fit]] = field(default_factory=list)
    _used: bool = False
    _unpacked: Values | None = None
    _marks: I64 | None = None

    @property
    def times(self) -> list[Times]:
        """`times[g]` int64[T_g] of each group."""
        return self.clock.each

    def table(self, columns: int) -> Times:
        """The first *columns* times of each group, int64[G, columns]; padded by anything."""
        return self.clock.table(columns)

    def rows_of(self, wanted: Refs, positions_of: Callable[[Refs], I64]) -> Fit:
        """The series *wanted* that are in here, in the order in which rows unpack best;
        remembered for the selections that were here last."""
        for known, fit in self._fits:
            if known is wanted:
                return fit
        positions = positions_of(self.refs)
        rows = np.flatnonzero(positions >= 0)
        rows = rows[np.argsort(self._rank[rows], kind="stable")]
        groups = self.groups[rows]
        one = len(rows) > 0 and bool((groups == groups[0]).all())
        fit = Fit(rows, positions[rows], int(groups[0]) if one else -1)
        self._fits = [(wanted, fit), *self._fits[: _FITS_KEPT - 1]]
        return fit

    def values(self, rows: I64, until: int | None = None, since: int = 0) -> Values:
        """Values of *rows* (indices), float64[len(rows), columns], padded as they were given;
        with *since* and *until* only those of the columns from one to below the other."""
        until = self.columns if until is None else until
        kept = self._kept()
        if kept is not None:
            return kept[rows, since:until]
        numbers = self._numbers(rows, until, since)
        values = self._scaled(rows, numbers)
        if len(self._places):
            self._put_back(rows, values, since)
        return values

    def picked(self, rows: I64, places: I64) -> Values:
        """Values of *rows* at some columns: *places* is [len(rows), n], or [n] where they are the
        same for all rows; the answer is [len(rows), n]."""
        each = places.ndim == 2
        kept = self._kept()
        if kept is not None:
            found: Values = kept[rows[:, None], places]
            return found
        since, until = (int(places.min()), int(places.max()) + 1) if places.size else (0, 1)
        places = places - since
        if len(self._places):
            values = self.values(rows, until, since)
            return np.take_along_axis(values, places, axis=1) if each else values[:, places]
        numbers = self._numbers(rows, until, since)
        numbers = np.take_along_axis(numbers, places, axis=1) if each else numbers[:, places]
        return self._scaled(rows, np.ascontiguousarray(numbers))

    def _kept(self) -> Values | None:
        """All values, once a small tile is used again: finding them costs more than they do."""
        if self._unpacked is None and self._used and _is_small(len(self.refs), self.columns):
            rows = np.argsort(self._rank, kind="stable")
            values = np.empty((len(rows), self.columns))
            values[rows] = self._scaled(rows, self._numbers(rows, self.columns))
            if len(self._places):
                self._put_back(np.arange(len(rows)), values)
            self._unpacked = values
        self._used = True
        return self._unpacked

    def _numbers(self, rows: I64, until: int, since: int = 0) -> I64:
        """Numbers of rows in the columns [since, until), int64[len(rows), until - since]."""
        # differences add up from the nearest column before *since* of which the numbers are known
        mark = since // MARK_COLUMNS
        if mark and rows.size:
            marks = self._marked(mark)
            firsts = marks[rows, mark]
        else:
            firsts = self._firsts[rows]
        begin = mark * MARK_COLUMNS
        return self._from(rows, firsts, begin, until)[:, since - begin :]

    def _marked(self, mark: int) -> I64:
        """The numbers of all rows in every `MARK_COLUMNS`-th column, at least up to the *mark*-th,
        int64[rows, n]; remembered."""
        known = self._marks
        if known is None or known.shape[1] <= mark:
            rows = np.argsort(self._rank, kind="stable")
            until = mark * MARK_COLUMNS + 1
            marks = np.empty((len(rows), mark + 1), np.int64)
            # some rows at a time: a long tile's numbers take much more room than its differences
            some = max(1, MARKED_CELLS_MAX // until)
            for at in range(0, len(rows), some):
                part = rows[at : at + some]
                marks[part] = self._from(part, self._firsts[part], 0, until)[:, ::MARK_COLUMNS]
            known = self._marks = marks
        return known

    def _from(self, rows: I64, firsts: I64, since: int, until: int) -> I64:
        """Numbers of rows in [since, until), of which those in the first column are *firsts*."""
        columns = until - since
        widths = self._widths[rows]
        if columns == 1 or not widths.any():
            return np.repeat(firsts[:, None], columns, axis=1)
        kinds = np.unique(widths)
        if len(kinds) == 1:
            return self._summed(rows, firsts, int(kinds[0]), since, columns)
        numbers = np.empty((len(rows), columns), np.int64)
        for width in kinds.tolist():
            # rows in their best order: those of one width are neighbours
            at = np.flatnonzero(widths == width)
            part = slice(int(at[0]), int(at[-1]) + 1)
            whole = part.stop - part.start == len(at)
            here = rows[part] if whole else rows[at]
            first = firsts[part] if whole else firsts[at]
            if not width:
                found = np.broadcast_to(first[:, None], (len(at), columns))
            else:
                found = self._summed(here, first, width, since, columns)
            numbers[part if whole else at] = found
        return numbers

    def _summed(self, rows: I64, firsts: I64, width: int, since: int, columns: int) -> I64:
        """Rows whose differences take *width* bytes each."""
        numbers = np.empty((len(rows), columns), np.int64)
        numbers[:, 0] = firsts
        numbers[:, 1:] = self._differences(rows, width, since, columns - 1)
        shifts = self._shifts[rows]
        if shifts.any():
            numbers[:, 1:] <<= shifts[:, None].astype(np.int64)
        return np.cumsum(numbers, axis=1, out=numbers)

    def _differences(
        self, rows: I64, width: int, since: int, count: int
    ) -> npt.NDArray[np.signedinteger]:
        """*count* differences from that after column *since* on, in the smallest integers that
        hold them."""
        rank = self._rank[rows]
        ordered = bool((np.diff(rank) == 1).all())
        return differences(self._part(rank, width, since, count, ordered))

    def _part(self, rank: I64, width: int, since: int, count: int, ordered: bool) -> list[U8]:
        """Their bytes by significance, each uint8[len(rank), count]; rows by their rank, which is
        *ordered* where it ascends."""
        low, rows = int(rank[0]), len(rank)
        row = slice(low, low + rows)
        if not ordered or int(rank[-1]) - low + 1 != rows:
            row = rank  # type: ignore[assignment]
        return [self._plane(p)[row, since : since + count] for p in range(width)]

    def way_to(self, rows: I64, place: int) -> Way | None:
        """What adds up to the values of *rows*, which are in their best order, in one column; None
        where that is not alike for all of them, or they are known."""
        if len(self._places) or self._kept() is not None:
            return None
        # those of the widest differences come first
        width = int(self._widths[rows[0]])
        if width != self._widths[rows[-1]]:
            return None
        mark = place // MARK_COLUMNS
        firsts = self._marked(mark)[rows, mark] if mark else self._firsts[rows]
        since = mark * MARK_COLUMNS
        part: list[U8] = []
        if width and place > since:
            part = self._part(self._rank[rows], width, since, place - since, True)
        return Way(firsts, part, self._shifts[rows], self._kinds[rows])

    def _plane(self, p: int) -> U8:
        width = self.columns - 1
        at = self._planes_at + sum(self._counts[:p]) * width
        count = self._counts[p]
        plane = np.frombuffer(self._body, np.uint8, count * width, at)
        return plane.reshape(count, width)

    def _scaled(self, rows: I64, numbers: I64) -> Values:
        return scaled(self._kinds[rows], numbers)

    def _put_back(self, rows: I64, values: Values, since: int = 0) -> None:
        row_of, column = self._places // self.columns, self._places % self.columns - since
        where = np.full(len(self.refs), -1, np.int64)
        where[rows] = np.arange(len(rows))
        target = where[row_of]
        mine = (target >= 0) & (column >= 0) & (column < values.shape[1])
        if mine.any():
            values.view(np.int64)[target[mine], column[mine]] = self._exceptions[mine]


def differences(planes: list[U8]) -> npt.NDArray[np.signedinteger]:
    """Differences of which these are the zigzags' bytes by significance, in the smallest integers
    that hold them."""
    width, shape = len(planes), planes[0].shape
    size = 1 if width == 1 else 2 if width == 2 else 4 if width <= 4 else 8
    if size == 1:
        zigzags = planes[0]
    else:
        octets = np.zeros((*shape, size), np.uint8)
        for p, plane in enumerate(planes):
            octets[:, :, p] = plane
        zigzags = octets.reshape(len(octets), -1).view(f"<u{size}")
    one = zigzags.dtype.type(1)
    signs = zigzags & one
    found: npt.NDArray[np.signedinteger] = (zigzags >> one).view(f"<i{size}")
    found ^= np.negative(signs.view(f"<i{size}"))
    return found


def scaled(kinds: U8, numbers: I64) -> Values:
    """Rows of numbers, int64[rows, n], as the values that they stand for."""
    plain = kinds >= _KIND_BITS
    if plain.all():
        return numbers.view(np.float64)
    values = numbers.astype(np.float64)
    scales = np.where(plain, 0, kinds)
    if scales.any():
        values /= _POWERS[scales][:, None]
    if plain.any():
        values.view(np.int64)[plain] = numbers[plain]
    return values


def _is_small(rows: int, columns: int) -> bool:
    return rows * columns <= KEPT_CELLS_MAX


def _kept_bytes(rows: int, columns: int) -> int:
    """What may be kept of a tile beside its body: all values, or the numbers at marks."""
    return 8 * rows * (columns if _is_small(rows, columns) else columns // MARK_COLUMNS)


def decode(blob: bytes) -> Tile:
    """Open a tile. Raises StoreCorrupt."""
    if len(blob) < _HEAD.size:
        raise StoreCorrupt("a tile is cut")
    magic, rows, groups, columns, exceptions, time_bytes, size = _HEAD.unpack_from(blob)
    if magic != MAGIC or not 0 < rows <= TILE_ROWS_MAX or size > TILE_BYTES_MAX:
        raise StoreCorrupt("not a tile")
    try:
        packed = memoryview(blob)[_HEAD.size :]
        body = memoryview(_decompressor().decompress(packed, max_output_size=size))
    except zstandard.ZstdError as error:
        raise StoreCorrupt(f"a tile does not unpack: {error}") from None
    if len(body) != size:
        raise StoreCorrupt(f"a tile unpacks to {len(body)} bytes, not {size}")
    delta_refs, at = _joined(body, 0, rows)
    delta_groups, at = _joined(body, at, rows)
    if at + time_bytes > size:
        raise StoreCorrupt("a tile's body is too short")
    clock = _unpacked_times(bytes(body[at : at + time_bytes]), groups, columns)
    at += time_bytes
    if at + 3 * rows > size:
        raise StoreCorrupt("a tile's body is too short")
    kinds = np.frombuffer(body[at : at + rows], np.uint8)
    widths = np.frombuffer(body[at + rows : at + 2 * rows], np.uint8)
    shifts = np.frombuffer(body[at + 2 * rows : at + 3 * rows], np.uint8)
    firsts, at = _joined(body, at + 3 * rows, rows)
    delta_places, at = _joined(body, at, exceptions)
    odd, at = _joined(body, at, exceptions)
    live = np.flatnonzero(kinds != _KIND_CONST)
    order = live[np.argsort(-widths[live].astype(np.int8), kind="stable")]
    rank = np.full(rows, rows, np.int64)  # constant rows come last
    rank[order] = np.arange(len(order))
    ordered = widths[order]
    deepest = int(ordered[0]) if len(ordered) else 0
    plane_rows = [int(np.count_nonzero(ordered > p)) for p in range(deepest)]
    known = (kinds == _KIND_CONST) | (kinds == _KIND_BITS) | (kinds < len(_POWERS))
    if deepest > min(8, 8 * (columns - 1)) or not known.all() or (shifts > 63).any():
        raise StoreCorrupt("a tile's rows are of no known kind")
    if at + sum(plane_rows) * (columns - 1) != size:
        raise StoreCorrupt("a tile's planes do not fit its body")
    group_of = np.cumsum(delta_groups)
    if ((group_of < 0) | (group_of >= groups)).any():
        raise StoreCorrupt("a tile's row has no times")
    return Tile(
        refs=np.cumsum(delta_refs),
        groups=group_of,
        clock=clock,
        columns=columns,
        size_bytes=size + 64 * rows + 512 + _kept_bytes(rows, columns),
        _kinds=kinds,
        _widths=widths,
        _shifts=shifts,
        _firsts=firsts,
        _places=np.cumsum(delta_places),
        _exceptions=odd,
        _body=body,
        _planes_at=at,
        _rank=rank,
        _counts=plane_rows,
    )
