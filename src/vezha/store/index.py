"""The index of series: which series fit the matchers, and what they are called.

A series is a pair (column, host): the host is its labels `instance` and `job`, and what else all
series of the source have in common (a rack, a region, a pod: see `sources`); the column is all the
others. A fleet of 1,000 hosts with 100 series each has 100 columns and 1,000 hosts, so the
labels of 100,000 series take as much memory as those of 1,100, and a matcher is asked 1,100
times at most. Pairs are numbered as they come: that number is the series' reference. From
references to pairs lead two int32 arrays; back, for the one that adds series, two sorted arrays and
a small dictionary of the newest, which nobody else pays for.

A third array names the cell of each series: whose samples lie together in a tile. That is a block
of columns x a block of hosts, but for the series that brought its column: the first of it, and of
pods and containers the only one ever. Those lie with the others that came about then, whatever
their hosts, or each would fill a corner of a tile of its own. Cells follow from the order of the
series alone, so that every process that reads the catalog finds the same.

Safe for readers on several threads while one writer adds: everything only grows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Matcher, Refs
from vezha.model.labels import Labels, get_label
from vezha.store.limits import (
    COLUMNS_PER_TILE,
    HOSTS_PER_TILE,
    MATCH_CACHE_ENTRIES,
    SERIES_PER_WIDE_TILE,
    WIDE_TILES_PER_STRIP,
)
from vezha.store.matching import ValueTest, value_test

HOST_LABELS = frozenset(("instance", "job"))
WIDE = 1 << 30
"""Blocks of columns from here on are those of series that brought their columns."""
_TAIL_MIN, _TAIL_SHARE = 4_096, 32
Mask = npt.NDArray[np.bool_]
I32 = npt.NDArray[np.int32]
T = TypeVar("T", bound=np.generic)


def split_labels(labels: Labels) -> tuple[Labels, Labels]:
    """(column, host) of a series' labels."""
    column = tuple(p for p in labels if p[0] not in HOST_LABELS)
    if len(column) == len(labels):
        return labels, ()
    return column, tuple(p for p in labels if p[0] in HOST_LABELS)


class LabelSets:
    """Numbered label sets (columns, or hosts) with postings by label and value."""

    def __init__(self) -> None:
        self.sets: list[Labels] = []
        self._ids: dict[Labels, int] = {}
        self._postings: dict[str, dict[str, list[int]]] = {}

    @property
    def ids(self) -> dict[Labels, int]:
        """Numbers by set; made when somebody asks, which readers do not."""
        known = self._ids
        for number in range(len(known), len(self.sets)):
            known[self.sets[number]] = number
        return known

    def add(self, labels: Labels) -> int:
        """The number of *labels*, made if new."""
        known = self.ids.get(labels)
        return self.append(labels) if known is None else known

    def append(self, labels: Labels) -> int:
        """The number of *labels*, which are known to be new."""
        number = len(self.sets)
        self.sets.append(labels)
        for name, value in labels:
            self._postings.setdefault(name, {}).setdefault(value, []).append(number)
        return number

    def has_label(self, name: str) -> bool:
        """Whether any set has the label."""
        return name in self._postings

    def having(self, name: str) -> Mask | None:
        """Which sets have a label, bool[len]; None: not one."""
        values = self._postings.get(name)
        if values is None:
            return None
        mask = np.zeros(len(self.sets), np.bool_)
        for numbers in list(values.values()):
            at = np.array(numbers)
            mask[at[at < len(mask)]] = True
        return mask

    def names(self) -> list[str]:
        """Every label's name."""
        return list(self._postings)

    def values(self, name: str) -> list[str]:
        """Every value of a label."""
        return list(self._postings.get(name, ()))

    def match(self, matchers: Sequence[Matcher], known: Mask | None = None) -> Mask | None:
        """Which sets fit all, bool[len]; None: every set. *known* is the answer of before."""
        if not matchers:
            return None
        size = len(self.sets)
        tests = [(matcher.name, value_test(matcher)) for matcher in matchers]
        if known is not None:
            mask = np.zeros(size, np.bool_)
            mask[: len(known)] = known
            for number in range(len(known), size):
                labels = self.sets[number]
                mask[number] = all(t.accepts(get_label(labels, name)) for name, t in tests)
            return mask
        mask = np.ones(size, np.bool_)
        for name, test in tests:
            mask &= self._fits(name, test, size)
        return mask

    def _fits(self, name: str, test: ValueTest, size: int) -> Mask:
        values = self._postings.get(name, {})
        wanted: Iterable[str] = test.accepted(list(values)) if test.values is None else test.values
        mask = np.zeros(size, np.bool_)
        for value in wanted:
            numbers = values.get(value)
            if numbers is not None:
                at = np.array(numbers)
                mask[at[at < size]] = True
        if test.fits(""):
            # sets without the label have the empty value
            present = np.zeros(size, np.bool_)
            for numbers in list(values.values()):
                at = np.array(numbers)
                present[at[at < size]] = True
            mask |= ~present
        return ~mask if test.negated else mask


