"""Refiling: samples that lie in the partition of another policy than theirs are moved.

Needed when the operator changed which series a policy is about, and only then. A tile is first
added where it belongs and then replaced by what stays, so that a crash in between leaves samples
twice, which reading mends, never none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import structlog

from vezha.store.days import CELL, FLUSH, DayFile, NewTile
from vezha.store.errors import StoreCorrupt
from vezha.store.flush import tiles_of_sorted
from vezha.store.index import SeriesIndex
from vezha.store.merge import joined
from vezha.store.partition import Partitions
from vezha.store.policy import Assignment
from vezha.store.tile import decode

log = structlog.get_logger(__name__)
_ID = 0


def refile(
    partitions: Partitions,
    names: Sequence[str],
    file: DayFile,
    here: int,
    index: SeriesIndex,
    assignment: Assignment,
) -> set[int]:
    """Move what does not belong into the day's file of policy *here* (-1: of none that there is);
    the policies that got something. `names[i]` is the partition of policy i."""
    directory = file.directory()
    foreign = np.flatnonzero(assignment.all() != here)
    candidates = directory[np.isin(directory[:, CELL], np.unique(index.cell_of[foreign]))]
    moved: set[int] = set()
    for number, flush in candidates[:, [_ID, FLUSH]].tolist():
        blob = file.fetch([number]).get(number)
        try:
            if not isinstance(blob, bytes):
                continue
            tile = decode(blob)
        except StoreCorrupt as error:
            log.error("a damaged tile is not moved", file=file.path, tile=number, error=str(error))
            continue
        if (assignment.of(tile.refs) == here).all():
            continue
        by_policy: dict[int, list[NewTile]] = {}
        for new in tiles_of_sorted(index, *joined([tile]), assignment):
            by_policy.setdefault(new.policy, []).append(new)
        stays = by_policy.pop(here, [])
        for policy, tiles in by_policy.items():
            target = partitions.made(names[policy]).days.file(file.day)
            assert target is not None
            target.add(tiles, flush)
            moved.add(policy)
        file.add(stays, flush, replaces=[number])
    return moved
