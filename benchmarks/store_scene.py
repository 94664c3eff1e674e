"""What the parts of the store's benchmark share: the scene, its data, and tables."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
from benchmarks.store_data import PER_HOST, generated, host_schema

from vezha.model.labels import Labels, labels_of
from vezha.store import Store, StoreSettings
from vezha.store.remote_encode import label_bytes, write_request
from vezha.world import World

SERVER_CORE, FEEDER_CORE = 0, 1


@dataclass
class Table:
    """Rows that are printed, and kept for the baseline file."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def show(self) -> None:
        widths = [
            max(len(str(r[i])) for r in [self.columns, *self.rows])
            for i in range(len(self.columns))
        ]
        print(f"\n{self.title}")
        for row in [self.columns, ["-" * w for w in widths], *self.rows]:
            print("  " + "  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)))
        sys.stdout.flush()


@dataclass(frozen=True)
class Scene:
    """What all parts share."""

    hosts: int
    seconds: int
    start_ms: int
    folder: Path

    def extra(self, host: int) -> Labels:
        return labels_of({"instance": f"host-{host:04d}", "job": "bench", "rack": f"r{host % 10}"})

    def series(self) -> list[Labels]:
        """All series, host by host."""
        schema = host_schema()
        return [labels_of((*s, *self.extra(h))) for h in range(self.hosts) for s in schema]

    def values(self) -> Iterator[tuple[int, np.ndarray[Any, np.dtype[np.float64]]]]:
        for second, values in enumerate(generated(self.hosts, self.seconds, 7)):
            yield self.start_ms + 1000 * second, values


def open_store(folder: Path, window_s: float = 120.0) -> Store:
    """A store as the server opens it."""
    return Store.open(str(folder), World(), StoreSettings(window_s=window_s))


def requests_of(scene: Scene) -> list[bytes]:
    """Remote-write bodies: each second of 100 hosts, one sample a series, as scrapes give them."""
    encoded = [label_bytes(labels) for labels in scene.series()]
    bodies = []
    hosts_per_request = min(100, scene.hosts)
    width = hosts_per_request * PER_HOST
    for ts_ms, values in scene.values():
        flat = values.ravel()
        for first in range(0, len(flat), width):
            refs = np.arange(first, min(first + width, len(flat)), dtype=np.int64)
            body, _ = write_request(
                refs, np.full(len(refs), ts_ms, np.int64), flat[refs], encoded.__getitem__
            )
            bodies.append(bytes(cramjam.snappy.compress_raw(body)))
    return bodies


def in_process(target: Callable[..., dict[str, float]], *args: Any) -> dict[str, float]:
    """Run *target* in a fresh process; what it returns."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(target, args)