class _Grouped:
    """References by column (or by host): a sorted part and the tail of newest to scan."""

    def __init__(self) -> None:
        self._order: I32 = np.empty(0, np.int32)
        self._starts: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        self._settled = 0

    def refs(self, keys: I32, wanted: Mask) -> Refs:
        count = len(keys)
        if count - self._settled > max(_TAIL_MIN, self._settled // 8):
            order = np.argsort(keys, kind="stable")
            groups = int(keys.max()) + 1
            self._starts = np.searchsorted(keys[order], np.arange(groups + 1))
            self._order, self._settled = order.astype(np.int32), count
        numbers = np.flatnonzero(wanted)
        numbers = numbers[numbers < len(self._starts) - 1]
        pieces = [self._order[self._starts[n] : self._starts[n + 1]] for n in numbers.tolist()]
        tail = keys[self._settled : count]
        newest = np.flatnonzero(wanted[tail]) + self._settled
        return np.concatenate([*pieces, newest], dtype=np.int64) if pieces else newest


def _grown(array: npt.NDArray[T], size: int) -> npt.NDArray[T]:
    """*array* with room for *size*; what is not written to yet takes no memory."""
    fresh = np.empty(size, array.dtype)
    fresh[: len(array)] = array
    return fresh


def _both(one: Mask, other: Mask) -> Mask:
    """Where both are true, as far as both reach: sets may be added between the two."""
    both: Mask = one[: len(other)] & other[: len(one)]
    return both


class Match:
    """Series that fit some matchers; grows with the index instead of being found anew.

    `refs` int64[n], ascending; a series' position is its place in there and never changes. The
    array is replaced when new series come: take it once and use what was taken.
    """

    def __init__(self, index: SeriesIndex, matchers: tuple[Matcher, ...]) -> None:
        self._index = index
        self._free_tests = [m for m in matchers if m.name not in HOST_LABELS]
        self._host_tests = [m for m in matchers if m.name in HOST_LABELS]
        self._columns: list[Mask | None] = [None] * len(self._free_tests)
        self._hosts: Mask | None = None
        self._labels: dict[int, Labels] = {}
        self._order: tuple[bytes, list[int]] = (b"", [])
        self.refs: Refs = np.empty(0, np.int64)
        self.series_seen = 0
        self.grow()

    def grow(self) -> None:
        """Take in what the index learned since the last time."""
        index = self._index
        seen, count = self.series_seen, index.count
        if seen == count:
            return
        self._hosts = index.hosts.match(self._host_tests, self._hosts)
        hosts, columns = self._hosts, None
        either: list[tuple[Mask, Mask, Mask]] = []
        for i, test in enumerate(self._free_tests):
            fits = self._columns[i] = index.columns.match([test], self._columns[i])
            assert fits is not None
            has = index.hosts.having(test.name)
            if has is None:
                columns = fits if columns is None else _both(columns, fits)
                continue
            # where the host has the label, it decides, and the column where it does not
            host_fits = index.hosts.match([test])
            assert host_fits is not None
            either.append((has, host_fits, fits))
            # what came while we looked is no series of ours yet
            known = min(len(has), len(host_fits))
            has, host_fits = has[:known], host_fits[:known]
            may = host_fits | ~has if fits.any() else host_fits & has
            hosts = may if hosts is None else _both(hosts, may)
        fresh = index.fitting(columns, hosts, seen, count)
        for has, host_fits, fits in either:
            host = index.host_of[fresh]
            fresh = fresh[np.where(has[host], host_fits[host], fits[index.column_of[fresh]])]
        if len(fresh):
            self.refs = np.concatenate([self.refs, fresh])
        self.series_seen = count

    def labels(self, position: int) -> Labels:
        """The labels of the series at *position*."""
        labels = self._labels.get(position)
        if labels is None:
            labels = self._labels[position] = self._index.labels(int(self.refs[position]))
        return labels

    def sorted(self, positions: list[int]) -> list[int]:
        """*positions* in the order of their labels; remembered for the next who asks the same."""
        key = np.array(positions, np.int64).tobytes()
        known = self._order
        if known[0] == key:
            return known[1]
        order = sorted(positions, key=self.labels)
        self._order = (key, order)
        return order


class SeriesIndex:
    """All series of a store."""

    def __init__(self) -> None:
        self.columns = LabelSets()
        self.hosts = LabelSets()
        self.count = 0
        self._column = np.empty(1_024, np.int32)
        self._host = np.empty(1_024, np.int32)
        self._cell = np.empty(1_024, np.int64)
        self._brought = np.zeros(1_024, np.bool_)
        self._by_column = _Grouped()
        self._by_host = _Grouped()
        self._keys: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._key_refs: I32 = np.empty(0, np.int32)
        self._newest: dict[int, int] = {}
        self._matches: OrderedDict[tuple[Matcher, ...], Match] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def column_of(self) -> I32:
        """int32[count]: the column of each reference."""
        return self._column[: self.count]

    @property
    def host_of(self) -> I32:
        """int32[count]: the host of each reference."""
        return self._host[: self.count]

    @property
    def cell_of(self) -> Refs:
        """int64[count]: the cell of each reference, (block of columns) << 32 | (block of hosts)."""
        return self._cell[: self.count]

    def has_label(self, name: str) -> bool:
        """Whether a label of that name is known."""
        return self.columns.has_label(name) or self.hosts.has_label(name)

    def labels(self, ref: int) -> Labels:
        """The labels of a series."""
        column = self.columns.sets[self._column[ref]]
        host = self.hosts.sets[self._host[ref]]
        return tuple(sorted(column + host)) if host else column

    def append(self, columns: I32, hosts: I32) -> int:
        """Add pairs that are known to be new; the first one's reference."""
        first, count = self.count, len(columns)
        if first + count > len(self._column):
            room = max(first + count, 2 * len(self._column))
            self._column = _grown(self._column, room)
            self._host = _grown(self._host, room)
            self._cell = _grown(self._cell, room)
        self._column[first : first + count] = columns
        self._host[first : first + count] = hosts
        self._cell[first : first + count] = self._cells(columns, hosts)
        self.count = first + count
        return first

    def _cells(self, columns: I32, hosts: I32) -> Refs:
        """Cells of pairs that come now, in this order."""
        wide = columns.astype(np.int64)
        cells: Refs = (wide // COLUMNS_PER_TILE << 32) | hosts // HOSTS_PER_TILE
        known, first = np.unique(columns, return_index=True)
        if len(known) and known[-1] >= len(self._brought):
            more = max(int(known[-1]) + 1, 2 * len(self._brought)) - len(self._brought)
            self._brought = np.concatenate([self._brought, np.zeros(more, np.bool_)])
        brought = first[~self._brought[known]]
        self._brought[known] = True
        tile, strip = wide[brought] // SERIES_PER_WIDE_TILE, WIDE_TILES_PER_STRIP
        cells[brought] = (WIDE + tile // strip << 32) | tile % strip
        return cells

    def _key_newest(self) -> None:
        """Sort in what came since `find` was asked last, once it is more than a few."""
        settled, known = len(self._keys), len(self._keys) + len(self._newest)
        if known == self.count:
            return
        few = self.count - settled <= max(_TAIL_MIN, settled // _TAIL_SHARE)
        first = known if few else settled
        keys = (self.column_of[first:].astype(np.int64) << 32) | self.host_of[first:]
        if few:
            self._newest.update(zip(keys.tolist(), range(first, self.count), strict=True))
            return
        keys = np.append(self._keys, keys)
        refs = np.append(self._key_refs, np.arange(first, self.count, dtype=np.int32))
        order = np.argsort(keys, kind="stable")
        self._keys, self._key_refs, self._newest = keys[order], refs[order], {}

    def find(self, columns: npt.NDArray[np.int64], hosts: npt.NDArray[np.int64]) -> Refs:
        """References of pairs, -1 where there is none. Only for the thread that adds series."""
        self._key_newest()
        keys = (columns << 32) | hosts
        refs = np.full(len(keys), -1, np.int64)
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            there = self._keys[at] == keys
            refs[there] = self._key_refs[at[there]]
        if self._newest:
            for i in np.flatnonzero(refs < 0).tolist():
                refs[i] = self._newest.get(int(keys[i]), -1)
        return refs

    def match(self, matchers: tuple[Matcher, ...]) -> Match:
        """Series that fit all matchers, as of now; remembered for the next time."""
        with self._lock:
            match = self._matches.get(matchers)
            if match is None:
                match = self._matches[matchers] = Match(self, matchers)
                while len(self._matches) > MATCH_CACHE_ENTRIES:
                    self._matches.popitem(last=False)
            else:
                self._matches.move_to_end(matchers)
                match.grow()
            return match

    def fitting(self, columns: Mask | None, hosts: Mask | None, first: int, count: int) -> Refs:
        """References in [first, count) whose column and host are wanted (None: any), ascending."""
        column_of, host_of = self._column[:count], self._host[:count]
        if first > 0 or (columns is None and hosts is None):
            fits = np.ones(count - first, np.bool_)
            if columns is not None:
                fits &= columns[column_of[first:]]
            if hosts is not None:
                fits &= hosts[host_of[first:]]
            return np.flatnonzero(fits) + first
        by_column = hosts is None
        if columns is not None and hosts is not None:
            by_column = columns.sum() * len(hosts) <= hosts.sum() * len(columns)
        if by_column:
            assert columns is not None
            refs = self._by_column.refs(column_of, columns)
            if hosts is not None:
                refs = refs[hosts[host_of[refs]]]
        else:
            assert hosts is not None
            refs = self._by_host.refs(host_of, hosts)
            if columns is not None:
                refs = refs[columns[column_of[refs]]]
        return np.sort(refs)
