"""A frame sink in memory: the twin of the store's writer, with a disk that can be lost.

What was written is readable at once; what was committed survives `crash`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vezha.model.columns import Refs, Times, Values
from vezha.model.labels import Labels, labels_of
from vezha.wire.ranges import Ranges


@dataclass(frozen=True)
class MemoryLayout:
    """The series of one schema on one host."""

    refs: Refs


class MemorySink:
    """A `FrameSink` that keeps everything in dictionaries."""

    def __init__(self) -> None:
        self.fail_commits = 0
        """So many next commits raise OSError."""
        self.frames: dict[tuple[int, int], tuple[int, tuple[float, ...]]] = {}
        """(origin, seq) → (ts_ms, values) of durable frames."""
        self.doubled: list[tuple[int, int]] = []
        self.columns: dict[Labels, list[tuple[int, float]]] = {}
        self._schemas: dict[int, tuple[Labels, ...]] = {}
        self._refs: dict[Labels, int] = {}
        self._series: list[Labels] = []
        self._origins: dict[str, int] = {}
        self._pending: list[tuple[int, int, int, tuple[float, ...]]] = []
        self._lock = threading.Lock()

    def known_schema(self, schema_id: int) -> bool:
        return schema_id in self._schemas

    def schema(self, schema_id: int) -> Sequence[Labels]:
        return self._schemas[schema_id]

    def put_schema(self, schema_id: int, series: Sequence[Labels]) -> None:
        self._schemas[schema_id] = tuple(series)

    def layout(self, schema_id: int, extra: Labels) -> MemoryLayout:
        return MemoryLayout(
            self.resolve([labels_of((*s, *extra)) for s in self._schemas[schema_id]])
        )

    def origin(self, key: str) -> int:
        return self._origins.setdefault(key, len(self._origins))

    def origins(self) -> dict[str, int]:
        """Streams by key."""
        return dict(self._origins)

    def progress(self, origin: int) -> list[tuple[int, int]]:
        with self._lock:
            return list(Ranges((s, s) for o, s in self.frames if o == origin))

    def write_frame(
        self, layout: MemoryLayout, origin: int, seq: int, ts_ms: int, raw: bytes, values: Values
    ) -> None:
        assert len(layout.refs) == len(values)
        self._pending.append((origin, seq, ts_ms, tuple(values.tolist())))

    def resolve(self, series: Sequence[Labels]) -> Refs:
        for labels in series:
            if labels not in self._refs:
                self._refs[labels] = len(self._refs)
                self._series.append(labels)
        return np.array([self._refs[s] for s in series], np.int64)

    def write(self, refs: Refs, ts_ms: Times, values: Values) -> None:
        for ref, ts, value in zip(refs.tolist(), ts_ms.tolist(), values.tolist(), strict=True):
            self.columns.setdefault(self._series[ref], []).append((ts, value))

    def seal(self) -> list[tuple[int, int, int, tuple[float, ...]]]:
        batch, self._pending = self._pending, []
        return batch

    def commit(self, batch: list[tuple[int, int, int, tuple[float, ...]]]) -> None:
        if self.fail_commits:
            self.fail_commits -= 1
            raise OSError(28, "No space left on device")
        with self._lock:
            for origin, seq, ts_ms, values in batch:
                if (origin, seq) in self.frames:
                    self.doubled.append((origin, seq))
                self.frames[origin, seq] = (ts_ms, values)

    def crash(self) -> None:
        """Lose what was not committed."""
        self._pending = []
