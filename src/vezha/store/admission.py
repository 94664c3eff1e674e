"""Admission: which of new series are made, where a source or the store has a limit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vezha.model.labels import Labels

Pair = tuple[Labels, Labels]
"""A series as (column, host)."""


@dataclass(slots=True)
class Admission:
    """`made` are places of the series that may be made, in their order; the others leave nothing
    behind, no label either: a source over its limit shall not fill the index all the same."""

    made: list[int] = field(default_factory=list)
    refused: int = 0
    first_refused: Labels = ()
    """The host of the first that was refused."""
    limit: str = ""
    """The setting that refused it."""


def admission(
    pairs: Sequence[Pair],
    source_of: Callable[[Labels], int],
    room_of: Callable[[int], int],
    room_in_all: int,
) -> Admission:
    """Admit new series in their order. *source_of* a host and *room_of* a source are asked for
    only while there is *room_in_all*; the same series twice takes room once."""
    found = Admission()
    seen: set[Pair] = set()
    refused: set[Pair] = set()
    sources: dict[Labels, int] = {}
    room: dict[int, int] = {}
    for place, pair in enumerate(pairs):
        if pair in seen:
            found.made.append(place)
            continue
        limit = "series_max"
        if len(seen) < room_in_all:
            limit = "series_per_source_max"
            host = pair[1]
            source = sources.get(host)
            if source is None:
                source = sources[host] = source_of(host)
            left = room.get(source)
            if left is None:
                left = room_of(source)
            room[source] = left - 1
            if left > 0:
                seen.add(pair)
                found.made.append(place)
                continue
        if not refused:
            found.first_refused, found.limit = pair[1], limit
        refused.add(pair)
    found.refused = len(refused)
    return found
