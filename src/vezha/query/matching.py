"""How the series of two vectors find each other: match groups of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vezha.model.labels import Labels
from vezha.query.ast import Matching
from vezha.query.labelcolumn import METADATA, Indexes, LabelColumn, drop_labels, keep_labels


@dataclass(slots=True)
class Matched:
    """Match groups of two columns: each row's group, and the groups' own labels.

    `left`, `right`: int64 group of each row. `groups` counts all groups of either side.
    `simple` says that no side has two rows in one group.
    """

    left: Indexes
    right: Indexes
    labels: list[Labels]
    simple: bool

    @property
    def groups(self) -> int:
        return len(self.labels)


def match_groups(left: LabelColumn, right: LabelColumn, matching: Matching) -> Matched:
    """The match groups of two columns, remembered in the left one."""
    key = ("match", right, matching.on, matching.labels)
    return left.memo(key, lambda: _match_groups(left, right, matching))


def _match_groups(left: LabelColumn, right: LabelColumn, matching: Matching) -> Matched:
    names = matching.labels
    signature = keep_labels(names) if matching.on else drop_labels((*names, *METADATA))
    index: dict[Labels, int] = {}
    sides: list[Indexes] = []
    simple = True
    for column in (left, right):
        of_row = [index.setdefault(signature(labels), len(index)) for labels in column.sets]
        simple = simple and len(set(of_row)) == len(of_row)
        sides.append(np.asarray(of_row, np.int64))
    return Matched(sides[0], sides[1], list(index), simple)


def rows_of_groups(of_row: Indexes, groups: int) -> Indexes:
    """The row of each group, -1 where it has none; for sides with one row a group."""
    rows = np.full(groups, -1, np.int64)
    rows[of_row] = np.arange(of_row.size)
    return rows
