"""Gathering: pieces of series from tiles and head become one `SeriesData`.

Pieces are added oldest first (in the order in which their samples came in), each a run of one
series, sorted by time. Where runs overlap or repeat a time, the first piece's sample wins.
Pieces are kept as they came, in blocks; only their places are noted: which series, where in the
block, how many. So nothing here loops over series but where runs are long, and then each is one
copy. Series of one host share their times: they come in sheets, a column for each time, and where
all sheets have the same series, one after another in time, the answer is these side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import (
    STALE_NAN,
    SeriesData,
    Times,
    TooManySamples,
    Values,
    is_stale,
)
from vezha.model.labels import Labels
from vezha.store.rollup import COUNT, LOST, NAMES, SPAN

I64 = npt.NDArray[np.int64]
LONG_RUN_SAMPLES = 64
"""From this length on copying each run is cheaper than working out every sample's place."""


@dataclass(slots=True)
class _Block:
    """Runs of several series. Run i is `ts[ts_at[i] : ts_at[i] + size[i]]` and
    `column[at[i] : at[i] + size[i]]`, for each of `columns`, of the series at `positions[i]`."""

    positions: I64
    ts: Times
    columns: tuple[Values, ...]
    ts_at: I64
    at: I64
    size: I64


@dataclass(slots=True)
class _Sheet:
    """Runs of several series with equal times: `values` [len(positions), len(ts)]."""

    positions: I64
    ts: Times
    values: Values

    def block(self, columns: tuple[Values, ...]) -> _Block:
        """The same as a block; *columns* are the values, flat, by plane."""
        rows, length = self.values.shape
        return _Block(
            self.positions,
            self.ts,
            columns,
            np.zeros(rows, np.int64),
            np.arange(rows, dtype=np.int64) * length,
            np.full(rows, length, np.int64),
        )


