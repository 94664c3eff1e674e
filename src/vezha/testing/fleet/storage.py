"""The real store under the simulated server: a temporary folder, virtual time, a disk that fails.

A kill abandons the store without writing; the next life recovers it from its WAL. At the end it
is opened once more and every sample is read back through `select`.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from typing import Any

from vezha.gateway.sink import FrameSink
from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.model.labels import INSTANCE, get_label
from vezha.store import Store, StoreSettings
from vezha.testing.fleet.journal import EPOCH_S, Journal
from vezha.testing.fleet.virtual import VirtualClock, VirtualLoop
from vezha.testing.fleet.virtualserver import Stored
from vezha.world import AppendFile, SystemDisk, World

WINDOW_S = 25.0
"""So short that a run sees several heads become tiles."""


class _FailingFile:
    def __init__(self, file: AppendFile, sink: _JournalledStore) -> None:
        self._file = file
        self._sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def sync(self) -> None:
        if self._sink.fail_commits:
            self._sink.fail_commits -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        self._file.sync()


class _FailingDisk(SystemDisk):
    def __init__(self, sink: _JournalledStore) -> None:
        self._sink = sink

    def open_append(self, path: str) -> AppendFile:
        found: Any = _FailingFile(super().open_append(path), self._sink)
        file: AppendFile = found
        return file


class _JournalledStore:
    """A `FrameSink` over the store of the present life; tells the journal what became durable."""

    def __init__(self, journal: Journal, loop: VirtualLoop) -> None:
        self.fail_commits = 0
        self.store: Store | None = None
        self._journal = journal
        self._loop = loop
        self._keys: dict[int, str] = {}
        self._pending: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def origin(self, key: str) -> int:
        assert self.store is not None
        number = self.store.origin(key)
        self._keys[number] = key
        return number

    def write_frame(
        self, layout: Any, origin: int, seq: int, ts_ms: int, raw: bytes, values: Any
    ) -> None:
        assert self.store is not None
        self.store.write_frame(layout, origin, seq, ts_ms, raw, values)
        self._pending.append((self._keys[origin], seq))

    def seal(self) -> tuple[Any, list[tuple[str, int]]]:
        assert self.store is not None
        pending, self._pending = self._pending, []
        return self.store.seal(), pending

    def commit(self, sealed: tuple[Any, list[tuple[str, int]]]) -> None:
        assert self.store is not None
        try:
            self.store.commit(sealed[0])
        except OSError:
            self._journal.trouble_all(self._loop.time())
            raise
        for key, seq in sealed[1]:
            self._journal.committed(key, seq, self._loop.time())

    def lose(self) -> None:
        """The process was killed."""
        self._pending = []
        self._keys = {}
        if self.store is not None:
            self.store.abandon()
            self.store = None


class StoreStorage:
    """`vezha.store` as storage. Stamps must be exact, so no clocks are set in such a run."""

    sets_clocks = False

    def __init__(self, journal: Journal, loop: VirtualLoop) -> None:
        self.sink = _JournalledStore(journal, loop)
        self._folder = tempfile.mkdtemp(prefix="vezha-fleet-")
        self._journal = journal
        self._clock = VirtualClock(loop, EPOCH_S)

    def open(self) -> FrameSink:
        assert self.sink.store is None
        world = World(clock=self._clock, disk=_FailingDisk(self.sink))
        settings = StoreSettings(
            window_s=WINDOW_S,
            head_folder=f"{self._folder}/memory",
            background=False,
            merge_after_s=WINDOW_S,
        )
        self.sink.store = Store.open(f"{self._folder}/store", world, settings)
        found: Any = self.sink
        sink: FrameSink = found
        return sink

    def crash(self) -> None:
        self.sink.lose()

    def stored(self) -> Stored:
        self.open()
        assert self.sink.store is not None
        name = Matcher("__name__", MatchOp.EQ, "node_simulated")
        start_ms = int((EPOCH_S - 100_000) * 1000)
        end_ms = int((self._clock.now() + 100_000) * 1000)
        data = self.sink.store.select(Selection((name,), start_ms, end_ms))
        shards: dict[tuple[str, int], dict[int, float]] = {}
        for i, labels in enumerate(data.labels):
            host, shard = get_label(labels, INSTANCE), int(get_label(labels, "shard"))
            part = slice(data.offsets[i], data.offsets[i + 1])
            for ts, value in zip(data.ts[part].tolist(), data.values[part].tolist(), strict=True):
                shards.setdefault((host, ts), {})[shard] = value
        found: Stored = {}
        for key, frames in self._journal.sampled.items():
            for seq, made in frames.items():
                row = shards.pop((made.host, made.stamp_ms), None)
                if row is not None:
                    found[key, seq] = (made.stamp_ms, tuple(row[i] for i in sorted(row)))
        for host, ts in shards:
            self._journal.violations.append(f"{host} has a sample at {ts} that nobody made")
        return found

    def close(self) -> None:
        self.sink.lose()
        shutil.rmtree(self._folder, ignore_errors=True)
