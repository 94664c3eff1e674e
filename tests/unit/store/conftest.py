"""What tests of the store share: a clock to move, a store to open, kill and open again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vezha.model.columns import Matcher, MatchOp, SampleSource, Selection
from vezha.model.labels import Labels, get_label, metric
from vezha.store import Store, StoreSettings
from vezha.testing.disk import MemoryDisk
from vezha.wire.frame import pack_frame
from vezha.world import World

T0_MS = 1_790_000_000_000
HOST = (("instance", "db-1"), ("job", "node"))


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time_s = T0_MS / 1000

    def now(self) -> float:
        return self.time_s

    def monotonic(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds


class Bench:
    """One store with its world, and short words for what tests do with it."""

    def __init__(self, folder: Path, disk: MemoryDisk | None = None) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.disk = disk
        self.world = World(clock=self.clock, disk=disk) if disk else World(clock=self.clock)
        self.settings = StoreSettings(background=False, head_folder=str(folder / "memory"))
        self.store = self.open()

    def open(self) -> Store:
        self.store = Store.open(str(self.folder / "store"), self.world, self.settings)
        return self.store

    def restart(self) -> Store:
        self.store.abandon()
        return self.open()

    def frame(self, schema: int, seq: int, ts_ms: int, values: list[float], origin: str = "a/1",
              extra: Labels = HOST) -> None:  # fmt: skip
        store = self.store
        raw = pack_frame(seq, schema, ts_ms, values)
        layout = store.layout(schema, extra)
        store.write_frame(layout, store.origin(origin), seq, ts_ms, raw, np.array(values))

    def commit(self) -> None:
        self.store.commit(self.store.seal())

    def read(
        self, name: str, start: int = 0, end: int = T0_MS * 2
    ) -> dict[str, list[tuple[int, float]]]:
        return read(self.store, name, start, end)


def read(source: SampleSource, name: str, start: int = 0,
         end: int = T0_MS * 2) -> dict[str, list[tuple[int, float]]]:  # fmt: skip
    """Samples of metric *name* by instance."""
    data = source.select(Selection((Matcher("__name__", MatchOp.EQ, name),), start, end))
    found: dict[str, list[tuple[int, float]]] = {}
    for i, labels in enumerate(data.labels):
        part = slice(int(data.offsets[i]), int(data.offsets[i + 1]))
        pairs = zip(data.ts[part].tolist(), data.values[part].tolist(), strict=True)
        found.setdefault(get_label(labels, "instance"), []).extend(pairs)
    return found


def schema_of(*names: str) -> list[Labels]:
    return [metric(name) for name in names]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.abandon()
