"""The store against a dictionary: writes, late writes, commits, faults, crashes, packing, flushes.

What was acknowledged must be there with its first value, exactly once, whatever happens; what
was not may be there or not, but nothing else. The WAL's disk is the twin that forgets and tears.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.store.conftest import T0_MS, Bench, schema_of
from tests.unit.store.small_stretches import small_stretches

from vezha.model.columns import Selection
from vezha.model.labels import Labels, with_labels
from vezha.store import StoreReader
from vezha.testing.disk import MemoryDisk, PowerCut
from vezha.wire.ranges import Ranges

HOSTS = [(("instance", f"h{i}"), ("job", "node")) for i in range(3)]
SCHEMAS = {1: schema_of("a", "b", "c"), 2: schema_of("d", "e")}
LOOSE = [with_labels(labels, {"kind": "loose"}) for labels in schema_of("x", "y", "z")]
TARGET = [with_labels(m, {"kind": "row"}) for m in schema_of(*(f"r{i}" for i in range(18)))]
HOUR_MS = 3_600_000
Key = tuple[Labels, int]

ages = st.one_of(st.integers(0, 50), st.integers(0, 8).map(lambda h: h * 3600), st.just(86_400 * 3))


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.visible: dict[Key, float] = {}
        self.durable: set[Key] = set()
        self.seqs: dict[str, Ranges] = {}
        self.durable_seqs: dict[str, Ranges] = {}
        self.next_seq = 0
        self.value = 0.0
        self.small = ExitStack()

    @initialize(seed=st.integers(0, 2**16), packs=st.booleans())
    def begin(self, seed: int, packs: bool) -> None:
        if packs:
            self.small.enter_context(small_stretches())
        self.disk = MemoryDisk(seed)
        self.bench = Bench(self.folder, self.disk)
        self.reader = StoreReader.open(str(self.folder / "store"))

    def teardown(self) -> None:
        self.small.close()
        self.reader.close()
        self.bench.store.abandon()
        shutil.rmtree(self.folder)

    def _put(self, labels: Labels, ts_ms: int, value: float) -> None:
        self.visible.setdefault((labels, ts_ms), value)

    @rule(
        host=st.integers(0, 2), schema=st.sampled_from([1, 2]), age=ages, count=st.integers(1, 40)
    )
    def write_frames(self, host: int, schema: int, age: int, count: int) -> None:
        store = self.bench.store
        if not store.known_schema(schema):
            store.put_schema(schema, SCHEMAS[schema])
        key = f"h{host}/1"
        for i in range(count):
            self.value += 1
            ts = T0_MS - age * 1000 + i * 1000
            values = [self.value + k / 4 for k in range(len(SCHEMAS[schema]))]
            self.bench.frame(schema, self.next_seq, ts, values, key, HOSTS[host])
            self.seqs.setdefault(key, Ranges()).add(self.next_seq)
            self.next_seq += 1
            for labels, value in zip(SCHEMAS[schema], values, strict=True):
                self._put(with_labels(labels, dict(HOSTS[host])), ts, value)

    @rule(samples=st.lists(st.tuples(st.integers(0, 2), ages), min_size=1, max_size=20))
    def write_loose(self, samples: list[tuple[int, int]]) -> None:
        refs = self.bench.store.resolve([LOOSE[s] for s, _ in samples])
        ts = np.array([T0_MS - age * 1000 for _, age in samples])
        values = self.value + 1 + np.arange(len(samples)) / 8
        self.value += 20
        self.bench.store.write(refs, ts, values)
        for (s, _), at, value in zip(samples, ts.tolist(), values.tolist(), strict=True):
            self._put(LOOSE[s], at, value)

    @rule(
        rows=st.lists(
            st.tuples(st.sampled_from([(0, 18), (0, 17), (1, 18), (5, 9)]), ages),
            min_size=1,
            max_size=6,
        ),
        together=st.booleans(),
    )
    def write_targets(self, rows: list[tuple[tuple[int, int], int]], together: bool) -> None:
        """Runs of series that come again: rosters, that overlap and take series from each other."""
        refs = self.bench.store.resolve(TARGET)
        columns: list[tuple[Any, ...]] = []
        for (low, high), age in rows:
            self.value += 20
            ts = T0_MS - age * 1000
            values = self.value + np.arange(high - low) / 8
            columns.append((refs[low:high], np.full(high - low, ts), values))
            for s, value in zip(range(low, high), values.tolist(), strict=True):
                self._put(TARGET[s], ts, value)
        if together:
            columns = [tuple(np.concatenate([c[i] for c in columns]) for i in range(3))]
        for column in columns:
            self.bench.store.write(*column)

    def _acknowledged(self) -> None:
        self.durable = set(self.visible)
        self.durable_seqs = {key: Ranges(r) for key, r in self.seqs.items()}

    @rule()
    def commit(self) -> None:
        self.bench.commit()
        self._acknowledged()

    @rule(operation=st.sampled_from(["write", "sync"]), full=st.booleans())
    def commit_to_a_bad_disk(self, operation: str, full: bool) -> None:
        self.disk.fail(operation, error=errno.ENOSPC if full else errno.EIO)
        try:
            self.bench.commit()
            self._acknowledged()
        except OSError:
            pass
        self.disk.heal()

    @rule()
    def flush(self) -> None:
        self.bench.store.flush()
        self._acknowledged()

    @rule()
    def next_window(self) -> None:
        self.bench.clock.time_s += 0.001
        self.bench.store._window = -1
        self.bench.commit()
        self._acknowledged()

    @rule()
    def crash(self) -> None:
        self.disk.crash()
        self._restart()

    @rule(after=st.integers(1, 4), flush=st.booleans())
    def crash_in_the_middle(self, after: int, flush: bool) -> None:
        self.disk.cut_power_at(self.disk.operations + after)
        try:
            if flush:
                self.bench.store.flush()
            else:
                self.bench.commit()
            self._acknowledged()
        except PowerCut:
            pass
        self.disk.crash()
        self._restart()

    def _restart(self) -> None:
        self.bench.restart()
        found = self._found(self.bench.store)
        for key in self.durable:
            assert found[key] == self.visible[key], key
        for key, value in found.items():
            assert self.visible[key] == value
        self.visible = found
        self.durable = set(found)
        store = self.bench.store
        for stream, durable in self.durable_seqs.items():
            now = store.progress(store.origin(stream))
            assert all(Ranges(now).covers(low, high) for low, high in durable)
            assert all(self.seqs[stream].covers(low, high) for low, high in now)
        self.seqs = {k: Ranges(store.progress(store.origin(k))) for k in self.seqs}
        self._acknowledged()
        self.bench.commit()

    def _found(self, source: object) -> dict[Key, float]:
        assert hasattr(source, "select")
        data = source.select(Selection((), 0, T0_MS * 2))
        found: dict[Key, float] = {}
        for i, labels in enumerate(data.labels):
            part = slice(int(data.offsets[i]), int(data.offsets[i + 1]))
            for ts, value in zip(data.ts[part].tolist(), data.values[part].tolist(), strict=True):
                assert (labels, ts) not in found
                found[(labels, ts)] = value
        return found

    @invariant()
    def everything_is_readable(self) -> None:
        if hasattr(self, "bench"):
            assert self._found(self.bench.store) == self.visible

    @rule()
    def another_process_reads_the_same(self) -> None:
        self.commit()
        assert self._found(self.reader) == self.visible

    @rule(back=ages, reach=st.integers(1, 60))
    def the_newest_are_the_last_of_all(self, back: int, reach: int) -> None:
        end = T0_MS - back * 1000 + 20_000
        newest = self.bench.store.select(Selection((), end - reach * 1000, end, newest_only=True))
        wanted: dict[Labels, int] = {}
        for labels, ts in self.visible:
            if end - reach * 1000 < ts <= end:
                wanted[labels] = max(ts, wanted.get(labels, 0))
        assert dict(zip(newest.labels, newest.ts.tolist(), strict=True)) == wanted
        for labels, value in zip(newest.labels, newest.values.tolist(), strict=True):
            assert value == self.visible[(labels, wanted[labels])]


TestStoreStates = StoreMachine.TestCase
TestStoreStates.settings = settings(
    deadline=None,
    max_examples=60,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)
