"""Recovery: what the store does at opening about what the last writer left behind.

The catalog's checkpoint (a WAL segment and the streams' progress, one durable transaction) is the
only truth about which samples are in tiles. Tiles of later flushes than the checkpoint's are
deleted, the WAL after it is replayed.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import structlog

from vezha.model.columns import Refs
from vezha.store import wal as wal_format
from vezha.store.days import FLUSH
from vezha.store.delta import Delta, unpack_delta
from vezha.store.errors import StoreCorrupt
from vezha.store.frames import values_of_frame
from vezha.store.limits import LOST_RECORDS_TOLD_MAX
from vezha.wire.ranges import Ranges

if TYPE_CHECKING:
    from vezha.store.store import Store

log = structlog.get_logger(__name__)


class Recovery:
    """Brings a `Store` up to date, whose inner parts it shares."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def remove_unfinished(self) -> None:
        """Delete tiles of a flush that did not come to its end: the WAL has its samples still. Where
        it has not, the catalog was set back by damage, and the tiles stay."""
        store = self._store
        done = int(store._catalog.meta("segment") or 0)
        following = min((n for n in store._wal.numbers() if n > done), default=0)
        if following != done + 1:
            self._keep_later_flushes()
            return
        parts = store._partitions.all()
        for days, day in [(p.days, day) for p in parts for day in p.days.days()]:
            try:
                file = days.file(day)
                removed = file.remove_unfinished(store._flusher.flushed) if file else 0
            except sqlite3.DatabaseError as error:
                log.error("a day of samples cannot be read", day=day, error=str(error))
                continue
            if removed:
                log.info("tiles of an unfinished flush removed", day=day, tiles=removed)

    def _keep_later_flushes(self) -> None:
        store = self._store
        newest = store._flusher.flushed
        for partition in store._partitions.all():
            for day in partition.days.days():
                file = partition.days.file(day)
                if file is not None:
                    newest = max(newest, int(file.directory()[:, FLUSH].max(initial=0)))
        if newest > store._flusher.flushed:
            log.warning(
                "the catalog knows less than there is in tiles; they stay",
                flush=store._flusher.flushed, newest=newest,
            )  # fmt: skip
            store._flusher.flushed = newest

    def replay(self) -> None:
        """Put what the WAL has after the checkpoint into the head. What cannot be read, or was lost
        with a record that others need, is left out, counted and told."""
        store = self._store
        done = int(store._catalog.meta("segment") or 0)
        numbers = store._wal.numbers()
        store._segment = max([done, *numbers]) + 1
        store._wal.remove_through(done)
        stored_series = store._index.count
        rosters: dict[int, Refs] = {}
        for number in (n for n in numbers if n > done):
            segment = store._wal.read(number)
            if segment.good_bytes < segment.bytes_on_disk:
                torn = segment.bytes_on_disk - segment.good_bytes
                store.counts["torn_bytes"] += torn
                log.warning("end of a WAL segment is torn", segment=number, bytes=torn)
            if segment.damaged:
                # a process that began with this segment may have named its rosters in what is lost
                rosters.clear()
            for start, end in segment.damaged:
                store.counts["lost_records"] += 1
                log.error("a WAL segment is damaged", segment=number, at=start, bytes=end - start)
            for payload in segment.payloads:
                for kind, data in wal_format.entries_of(payload):
                    try:
                        self._replay(kind, data, stored_series, rosters)
                    except (StoreCorrupt, LookupError) as error:
                        self._lost(number, error)
                if store._head.needs_packing():
                    store._flusher.try_to_pack()

    def _lost(self, segment: int, error: Exception) -> None:
        counts = self._store.counts
        counts["lost_records"] += 1
        if counts["lost_records"] <= LOST_RECORDS_TOLD_MAX:
            log.error("an entry of the WAL is lost", segment=segment, error=repr(error))

    def _replay(
        self, kind: int, data: memoryview, stored_series: int, rosters: dict[int, Refs]
    ) -> None:
        store = self._store
        if kind == wal_format.FRAME:
            layout_id, origin, seq, ts_ms = wal_format.FRAME_BODY.unpack_from(data)
            layout = store._layout_list[layout_id]
            if not store._progress[origin].add(seq):
                return
            raw = bytes(data[wal_format.FRAME_BODY.size :])
            if raw and ts_ms >= store._oldest_ms:
                store._head.write_frame(layout, ts_ms, values_of_frame(raw, len(layout.refs)))
            store.counts["recovered_frames"] += 1
        elif kind == wal_format.SAMPLES:
            count = int.from_bytes(data[:4], "little")
            refs = self._known_refs(np.frombuffer(data, np.int64, count, 4))
            ts = np.frombuffer(data, np.int64, count, 4 + 8 * count)
            values = np.frombuffer(data, np.float64, count, 4 + 16 * count)
            if count:
                store._take(refs, ts, values, logged=True)
        elif kind == wal_format.ROSTER:
            number = int.from_bytes(data[:4], "little")
            rosters.pop(number, None)  # rows that follow are not those of the one before
            rosters[number] = self._known_refs(np.frombuffer(data, np.int64, -1, 4))
        elif kind == wal_format.ROW:
            number, ts_ms = wal_format.ROW_BODY.unpack_from(data)
            values = np.frombuffer(data, np.float64, -1, wal_format.ROW_BODY.size)
            refs = rosters[number]
            if len(refs) != len(values):
                raise StoreCorrupt(f"a row has {len(values)} values, its roster {len(refs)}")
            store._take(refs, np.full(len(refs), ts_ms), values, logged=True)
        elif kind == wal_format.DELTA:
            self._relearn(unpack_delta(bytes(data)), stored_series)
        else:
            raise StoreCorrupt(f"the WAL has an entry of unknown kind {kind}")

    def _known_refs(self, refs: Refs) -> Refs:
        if len(refs) and int(refs.max()) >= self._store._index.count:
            raise StoreCorrupt("the WAL has series that nobody knows")
        return refs

    def _relearn(self, delta: Delta, stored_series: int) -> None:
        store = self._store
        both = (store._index.columns, delta.columns), (store._index.hosts, delta.hosts)
        for sets, pairs in both:
            following = len(sets.sets)
            for number, labels in pairs:
                if sets.ids.get(labels, following) != number:
                    raise StoreCorrupt("the WAL and the catalog disagree about labels")
                following = max(following, number + 1)
        for sets, pairs in both:
            for _, labels in pairs:
                sets.add(labels)
        for first, columns, hosts in delta.series:
            if first == store._index.count:
                store._index.append(
                    np.frombuffer(columns, np.int32), np.frombuffer(hosts, np.int32)
                )
        for schema_id, series in delta.schemas:
            store._schemas.setdefault(schema_id, series)
        for number, schema, host, refs_bytes in delta.layouts:
            if number == len(store._layout_list):
                refs = np.frombuffer(refs_bytes, np.int64)
                store._add_layout(number, schema, host, refs)
                store._known.layout_refs.append(refs)
        for number, key in delta.origins:
            if number == len(store._progress):
                store._origins[key] = number
                store._progress.append(Ranges())
        delta.series = [s for s in delta.series if s[0] >= stored_series]
        store._count_series()
        store._flusher.put_delta(delta)
