"""The store and a remote engine at once: what the store takes also goes into the queue.

Has the writer's interface of the store, so whoever writes does not notice. A batch counts as
committed when it is durable in the store and in the queue; the engine itself may be away for as
long as the queue has room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vezha.model.columns import Refs, Times, Values
from vezha.model.labels import Labels
from vezha.store.head import Layout
from vezha.store.remote_queue import Columns, RemoteQueue
from vezha.store.store import Batch, Store


@dataclass(slots=True)
class _Gathered:
    refs: list[Refs] = field(default_factory=list)
    ts_ms: list[Times] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)

    def columns(self) -> Columns:
        if not self.refs:
            return Columns(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        return Columns(
            np.concatenate(self.refs), np.concatenate(self.ts_ms), np.concatenate(self.values)
        )


@dataclass(slots=True)
class MirrorBatch:
    """What `seal` cut off; `stored` once the store has it, so that a retry only queues."""

    batch: Batch
    gathered: _Gathered
    stored: bool = False


class Mirror:
    """A store's writer and a queue before a remote engine."""

    def __init__(self, store: Store, queue: RemoteQueue) -> None:
        self.store = store
        self.queue = queue
        self._gathered = _Gathered()

    def known_schema(self, schema_id: int) -> bool:
        return self.store.known_schema(schema_id)

    def schema(self, schema_id: int) -> Sequence[Labels]:
        return self.store.schema(schema_id)

    def put_schema(self, schema_id: int, series: Sequence[Labels]) -> None:
        self.store.put_schema(schema_id, series)

    def layout(self, schema_id: int, extra: Labels) -> Layout:
        return self.store.layout(schema_id, extra)

    def origin(self, key: str) -> int:
        return self.store.origin(key)

    def progress(self, origin: int) -> list[tuple[int, int]]:
        return self.store.progress(origin)

    def resolve(self, series: Sequence[Labels]) -> Refs:
        return self.store.resolve(series)

    def write_frame(
        self, layout: Layout, origin: int, seq: int, ts_ms: int, raw: bytes, values: Values
    ) -> None:
        self.store.write_frame(layout, origin, seq, ts_ms, raw, values)
        gathered = self._gathered
        gathered.refs.append(layout.refs)
        gathered.ts_ms.append(np.full(len(values), ts_ms, np.int64))
        gathered.values.append(values)

    def write(self, refs: Refs, ts_ms: Times, values: Values) -> None:
        self.store.write(refs, ts_ms, values)
        gathered = self._gathered
        gathered.refs.append(refs)
        gathered.ts_ms.append(ts_ms)
        gathered.values.append(values)

    def seal(self) -> MirrorBatch:
        gathered, self._gathered = self._gathered, _Gathered()
        return MirrorBatch(self.store.seal(), gathered)

    def commit(self, batch: MirrorBatch) -> None:
        """Raises OSError where the store or the queue cannot be written; then commit again."""
        if not batch.stored:
            self.store.commit(batch.batch)
            batch.stored = True
        columns = batch.gathered.columns()
        if len(columns):
            self.queue.append(columns)
