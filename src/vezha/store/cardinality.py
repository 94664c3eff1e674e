"""Who has the most series, and which label makes them: what the limits on series are about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vezha.model.labels import INSTANCE, METRIC_NAME, get_label
from vezha.store.index import SeriesIndex
from vezha.store.sources import Sources

COLUMNS_LOOKED_AT_MAX = 50_000
"""Columns of a source that its labels are counted of."""


@dataclass(frozen=True, slots=True)
class SourceSeries:
    """A source (one `instance` and `job`) and its series. `label` is the one with the most
    values among them, besides the metric's name, `values` how many."""

    instance: str
    job: str
    series: int
    label: str
    values: int


@dataclass(frozen=True, slots=True)
class Cardinality:
    """Series in all, and the largest: sources, metrics, labels by their values."""

    series: int
    sources: list[SourceSeries]
    metrics: list[tuple[str, int]]
    labels: list[tuple[str, int]]


def cardinality(index: SeriesIndex, count: int) -> Cardinality:
    """The *count* largest of each, of all series that were ever stored."""
    column_of, host_of = index.column_of, index.host_of
    sources = Sources(index)
    of_host = sources.of_hosts()
    sizes = np.bincount(of_host[host_of], minlength=len(sources)) if len(host_of) else np.zeros(0)
    found = []
    for source in np.argsort(-sizes, kind="stable")[:count].tolist():
        host = index.hosts.sets[sources.hosts(source)[0]]
        mine = np.unique(column_of[of_host[host_of] == source])[:COLUMNS_LOOKED_AT_MAX]
        label, values = _widest(index, mine.tolist())
        found.append(
            SourceSeries(
                get_label(host, INSTANCE), get_label(host, "job"), int(sizes[source]), label, values
            )
        )
    by_column = np.bincount(column_of, minlength=len(index.columns.sets)).tolist()
    metrics: dict[str, int] = {}
    for labels, series in zip(list(index.columns.sets), by_column, strict=False):
        name = get_label(labels, METRIC_NAME)
        metrics[name] = metrics.get(name, 0) + series
    names = {*index.columns.names(), *index.hosts.names()}
    labels_ = [
        (name, len({*index.columns.values(name), *index.hosts.values(name)})) for name in names
    ]
    return Cardinality(len(column_of), found, _largest(list(metrics.items()), count),
                       _largest(labels_, count))  # fmt: skip


def _widest(index: SeriesIndex, columns: list[int]) -> tuple[str, int]:
    values: dict[str, set[str]] = {}
    for column in columns:
        for name, value in index.columns.sets[column]:
            if name != METRIC_NAME:
                values.setdefault(name, set()).add(value)
    if not values:
        return "", 0
    name = max(sorted(values), key=lambda n: len(values[n]))
    return name, len(values[name])


def _largest(pairs: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    return sorted(pairs, key=lambda p: (-p[1], p[0]))[:count]
