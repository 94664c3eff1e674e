"""One column of each of many tiles: the newest samples of a selection.

A tile has but a few rows of it, so that working each out by itself costs more than the numbers do.
Those whose differences are of equal width and number are added up together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Values
from vezha.store.tile import Tile, Way, differences, scaled

I64 = npt.NDArray[np.int64]


def read_columns(wanted: Sequence[tuple[Tile, I64, int]]) -> list[Values]:
    """Of each tile the values of some rows (indices in the order in which they unpack best, not
    none) in one column."""
    found: list[Values] = []
    alike: dict[tuple[int, int], list[tuple[int, Way]]] = {}
    for place, (tile, rows, column) in enumerate(wanted):
        way = tile.way_to(rows, column)
        if way is None:
            found.append(tile.values(rows, column + 1, column)[:, 0])
            continue
        found.append(np.empty(0))
        count = way.part[0].shape[1] if way.part else 0
        alike.setdefault((len(way.part), count), []).append((place, way))
    for ways in alike.values():
        values = _added_up([way for _, way in ways])
        at = 0
        for place, way in ways:
            found[place] = values[at : at + len(way.firsts)]
            at += len(way.firsts)
    return found


def _added_up(ways: list[Way]) -> Values:
    numbers = np.concatenate([way.firsts for way in ways])
    if ways[0].part:
        planes = [np.concatenate(parts) for parts in zip(*(way.part for way in ways), strict=True)]
        sums = differences(planes).sum(axis=1, dtype=np.int64)
        numbers += sums << np.concatenate([way.shifts for way in ways]).astype(np.int64)
    return scaled(np.concatenate([way.kinds for way in ways]), numbers[:, None])[:, 0]


__all__ = ["read_columns"]
