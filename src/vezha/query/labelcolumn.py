"""A column of label sets, with what was derived from it remembered.

Rules and charts ask the same selections again and again; the samples change, the label sets
hardly ever. Grouping 10,000 label sets costs more than adding up their samples, so a column
keeps every grouping and matching that was made of it, and the engine keeps the columns.
A column is never changed after it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from vezha.model.labels import METRIC_NAME, Labels
from vezha.query.limits import LABEL_MEMO_ENTRIES

T = TypeVar("T")
Indexes = npt.NDArray[np.int64]


class LabelColumn:
    """Label sets of the rows of a block, and which rows lose their metric name at the end.

    `drop[i]` says that row i's `__name__` is removed when the query is done ("delayed name
    removal"); None means that no row does.
    """

    __slots__ = ("_memo", "drop", "sets")

    def __init__(self, sets: list[Labels], drop: list[bool] | None = None) -> None:
        self.sets = sets
        self.drop = drop if drop is not None and any(drop) else None
        self._memo: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.sets)

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of *make* under *key*, made once."""
        found = self._memo.get(key)
        if found is None:
            if len(self._memo) >= LABEL_MEMO_ENTRIES:
                self._memo.clear()
            found = make()
            self._memo[key] = found
        return cast(T, found)

    def nameless(self) -> LabelColumn:
        """The same rows, all to lose their names."""
        return self.memo("nameless", lambda: LabelColumn(self.sets, [True] * len(self.sets)))

    def named(self) -> LabelColumn:
        """The same rows, none to lose its name."""
        return self.memo("named", lambda: LabelColumn(self.sets))

    def final(self) -> list[Labels]:
        """Label sets as the answer shows them."""
        if self.drop is None:
            return self.sets
        return self.memo("final", self._final)

    def _final(self) -> list[Labels]:
        assert self.drop is not None
        return [
            without_name(labels) if drop else labels
            for labels, drop in zip(self.sets, self.drop, strict=True)
        ]

    def take(self, rows: Sequence[int] | Indexes) -> LabelColumn:
        """Only some rows, in that order."""
        picked = [int(i) for i in rows]
        sets = [self.sets[i] for i in picked]
        return LabelColumn(sets, [self.drop[i] for i in picked] if self.drop else None)

    def drops(self) -> list[bool]:
        """`drop`, spelt out."""
        return self.drop if self.drop is not None else [False] * len(self.sets)

    def unique(self, final: bool = False) -> bool:
        """Whether all label sets differ, as they are or (*final*) as the answer shows them."""
        if final and self.drop is not None:
            return self.memo("unique final", lambda: (len(set(self.final())) == len(self.sets),))[0]
        return self.memo("unique", lambda: (len(set(self.sets)) == len(self.sets),))[0]

    def grouping(self, without: bool, names: tuple[str, ...]) -> tuple[Indexes, LabelColumn]:
        """Rows put in groups by some labels: (group of each row int64[n], the groups' labels).

        Groups come in order of first appearance. With *without* the metric name goes too.
        """
        return self.memo(("group", without, names), lambda: self._grouping(without, names))

    def _grouping(self, without: bool, names: tuple[str, ...]) -> tuple[Indexes, LabelColumn]:
        if not without and not names:
            groups = LabelColumn([()] if self.sets else [])
            return np.zeros(len(self.sets), np.int64), groups
        key = keep_labels(names) if not without else drop_labels((*names, *METADATA))
        seen: dict[Labels, int] = {}
        keep_drop = not without and METRIC_NAME in names and self.drop is not None
        drops: list[bool] = []
        of_row = np.empty(len(self.sets), np.int64)
        for row, labels in enumerate(self.sets):
            group = key(labels)
            index = seen.setdefault(group, len(seen))
            if index == len(drops):
                drops.append(False)
            if keep_drop and self.drop and self.drop[row]:
                drops[index] = True  # one row that loses its name is enough
            of_row[row] = index
        return of_row, LabelColumn(list(seen), drops)


METADATA = (METRIC_NAME, "__type__", "__unit__")
"""Labels that say what a metric is; operations that lose its name lose all three."""

_METADATA = frozenset(METADATA)


def without_name(labels: Labels) -> Labels:
    """*labels* without the metric's name, type and unit."""
    if labels and labels[0][0] == METRIC_NAME and (len(labels) == 1 or labels[1][0][:2] != "__"):
        return labels[1:]
    return tuple([pair for pair in labels if pair[0] not in _METADATA])


def keep_labels(names: tuple[str, ...]) -> Callable[[Labels], Labels]:
    """A function that keeps only labels *names*."""
    wanted = frozenset(names)
    return lambda labels: tuple([pair for pair in labels if pair[0] in wanted])


def drop_labels(names: tuple[str, ...]) -> Callable[[Labels], Labels]:
    """A function that removes labels *names*."""
    unwanted = frozenset(names)
    return lambda labels: tuple([pair for pair in labels if pair[0] not in unwanted])


EMPTY = LabelColumn([])
