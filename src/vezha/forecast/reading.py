"""Loads read through the query room: counters at edges of steps become growth between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.forecast.limits import AWAY_PART, EDGES_ASKED_ONE_BY_ONE
from vezha.forecast.resource import FREE_EXPR, PARTS, SIZE_EXPR, Part, grown, loads
from vezha.model.labels import Labels, get_label
from vezha.query import Engine

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Read:
    """Loads of hosts: by resource float64 [hosts, steps]."""

    hosts: list[str]
    loads: dict[str, Floats]


def read_loads(engine: Engine, start_ms: int, step_ms: int, count: int) -> Read:
    """The loads of *count* steps from *start_ms* on, all hosts. Raises QueryError."""
    asked = {
        name: _edges(engine, part.expr, start_ms, step_ms, count + 1)
        for name, part in PARTS.items()
    }
    return assemble(asked, step_ms / 1000, count)


def assemble(asked: dict[str, tuple[list[Labels], Floats]], step_s: float, count: int) -> Read:
    """From each part's labels and values at edges (float64 [series, count + 1])."""
    hosts = sorted({get_label(one, "instance") for labels, _ in asked.values() for one in labels})
    places = {host: i for i, host in enumerate(hosts)}
    made = {}
    for name, part in PARTS.items():
        labels, values = asked[name]
        at = np.array([places[get_label(one, "instance")] for one in labels], np.int64)
        made[name] = _by_host(part, at, values, step_s, len(hosts), count)
    # A host that was away for some of a step worked less in it than its load was.
    with np.errstate(invalid="ignore"):
        away = ~(made["all"] >= AWAY_PART * made["cores"])
    return Read(hosts, {k: np.where(away, np.nan, v) for k, v in loads(made).items()})


def _by_host(
    part: Part, at: npt.NDArray[np.int64], values: Floats, step_s: float, hosts: int, count: int
) -> Floats:
    out = np.full((hosts, count), np.nan)
    if not len(at):
        return out
    moved = grown(values, step_s) if part.counter else values[:, 1:]
    if part.largest:
        np.fmax.at(out, at, moved)
        return out
    there = np.isfinite(moved)
    total, known = np.zeros((hosts, count)), np.zeros((hosts, count), np.bool_)
    np.add.at(total, at, np.where(there, moved, 0.0))
    np.logical_or.at(known, at, there)
    return np.where(known, total, np.nan)


@dataclass(frozen=True, slots=True)
class Files:
    """File systems: (instance, mountpoint, device), free and whole room in bytes at each edge:
    float64 [file systems, edges]."""

    names: list[tuple[str, str, str]]
    free: Floats
    size: Floats


def read_files(engine: Engine, start_ms: int, step_ms: int, count: int) -> Files:
    """Free room at *count* edges from *start_ms* on. Raises QueryError."""
    labels, free = _edges(engine, FREE_EXPR, start_ms, step_ms, count)
    names = [_file_name(one) for one in labels]
    size_labels, size_values = _edges(engine, SIZE_EXPR, start_ms, step_ms, count)
    sizes = {_file_name(one): size_values[i] for i, one in enumerate(size_labels)}
    nothing = np.full(count, np.nan)
    size = np.array([sizes.get(name, nothing) for name in names]).reshape(len(names), count)
    return Files(names, free, size)


def _file_name(labels: Labels) -> tuple[str, str, str]:
    return (
        get_label(labels, "instance"),
        get_label(labels, "mountpoint"),
        get_label(labels, "device"),
    )


def _edges(
    engine: Engine, expr: str, start_ms: int, step_ms: int, count: int
) -> tuple[list[Labels], Floats]:
    """Values at edges. A few are asked one by one, since the newest sample of each series is all
    that such a question reads."""
    if count > EDGES_ASKED_ONE_BY_ONE:
        result = engine.range(expr, start_ms, start_ms + (count - 1) * step_ms, step_ms)
        return result.labels, result.filled()
    rows: dict[Labels, int] = {}
    columns = []
    for i in range(count):
        result = engine.instant(expr, start_ms + i * step_ms)
        for one in result.labels:
            rows.setdefault(one, len(rows))
        columns.append((result.labels, result.filled()[:, 0]))
    values = np.full((len(rows), count), np.nan)
    for i, (labels, column) in enumerate(columns):
        values[[rows[one] for one in labels], i] = column
    return list(rows), values