class Gathering:
    """Pieces by the position of their series."""

    def __init__(self, samples_max: int, planes: tuple[int, ...] = ()) -> None:
        """With *planes* every row has these of a roll-up; a sample is a stretch of itself."""
        self._pieces: list[_Block | _Sheet] = []
        self._planes = planes
        self._samples_max = samples_max
        self.samples = 0

    def _count(self, samples: int) -> None:
        self.samples += samples
        if self.samples > self._samples_max:
            raise TooManySamples(
                f"the selection has more than {self._samples_max} samples; ask for less time, "
                "fewer series, or raise the limit"
            )

    def _add(self, block: _Block) -> None:
        self._count(int(block.size.sum()))
        some = block.size > 0
        if not some.all():
            block.positions, block.size = block.positions[some], block.size[some]
            block.ts_at, block.at = block.ts_at[some], block.at[some]
        if len(block.size):
            self._pieces.append(block)

    def _flat(self, values: Values) -> tuple[Values, ...]:
        flat = np.ascontiguousarray(values).reshape(-1)
        if not self._planes:
            return (flat,)
        ones, zeros = np.ones(len(flat)), np.zeros(len(flat))
        stale = is_stale(flat)
        if stale.any():
            ones[stale] = STALE_NAN
        return tuple({COUNT: ones, SPAN: zeros, LOST: zeros}.get(p, flat) for p in self._planes)

    def add(self, position: int, ts: Times, values: Values) -> None:
        """A run of one series."""
        self.add_rows(np.array([position], np.int64), ts, values[None, :])

    def add_rows(self, positions: I64, ts: Times, values: Values) -> None:
        """Runs of several series with equal times; `values` [len(positions), len(ts)]."""
        if values.size:
            self._count(values.size)
            self._pieces.append(_Sheet(positions, ts, values))

    def add_table(
        self,
        positions: I64,
        groups: I64,
        times: Times,
        size: I64,
        values: Values | tuple[Values, ...],
        low: I64 | None = None,
    ) -> None:
        """Runs of several series: row i has the first `size[g]` of the times `times[g]` and as
        many of `values[i]`, both from `low[g]` on; g is `groups[i]`. Both tables are padded.
        *values* as a tuple has a table for each plane."""
        tables = values if isinstance(values, tuple) else (values,)
        rows, columns = tables[0].shape
        at = np.arange(rows, dtype=np.int64) * columns
        ts_at = groups * times.shape[1]
        if low is not None:
            at += low[groups]
            ts_at = ts_at + low[groups]
        if isinstance(values, tuple):
            flat = tuple(np.ascontiguousarray(table).reshape(-1) for table in tables)
        else:
            flat = self._flat(values)
        stamps = np.ascontiguousarray(times).reshape(-1)
        self._add(_Block(positions, stamps, flat, ts_at, at, size[groups]))

    def add_loose(self, positions: I64, ts: Times, values: Values) -> None:
        """Samples in any order, each with its series' position."""
        if not len(positions):
            return
        order = np.lexsort((ts, positions))
        positions, ts, values = positions[order], ts[order], values[order]
        starts = np.flatnonzero(np.diff(positions, prepend=-1))
        size = np.diff(starts, append=len(positions))
        self._add(_Block(positions[starts], ts, self._flat(values), starts, starts, size))

    def add_bulk(self, positions: I64, ts: Times, values: Values) -> None:
        """Samples of many series, each series' together and ascending; newer than all pieces."""
        starts = np.flatnonzero(np.diff(positions, prepend=-1))
        size = np.diff(starts, append=len(positions))
        self._add(_Block(positions[starts], ts, self._flat(values), starts, starts, size))

    def present(self) -> list[int]:
        """Positions that have samples, ascending."""
        if not self._pieces:
            return []
        found = self._pieces[0].positions
        if len(self._pieces) > 1:
            found = np.concatenate([piece.positions for piece in self._pieces])
        present: list[int] = sorted(set(found.tolist()))
        return present

    def result(self, present: list[int], labels: list[Labels]) -> SeriesData:
        """The series at positions *present*, which are called *labels*, in this order."""
        if not present:
            return SeriesData.empty()
        aligned = self._aligned(present, labels)
        if aligned is not None:
            return aligned
        rank = _rank(present)
        blocks = [
            piece if isinstance(piece, _Block) else piece.block(self._flat(piece.values))
            for piece in self._pieces
        ]
        positions = np.concatenate([b.positions for b in blocks])
        size = np.concatenate([b.size for b in blocks])
        series = rank[positions]
        offsets = np.zeros(len(present) + 1, np.int64)
        np.cumsum(np.bincount(series, size, len(present)).astype(np.int64), out=offsets[1:])
        # pieces by their first times; where they do not overlap, whichever came first is all one
        firsts = np.concatenate([b.ts[b.ts_at] for b in blocks])
        ts, columns = _assembled(blocks, np.lexsort((firsts, series)), size, int(offsets[-1]))
        wrong = _wrong_places(ts, offsets)
        woven = _woven(ts, offsets) if len(wrong) else None
        if woven is not None:
            ts, columns = ts[woven], [column[woven] for column in columns]
        elif len(wrong):
            order = np.argsort(series, kind="stable")
            ts, columns = _assembled(blocks, order, size, int(offsets[-1]))
            ts, columns, offsets = _ordered(ts, columns, offsets)
        data = SeriesData(labels, ts, columns[0], offsets)
        if self._planes:
            data.rolled = {
                NAMES[plane]: column for plane, column in zip(self._planes, columns, strict=True)
            }
        return data

    def _aligned(self, present: list[int], labels: list[Labels]) -> SeriesData | None:
        """The answer where every piece has every series, and no two pieces meet in time; None:
        it is not that simple."""
        if self._planes:
            return None
        count = len(present)
        sheets: list[_Sheet] = []
        for piece in self._pieces:
            if not isinstance(piece, _Sheet) or len(piece.positions) != count:
                return None
            sheets.append(piece)
        if len(sheets) > 1:
            sheets.sort(key=_begin)
        parts = [sheet.values for sheet in sheets]
        if count > 1:
            rank = _rank(present)
            for at, sheet in enumerate(sheets):
                rows = np.full(count, -1, np.int64)
                rows[rank[sheet.positions]] = np.arange(count)
                if int(rows.min()) < 0:
                    return None  # one series twice
                parts[at] = sheet.values[rows]
        times, values = sheets[0].ts, parts[0]
        if len(sheets) > 1:
            times = np.concatenate([sheet.ts for sheet in sheets])
            values = np.concatenate(parts, axis=1)
        if not (times[1:] > times[:-1]).all():
            return None
        length = len(times)
        offsets = np.arange(0, (count + 1) * length, length, dtype=np.int64)
        stamps = np.tile(times, count) if count > 1 else times.copy()
        return SeriesData(labels, stamps, np.ascontiguousarray(values).reshape(-1), offsets)


