"""`Store`: the one writer, and a `SampleSource` for its own process.

Threads: everything that puts (`resolve`, `layout`, `write*`, `origin`, `seal`) runs on one
thread, the loop's. `commit` runs on a worker. Tiles are written by a thread of the store (or
inside `commit` with `background=False`). Selecting may happen on any thread.

How it recovers: `recovery`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from vezha.model.columns import Matcher, Refs, Selection, SeriesData, Times, Values
from vezha.model.labels import INSTANCE, Labels, get_label, labels_of
from vezha.store import wal as wal_format
from vezha.store.admission import Admission, admission
from vezha.store.damage import Damage
from vezha.store.delta import Delta, pack_delta
from vezha.store.errors import (
    StoreCorrupt,
    StoreInUse,
    StoreUnwritable,
    TooManySeries,
    UnknownSchema,
)
from vezha.store.flusher import Flusher
from vezha.store.head import (
    Frozen,
    Head,
    Layout,
    claim_folder,
    clear_folder,
    head_folder,
    release_folder,
)
from vezha.store.index import HOST_LABELS, split_labels
from vezha.store.limits import (
    FROZEN_HEADS_MAX,
    FUTURE_MS_MAX,
    REFUSED_SOURCES_TOLD_MAX,
)
from vezha.store.opening import open_catalog
from vezha.store.packed import AnySlab
from vezha.store.partition import Partitions
from vezha.store.policy import Assignment
from vezha.store.reading import Reading
from vezha.store.recovery import Recovery
from vezha.store.roster import Rosters
from vezha.store.salvage import is_damage
from vezha.store.settings import StoreSettings
from vezha.store.sources import Sources
from vezha.store.wal import Wal
from vezha.wire.ranges import Ranges
from vezha.world import World

log = structlog.get_logger(__name__)
_PREPARE_FROM = 0.9


@dataclass(slots=True)
class Batch:
    """What was put between two seals: pieces of a WAL record, and a head that ended with it."""

    entries: list[bytes]
    count: int
    delta: Delta
    frozen: Frozen | None = None


class Store:
    """Open with `Store.open`. See the brief in the package's docstring."""

    def __init__(self, path: str, world: World, settings: StoreSettings) -> None:
        self.path = path
        self.settings = settings
        self._world = world
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = lock_for_writing(path)
        try:
            self._open()
        except BaseException as error:
            os.close(self._lock_fd)
            if isinstance(error, sqlite3.Error) and is_damage(error):
                raise StoreCorrupt(
                    f"{path} cannot be read ({error}): `vezha store check` says what is damaged"
                ) from None
            raise

    @staticmethod
    def open(path: str, world: World, settings: StoreSettings | None = None) -> Store:
        """Open for writing, made if absent, recovered if the last writer was killed or the catalog is
        damaged. Raises StoreInUse where another process writes to it, WrongFormat where another
        version of the program wrote it.
        """
        return Store(path, world, settings or StoreSettings())

    def _open(self) -> None:
        path, settings = self.path, self.settings
        self.counts: dict[str, int] = dict.fromkeys(
            (
                "frames", "samples", "duplicate_frames", "future_samples", "old_samples",
                "refused_series", "wal_failures", "wal_bytes", "wal_records", "recovered_frames",
                "torn_bytes", "roster_samples", "catalog_rebuilt", "lost_names", "lost_records",
            ),
            0,
        )  # fmt: skip
        opened = open_catalog(path, self._world)
        self._catalog, self._names, self._known = opened.catalog, opened.names, opened.known
        if opened.lost_names >= 0:
            self.counts["catalog_rebuilt"], self.counts["lost_names"] = 1, opened.lost_names
        self._index = self._known.index
        self._partitions = Partitions(path, readonly=False)
        self._days = self._partitions.general.days
        self._assignment = Assignment(self._index, settings.policies)
        self._wal = Wal(self._world.disk, f"{path}/wal")
        self._schemas = opened.schemas
        self._schema_columns: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        self._origins = opened.origins
        self._progress = [opened.progress.get(i, Ranges()) for i in range(len(self._origins))]
        self._sources = Sources(self._index)
        self._source_series: Refs
        self._count_series()
        self._layouts: dict[tuple[int, Labels], Layout] = {}
        self._layout_list: list[Layout] = []
        for number, schema, host in opened.layouts:
            self._add_layout(number, schema, host, self._known.layout_refs[number])
        self._delta = Delta()
        self._entries: list[bytes] = []
        self._entry_count = 0
        self._queue: deque[Batch] = deque()
        self._commit_lock = threading.Lock()
        self._frozen: list[Frozen] = []
        self._frozen_lock = threading.Lock()
        self._told_refused: set[str] = set()
        self._rosters = Rosters()
        self._damage = Damage(path)
        self._flusher = Flusher(self)
        self._segment = 0
        recovery = Recovery(self)
        recovery.remove_unfinished()
        self._folder = head_folder(path, settings.head_folder)
        clear_folder(f"{path}/head")
        claim_folder(self._folder, path)
        times_opened = int(self._catalog.meta("opened") or 0) + 1
        self._catalog.set_meta("opened", times_opened)
        began = self._catalog.meta("began_ms")
        self._began_ms = int(began or self._world.clock.now() * 1000)
        if began is None:
            self._catalog.set_meta("began_ms", self._began_ms)
        self._catalog.set_meta("head_folder", self._folder)
        self._head = Head(self._folder, f"{path}/head", times_opened << 32)
        self._now()
        self._reading = Reading(
            self._index,
            self._known.layout_refs,
            self._slabs,
            self._partitions,
            settings,
            self._known.tombstones,
            self._damage,
        )
        recovery.replay()
        self._flusher.start()

    # Series

    def resolve(self, series: Sequence[Labels]) -> Refs:
        """References of series, int64[n], made where they are new.

        A series beyond a limit gets -1 (and `write` drops its samples, counted).
        """
        splits = self._sources.splits(series)
        refs = np.full(len(series), -1, np.int64)
        index = self._index
        for at in range(max(map(len, splits), default=0)):
            tried = [i for i, pairs in enumerate(splits) if len(pairs) > at and refs[i] < 0]
            known = [
                (i, index.columns.ids.get(column), index.hosts.ids.get(host))
                for i, (column, host) in ((i, splits[i][at]) for i in tried)
            ]
            there = [(i, c, h) for i, c, h in known if c is not None and h is not None]
            if there:
                where, columns, hosts = (
                    np.array(part, np.int64) for part in zip(*there, strict=True)
                )
                refs[where] = index.find(columns, hosts)
        new = np.flatnonzero(refs < 0)
        if len(new):
            pairs = [splits[i][0] for i in new.tolist()]
            admitted = admission(
                pairs,
                lambda host: self._source_of(self._host(host)),
                lambda source: (
                    self.settings.series_per_source_max - int(self._source_series[source])
                ),
                self.settings.series_max - self._index.count,
            )
            if admitted.refused:
                self._refuse(admitted)
            if admitted.made:
                columns = np.array([self._column(pairs[i][0]) for i in admitted.made], np.int64)
                hosts = np.array([self._host(pairs[i][1]) for i in admitted.made], np.int64)
                made = self._create(columns, hosts, np.full(len(columns), -1, np.int64))
                refs[new[admitted.made]] = made
        return refs

    def _refuse(self, admitted: Admission) -> None:
        """Count series over a limit, and tell it once for each source."""
        self.counts["refused_series"] += admitted.refused
        name = source_name(admitted.first_refused)
        if name not in self._told_refused and len(self._told_refused) < REFUSED_SOURCES_TOLD_MAX:
            self._told_refused.add(name)
            log.warning(
                "series refused, there are too many",
                source=name,
                limit=admitted.limit,
                most=getattr(self.settings, admitted.limit),
                refused=admitted.refused,
            )

    def _column(self, labels: Labels) -> int:
        sets = self._index.columns
        number = sets.ids.get(labels)
        if number is None:
            number = sets.add(labels)
            self._delta.columns.append((number, labels))
        return number

    def _host(self, labels: Labels) -> int:
        sets = self._index.hosts
        number = sets.ids.get(labels)
        if number is None:
            number = sets.add(labels)
            self._delta.hosts.append((number, labels))
        return number

    def _source_of(self, host: int) -> int:
        source = int(self._sources.of_hosts()[host])
        if source >= len(self._source_series):
            grown = np.zeros(2 * source + 64, np.int64)
            grown[: len(self._source_series)] = self._source_series
            self._source_series = grown
        return source

    def _count_series(self) -> None:
        """Series by source, from the index."""
        of_host = self._sources.of_hosts()
        self._source_series = np.bincount(
            of_host[self._index.host_of], minlength=2 * len(self._sources) + 64
        )

    def _create(
        self,
        columns: np.ndarray[tuple[int], np.dtype[np.int64]],
        hosts: np.ndarray[tuple[int], np.dtype[np.int64]],
        refs: Refs,
    ) -> Refs:
        missing = np.flatnonzero(refs < 0)
        keys = (columns[missing] << 32) | hosts[missing]
        _, first = np.unique(keys, return_index=True)
        new = missing[np.sort(first)]
        self._source_of(int(hosts.max()))
        sources = self._sources.of_hosts()[hosts[new]]
        for source in np.unique(sources).tolist():
            self._source_of(int(self._sources.hosts(source)[0]))
        if len(new):
            new_columns, new_hosts = columns[new].astype(np.int32), hosts[new].astype(np.int32)
            first_ref = self._index.append(new_columns, new_hosts)
            np.add.at(self._source_series, sources, 1)
            self._delta.series.append((first_ref, new_columns.tobytes(), new_hosts.tobytes()))
            refs[missing] = self._index.find(columns[missing], hosts[missing])
        return refs

    def _source_name(self, source: int) -> str:
        return source_name(self._index.hosts.sets[self._sources.hosts(source)[0]])

    def labels(self, ref: int) -> Labels:
        """The labels of a reference that `resolve` gave."""
        return self._index.labels(ref)

    def known_schema(self, schema_id: int) -> bool:
        """Whether a schema was put."""
        return schema_id in self._schemas

    def schema(self, schema_id: int) -> Sequence[Labels]:
        """The series of a schema that was put."""
        return self._schemas[schema_id]

    def put_schema(self, schema_id: int, series: Sequence[Labels]) -> None:
        """Learn a schema, the ordered series of a frame; durable at the next commit."""
        if schema_id not in self._schemas:
            self._schemas[schema_id] = list(series)
            self._delta.schemas.append((schema_id, list(series)))

    def layout(self, schema_id: int, extra: Labels) -> Layout:
        """The place of one schema's frames on one host; `extra` are the host's labels, but in
        schemas whose series name their hosts themselves. Raises UnknownSchema, TooManySeries."""
        if (found := self._layouts.get((schema_id, extra))) is not None:
            return found
        if (schema := self._schemas.get(schema_id)) is None:
            raise UnknownSchema(f"schema {schema_id:016x} was not announced")
        if not any(name in HOST_LABELS for name, _ in extra):
            refs = self.resolve([labels_of((*labels, *extra)) for labels in schema])
            if int(refs.min()) >= 0:
                return self._new_layout(schema_id, extra, refs)
            raise TooManySeries("", "series_max", self.settings.series_max)
        host = self._host(extra)
        source = self._source_of(host)
        columns = self._schema_columns.get(schema_id)
        if columns is None:
            columns = np.array([self._column(split_labels(s)[0]) for s in schema], np.int64)
            self._schema_columns[schema_id] = columns
        hosts = np.full(len(columns), host, np.int64)
        refs = self._index.find(columns, hosts)
        new = int(np.count_nonzero(refs < 0))
        limits = self.settings
        limit = "series_max" if self._index.count + new > limits.series_max else ""
        if int(self._source_series[source]) + new > limits.series_per_source_max:
            limit = "series_per_source_max"
        if limit:
            self.counts["refused_series"] += new
            raise TooManySeries(self._source_name(source), limit, getattr(limits, limit))
        if new:
            refs = self._create(columns, hosts, refs)
        return self._new_layout(schema_id, extra, refs)

    def _new_layout(self, schema_id: int, extra: Labels, refs: Refs) -> Layout:
        layout = self._add_layout(number := len(self._layout_list), schema_id, extra, refs)
        self._known.layout_refs.append(refs)
        self._delta.layouts.append((number, schema_id, extra, refs.tobytes()))
        return layout

    def _add_layout(self, number: int, schema: int, extra: Labels, refs: Refs) -> Layout:
        assert number == len(self._layout_list)
        layout = Layout(number, refs, get_label(extra, INSTANCE))
        self._layouts[(schema, extra)] = layout
        self._layout_list.append(layout)
        return layout

    # Samples

    def origin(self, key: str) -> int:
        """The small number of a stream; durable at the next commit."""
        number = self._origins.get(key)
        if number is None:
            number = self._origins[key] = len(self._progress)
            self._progress.append(Ranges())
            self._delta.origins.append((number, key))
        return number

    def progress(self, origin: int) -> list[tuple[int, int]]:
        """Closed ranges of the sequence numbers stored for a stream, ascending."""
        return list(self._progress[origin])

    def write_frame(
        self, layout: Layout, origin: int, seq: int, ts_ms: int, raw: bytes, values: Values
    ) -> None:
        """Put one frame: `values` float64[len(layout.refs)] at *ts_ms*; *raw* goes into the WAL.

        Readable at once, durable with the next commit. A number that was stored before is
        dropped and counted; so are times out of bounds, whose number is kept all the same, for
        the sender must not repeat them. Raises StoreUnwritable where neither the memory file
        system nor the disk has room for the head; the frame was not taken then.
        """
        width = layout.width
        assert len(values) == width
        counts = self.counts
        if not self._progress[origin].add(seq):
            counts["duplicate_frames"] += 1
            return
        if ts_ms > self._newest_ms:
            self._now()  # it may only be long since the last seal
        if not self._oldest_ms <= ts_ms <= self._newest_ms:
            counts["future_samples" if ts_ms > self._newest_ms else "old_samples"] += width
            raw = b""
        else:
            try:
                self._head.write_frame(layout, ts_ms, values)
            except OSError as error:
                self._forget(origin, seq)
                raise StoreUnwritable(error.errno, f"no memory for the head: {error}") from error
            counts["frames"] += 1
            counts["samples"] += width
        self._entries += (
            wal_format.FRAME_HEAD.pack(
                wal_format.FRAME, wal_format.FRAME_BODY.size + len(raw),
                layout.id, origin, seq, ts_ms,
            ),
            raw,
        )  # fmt: skip
        self._entry_count += 1

    def _forget(self, origin: int, seq: int) -> None:
        """Take a sequence number back that was not stored after all."""
        left = Ranges()
        for low, high in self._progress[origin]:
            for first, last in ((low, min(high, seq - 1)), (max(low, seq + 1), high)):
                if first <= last:
                    left.add_range(first, last)
        self._progress[origin] = left

    def write(self, refs: Refs, ts_ms: Times, values: Values) -> None:
        """Put samples in any order and of any age: three columns of equal length.

        Negative references (series refused by a limit) and times out of bounds are dropped and
        counted.
        """
        assert len(refs) == len(ts_ms) == len(values)
        if len(ts_ms) and ts_ms.max() > self._newest_ms:
            self._now()
        oldest_ms = self._oldest_of(refs, ts_ms)
        good = (refs >= 0) & (ts_ms <= self._newest_ms) & (ts_ms >= oldest_ms)
        if not good.all():
            self.counts["future_samples"] += int(np.count_nonzero(ts_ms > self._newest_ms))
            self.counts["old_samples"] += int(np.count_nonzero(ts_ms < oldest_ms))
            refs, ts_ms, values = refs[good], ts_ms[good], values[good]
        count = len(refs)
        if not count:
            return
        assert int(refs.max()) < self._index.count
        refs = np.ascontiguousarray(refs, np.int64)
        ts_ms = np.ascontiguousarray(ts_ms, np.int64)
        self._take(refs, ts_ms, values, logged=False)
        self.counts["samples"] += count

    def _oldest_of(self, refs: Refs, ts_ms: Times) -> int | Times:
        """The earliest time that is taken: for all, or of each of these samples."""
        settings = self.settings
        strict_ms = int((self._now_s - settings.shortest_s) * 1000)
        if strict_ms <= self._oldest_ms or not len(ts_ms) or ts_ms.min() >= strict_ms:
            return self._oldest_ms
        if (refs < 0).all():
            return self._oldest_ms
        return self.oldest_by_policy_ms()[self._assignment.of(np.maximum(refs, 0))]

    def oldest_by_policy_ms(self) -> Times:
        """The earliest time that is kept under each policy, the general one first."""
        settings = self.settings
        kept_s = np.array([settings.retention_s, *(p.samples_s for p in settings.policies)])
        return ((self._now_s - kept_s) * 1000).astype(np.int64)

    def _take(self, refs: Refs, ts_ms: Times, values: Values, *, logged: bool) -> None:
        """Put samples into the head, as rows where they are a roster's, and into the WAL unless
        they came from there."""
        values = np.require(values, np.float64, ("C", "A"))  # a block takes them as a buffer
        head = self._head
        loose: list[tuple[int, int]] = []
        for (first, last), roster in self._rosters.runs(refs, ts_ms, head.generation):
            if roster is None:
                loose.append((first, last))
                continue
            head.write_frame(roster.layout, int(ts_ms[first]), values[first:last])
            self.counts["roster_samples"] += last - first
            if logged:
                continue
            if roster.logged != head.generation:
                roster.logged = head.generation
                named = roster.layout.refs.tobytes()
                self._entries += (
                    wal_format.ROSTER_HEAD.pack(wal_format.ROSTER, 4 + len(named), roster.number),
                    named,
                )
                self._entry_count += 1
            self._entries += (
                wal_format.ROW_HEAD.pack(
                    wal_format.ROW, wal_format.ROW_BODY.size + 8 * (last - first),
                    roster.number, int(ts_ms[first]),
                ),
                values[first:last].tobytes(),
            )  # fmt: skip
            self._entry_count += 1
        if not loose:
            return
        if len(loose) == 1:
            part = slice(*loose[0])
            refs, ts_ms, values = refs[part], ts_ms[part], values[part]
        else:
            refs, ts_ms, values = (
                np.concatenate([column[first:last] for first, last in loose])
                for column in (refs, ts_ms, values)
            )
        head.write_loose(refs, ts_ms, values)
        if not logged:
            self._entries += (
                wal_format.SAMPLES_HEAD.pack(wal_format.SAMPLES, 4 + 24 * len(refs), len(refs)),
                refs.tobytes(),
                ts_ms.tobytes(),
                values.tobytes(),
            )
            self._entry_count += 1

    def seal(self) -> Batch:
        """Cut what was put so far into a batch. Cheap; on the thread that puts."""
        self._now()
        delta, self._delta = self._delta, Delta()
        entries, self._entries = self._entries, []
        count, self._entry_count = self._entry_count, 0
        if delta:
            packed = pack_delta(delta)
            entries[:0] = (wal_format.ENTRY.pack(wal_format.DELTA, len(packed)), packed)
            count += 1
        batch = Batch(entries, count, delta)
        if self._head.slabs and self._window_is_over() and len(self._frozen) < FROZEN_HEADS_MAX:
            self._freeze(batch)
        return batch

    def _now(self) -> None:
        self._now_s = self._world.clock.now()
        now_ms = int(self._now_s * 1000)
        self._newest_ms = now_ms + FUTURE_MS_MAX
        self._oldest_ms = now_ms - int(self.settings.longest_s * 1000)

    def _window_is_over(self) -> bool:
        window = int(self._now_s // self.settings.window_s)
        if not hasattr(self, "_window"):
            self._window = window
        return window != self._window or self._head.bytes_used > self.settings.head_bytes_max

    def _freeze(self, batch: Batch) -> None:
        """End the head with this batch; the next one begins."""
        self._window = int(self._now_s // self.settings.window_s)
        progress = {i: Ranges(r) for i, r in enumerate(self._progress)}
        old = self._head
        new = Head(self._folder, f"{self.path}/head", old.generation + 1)
        old.freeze(new)
        frozen = Frozen(old, -1, progress)
        # readers list frozen heads and then the head: for a moment both, never neither
        with self._frozen_lock:
            self._frozen = [*self._frozen, frozen]
        self._head = new
        batch.frozen = frozen

    def commit(self, batch: Batch) -> None:
        """Make a batch durable: one write and one sync. Blocks; on a worker thread.

        Raises StoreUnwritable (an OSError) if the disk refuses. Nothing is lost then: what was
        sealed is kept and goes out, in order, with the next commit that succeeds.
        """
        with self._commit_lock:
            # whoever tries again brings the batch that is still waiting
            waits = any(queued is batch for queued in self._queue)
            if not waits and (batch.count or batch.frozen is not None):
                self._queue.append(batch)
            while self._queue:
                self._write(self._queue[0])
                self._queue.popleft()
            with contextlib.suppress(OSError):
                self._prepare()
        self._flusher.nudge()

    def _written(self, frozen: Frozen) -> None:
        """A head's samples are in tiles: let go of it."""
        with self._frozen_lock:
            self._frozen = [f for f in self._frozen if f is not frozen]
        frozen.head.unlink()
        self._wal.remove_through(frozen.segment)

    def _write(self, batch: Batch) -> None:
        if batch.count:
            record = wal_format.pack_record(batch.entries, batch.count)
            try:
                self._wal.append(self._segment, record)
            except OSError as error:
                self._segment += 1
                self.counts["wal_failures"] += 1
                raise StoreUnwritable(error.errno, f"the WAL cannot be written: {error}") from error
            batch.entries, batch.count = [], 0
            self.counts["wal_bytes"] += len(record)
            self.counts["wal_records"] += 1
        if batch.delta:
            self._flusher.put_delta(batch.delta)
        if batch.frozen is not None:
            batch.frozen.segment = self._segment
            self._segment += 1
            self._wal.close()
            self._flusher.add(batch.frozen)
            batch.frozen = None

    def _prepare(self) -> None:
        """Memory that the loop will want soon."""
        head, settings = self._head, self.settings
        over = max(
            self._now_s % settings.window_s / settings.window_s,
            head.bytes_used / settings.head_bytes_max,
        )
        if head.needs_spare() or (head.slabs and over > _PREPARE_FROM):
            head.prepare()

    def flush(self) -> None:
        """Commit and write everything as tiles now. Blocks."""
        batch = self.seal()
        if batch.frozen is None and self._head.slabs:
            self._freeze(batch)
        self.commit(batch)
        self._flusher.run_until_empty()

    def compact(self) -> int:
        """Flush, merge every hour that has ended whether quiet or not, give space back.

        Returns how many tiles were merged away. Blocks.
        """
        self.flush()
        return self._flusher.compact()

    def delete(
        self, matchers: Sequence[Matcher], start_ms: int | None = None, end_ms: int | None = None
    ) -> int:
        """Delete samples in [start, end] of the series that fit; how many series. Durable.

        Without bounds: all that there is until now. Hidden at once, here and in other processes;
        their bytes go when tiles are merged, or with `compact`.
        """
        self._now()
        low = self._oldest_ms if start_ms is None else start_ms
        high = int(self._now_s * 1000) if end_ms is None else end_ms
        refs = self._index.match(tuple(matchers)).refs
        if len(refs) and low <= high:
            self._known.tombstones.append(self._catalog.add_tombstone(low, high, refs))
            self._flusher.unroll(refs, low, high)
        return len(refs)

    # Reading

    @property
    def head_folder(self) -> str:
        """Where the head's shared memory lies."""
        return self._folder

    def _slabs(self) -> list[AnySlab]:
        head = self._head  # first: what ends meanwhile is then among the frozen ones
        frozen = self._frozen
        slabs = [slab for f in frozen for slab in f.head.slabs]
        if not frozen or frozen[-1].head is not head:
            slabs += head.slabs
        return slabs

    def select(self, selection: Selection) -> SeriesData:
        """See `SampleSource.select`."""
        return self._reading.select(selection)

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        """See `SampleSource.series`."""
        return self._reading.series(matchers, start_ms, end_ms, limit)

    def has_label(self, name: str) -> bool:
        """Whether any series has ever had a label of that name."""
        return self._index.has_label(name)

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """See `SampleSource.label_names`."""
        return self._reading.label_names(matchers, start_ms, end_ms)

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        """See `SampleSource.label_values`."""
        return self._reading.label_values(name, matchers, start_ms, end_ms)

    def began_ms(self) -> int:
        """When it was opened for the first time."""
        return self._began_ms

    def stats(self) -> dict[str, float]:
        """Counters since opening, and sizes now (bytes, seconds)."""
        cache, partitions = self._reading.cache, self._partitions.all()
        return {
            **{name: float(count) for name, count in self.counts.items()},
            **self._flusher.stats(),
            "series": float(self._index.count),
            "sources": float(len(self._sources)),
            "layouts": float(len(self._layout_list)),
            "rosters": float(len(self._rosters)),
            "head_bytes": float(self._head.bytes_used),
            "frozen_heads": float(len(self._frozen)),
            "cache_bytes": float(cache.bytes_used),
            "corrupt_tiles": float(self._damage.count()),
            "disk_bytes": float(sum(sum(p.days.bytes_on_disk().values()) for p in partitions)),
            "rolled_bytes": float(sum(sum(p.rolled.bytes_on_disk().values()) for p in partitions)),
            "wal_disk_bytes": float(self._wal.bytes_on_disk()),
        }

    def top_sources(self, count: int = 10) -> list[tuple[str, int]]:
        """Sources with the most series: (instance, series)."""
        sizes = self._source_series[: len(self._sources)]
        order = np.argsort(-sizes, kind="stable")[:count].tolist()
        return [(self._source_name(source), int(sizes[source])) for source in order]

    def close(self) -> None:
        """Write everything as tiles and let go of the files."""
        try:
            with contextlib.suppress(OSError, sqlite3.Error):
                self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of everything without writing: what was committed is recovered at opening."""
        self._flusher.stop()
        self._wal.close()
        self._head.freeze()
        for head in (*(frozen.head for frozen in self._frozen), self._head):
            head.unlink()
        release_folder(self._folder)
        self._partitions.close()
        self._catalog.close()
        self._names.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def source_name(host: Labels) -> str:
    """What people call the source with these labels."""
    return get_label(host, INSTANCE) or get_label(host, "job")


def lock_for_writing(path: str) -> int:
    """An open file that holds the store for one writer. Raises StoreInUse."""
    fd = os.open(f"{path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StoreInUse(f"another process has the store in {path} open for writing") from None
    return fd