def _begin(sheet: _Sheet) -> int:
    return int(sheet.ts[0])


def _rank(present: list[int]) -> I64:
    """The row of each position."""
    rank = np.full(max(present) + 1, -1, np.int64)
    rank[present] = np.arange(len(present))
    return rank


def _assembled(
    blocks: list[_Block], order: I64, size: I64, total: int
) -> tuple[Times, list[Values]]:
    """The pieces one after another."""
    if total >= LONG_RUN_SAMPLES * len(order):
        return _copied(blocks, order)
    return _taken(blocks, order, size, total)


def _copied(blocks: list[_Block], order: I64) -> tuple[Times, list[Values]]:
    ts: list[Times] = []
    columns: list[list[Values]] = [[] for _ in blocks[0].columns]
    for block in blocks:
        ends = (block.at + block.size).tolist()
        runs = [slice(a, b) for a, b in zip(block.at.tolist(), ends, strict=True)]
        for pieces, column in zip(columns, block.columns, strict=True):
            pieces += [column[run] for run in runs]
        ends = (block.ts_at + block.size).tolist()
        ts += [block.ts[a:b] for a, b in zip(block.ts_at.tolist(), ends, strict=True)]
    wanted = order.tolist()
    return (
        np.concatenate([ts[i] for i in wanted]),
        [np.concatenate([pieces[i] for i in wanted]) for pieces in columns],
    )


def _taken(blocks: list[_Block], order: I64, size: I64, total: int) -> tuple[Times, list[Values]]:
    ts_at, at, ts_base, base = [], [], 0, 0
    for block in blocks:
        ts_at.append(block.ts_at + ts_base)
        at.append(block.at + base)
        ts_base += len(block.ts)
        base += len(block.columns[0])
    size = size[order]
    starts = np.cumsum(size) - size
    inside = np.arange(total, dtype=np.int64)
    from_ = np.repeat(np.concatenate(ts_at)[order] - starts, size)
    from_ += inside
    ts = np.concatenate([b.ts for b in blocks])[from_]
    from_ = np.repeat(np.concatenate(at)[order] - starts, size)
    from_ += inside
    columns = zip(*(b.columns for b in blocks), strict=True)
    return ts, [np.concatenate(parts)[from_] for parts in columns]


def _wrong_places(ts: Times, offsets: I64) -> I64:
    """Where a series' next time is not later."""
    wrong = ts[1:] <= ts[:-1]
    wrong[offsets[1:-1] - 1] = False
    places: I64 = np.flatnonzero(wrong)
    return places


def _woven(ts: Times, offsets: I64) -> I64 | None:
    """The order of each series' samples by time, where pieces lie between one another; None where
    times are equal, so that it matters which piece was first."""
    low, span = int(ts.min()), int(ts.max()) - int(ts.min()) + 1
    if span * len(offsets) >= 1 << 62:
        return None
    keys = ts - low
    keys += np.repeat(np.arange(len(offsets) - 1) * span, np.diff(offsets))
    order: I64 = np.argsort(keys, kind="stable")  # runs in order are merged, not sorted
    keys = keys[order]
    return None if (keys[1:] == keys[:-1]).any() else order


def _ordered(ts: Times, columns: list[Values], offsets: I64) -> tuple[Times, list[Values], I64]:
    """Times strictly increasing within each series; the first of equals stays."""
    places = _wrong_places(ts, offsets)
    if not len(places):
        return ts, columns, offsets
    series_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    touched = np.zeros(len(offsets) - 1, np.bool_)
    touched[series_of[places]] = True
    which = np.flatnonzero(touched[series_of])
    # lexsort is stable: of equal times the piece that was added first comes first
    sorted_which = which[np.lexsort((ts[which], series_of[which]))]
    order = np.arange(len(ts))
    order[which] = sorted_which
    ts = ts[order]
    keep = np.ones(len(ts), np.bool_)
    keep[1:] = (ts[1:] != ts[:-1]) | (series_of[1:] != series_of[:-1])
    counts = np.bincount(series_of[keep], minlength=len(offsets) - 1)
    fresh = np.zeros_like(offsets)
    np.cumsum(counts, out=fresh[1:])
    order = order[keep]
    return ts[keep], [column[order] for column in columns], fresh
