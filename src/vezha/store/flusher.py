"""The flusher: takes heads that ended, writes them as tiles, moves the checkpoint, tidies up.

One thread (or none: with `background=False` it works inside `commit`). Each pass is idempotent
and starts from what is there, so that a failure is tried again at the next nudge.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from typing import TYPE_CHECKING

import numpy as np
import structlog

from vezha.model.columns import Refs
from vezha.store.days import FLUSH, DayFile, NewTile, day_of
from vezha.store.delta import Delta
from vezha.store.flush import Cut, cut_tiles
from vezha.store.head import Frozen
from vezha.store.limits import DAY_MS, FLUSH_BYTES, MERGE_PASS_S, VACUUM_PAGES
from vezha.store.merge import (
    due_days,
    due_deletions,
    due_merges,
    merge,
)
from vezha.store.partition import Partition
from vezha.store.policy import digest
from vezha.store.refile import refile
from vezha.store.rolled import ID, STRIP
from vezha.store.rolling import due_chunks, due_joins, join, make
from vezha.store.rollup import TIERS_MS, strip_of

if TYPE_CHECKING:
    from vezha.store.store import Store

log = structlog.get_logger(__name__)
_RETRY_S = 5.0


class Flusher:
    """Writes tiles for a `Store`, whose inner parts it shares."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catalog = store._catalog
        self._partitions = store._partitions
        self._names = ["", *(policy.name for policy in store.settings.policies)]
        self._unfiled: list[tuple[str, int]] | None = None
        self.flushed = int(self._catalog.meta("flush") or 0)
        self._waiting: list[Frozen] = []
        self._deltas: list[Delta] = []
        self._delta_lock = threading.Lock()
        self._work = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._broken: Exception | None = None
        self._failed = False
        self._unfinished = self._left_over = False
        """Whether a flush has begun and did not end; and whether the one before this one did not."""
        self._merging = True
        self._touched: set[tuple[str, int]] = set()
        self._thread: threading.Thread | None = None
        self._counts = {"flushes": 0, "flush_failures": 0, "flushed_samples": 0, "tiles": 0,
                        "duplicate_samples": 0, "merges": 0, "roll_ups": 0,
                        "expired_days": 0, "refiled_days": 0}  # fmt: skip

    def start(self) -> None:
        """Begin the thread, if the settings want one. Days may have ended while we were off."""
        parts = self._partitions.all()
        self._touched.update((part.name, day) for part in parts for day in part.days.days())
        if self._store.settings.background:
            self._thread = threading.Thread(target=self._loop, name="vezha-flusher", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the pass that runs."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def add(self, frozen: Frozen) -> None:
        """A head has ended and its WAL segment is durable."""
        self._waiting.append(frozen)

    def put_delta(self, delta: Delta) -> None:
        """Put what is new into the catalog, or remember to: the WAL has it already."""
        self._deltas.append(delta)
        try:
            self._put_deltas()
        except (OSError, sqlite3.Error) as error:
            self._counts["flush_failures"] += 1
            log.error("the catalog cannot be written", error=str(error))

    def _put_deltas(self) -> None:
        with self._delta_lock:
            while self._deltas:
                self._catalog.put(self._deltas[0])
                self._deltas.pop(0)

    def nudge(self) -> None:
        """Work, here or on the thread. Raises what broke the thread: a fault of ours."""
        if self._broken is not None:
            raise self._broken
        if self._thread is None:
            self._pass()
        elif self._waiting or self._store._head.needs_packing():
            self._wake.set()

    def run_until_empty(self) -> None:
        """Write what waits, here and now. Raises what the disk raises."""
        with self._work:
            while self._waiting:
                self._flush(self._waiting[0])
            self._tidy()
            while self._merge():
                pass

    def _loop(self) -> None:
        while not self._stopping:
            pause = _RETRY_S if self._failed else MERGE_PASS_S if self._merging else None
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._pass()
            except Exception as error:
                log.critical("the thread that writes tiles is broken", exc_info=True)
                self._broken = error
                return

    def _pass(self) -> None:
        with self._work:
            try:
                self.try_to_pack()
                worked = bool(self._waiting)
                while self._waiting and not self._stopping:
                    self._flush(self._waiting[0])
                if worked:
                    self._tidy()
                if worked or self._merging:
                    self._merging = self._merge()
                self._failed = False
            except (OSError, sqlite3.Error) as error:
                self._failed = True
                self._counts["flush_failures"] += 1
                log.error("tiles cannot be written, will try again", error=str(error))

    def try_to_pack(self) -> None:
        """Pack what of the head is not added to any more."""
        try:
            self._counts["duplicate_samples"] += self._store._head.pack()
        except OSError as error:  # no room; what is there stays, and tiles are written all the same
            self._counts["flush_failures"] += 1
            log.error("the head cannot be packed", error=str(error))

    def _flush(self, frozen: Frozen) -> None:
        store = self._store
        cut = Cut()
        tiles = cut_tiles(
            frozen.head.slabs, store._index, store._known.layout_refs, store._oldest_ms, cut,
            store._assignment,
        )  # fmt: skip
        oldest_ms = store.oldest_by_policy_ms().tolist()
        by_day: dict[tuple[int, int], list[NewTile]] = {}
        begun: set[tuple[int, int]] = set()
        number, size, old = self.flushed + 1, 0, 0
        self._left_over, self._unfinished = self._unfinished, True
        for tile in tiles:
            if tile.max_ts < oldest_ms[tile.policy]:
                old += tile.samples
                continue
            by_day.setdefault((tile.policy, day_of(tile.hour)), []).append(tile)
            size += len(tile.data)
            if size >= FLUSH_BYTES:
                self._add(by_day, number, begun)
                by_day, size = {}, 0
        self._add(by_day, number, begun)
        store.counts["old_samples"] += old
        self._put_deltas()
        self._catalog.checkpoint(frozen.segment, number, frozen.progress)
        self.flushed = number
        self._unfinished = False
        self._waiting.remove(frozen)
        store._written(frozen)
        self._counts["flushes"] += 1
        self._counts["tiles"] += cut.tiles
        self._counts["flushed_samples"] += cut.samples
        self._counts["duplicate_samples"] += cut.duplicates

    def _add(
        self,
        by_day: dict[tuple[int, int], list[NewTile]],
        number: int,
        begun: set[tuple[int, int]],
    ) -> None:
        """Store some tiles of a flush, by policy and day. What a flush that failed left behind in
        a file goes before the first of them."""
        for (policy, day), tiles in by_day.items():
            partition = self._partitions.made(self._names[policy])
            file = partition.days.file(day)
            assert file is not None
            if self._left_over and (policy, day) not in begun:
                file.remove_unfinished(self.flushed)
            begun.add((policy, day))
            try:
                file.add(tiles, number)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                partition.days.set_aside(day, error)
                raise
            self._touched.add((partition.name, day))

    def _tidy(self) -> None:
        """Delete days past their retention, and of those beyond the disk budget whatever has had
        the largest share of its time."""
        settings, now_s = self._store.settings, self._store._now_s
        longest_s = settings.general.longest_s
        for partition in self._partitions.all():
            policy = settings.policy(partition.name)
            longest_s = max(longest_s, policy.longest_s)
            for day in partition.days.days():
                if (day + 1) * DAY_MS <= (now_s - policy.samples_s) * 1000:
                    self._roll_up_at_last(partition, day)
                    self._expire(partition, day, "older than the retention")
            for tier in TIERS_MS:
                for day in partition.rolled.days(tier):
                    if tier not in policy.tiers_ms(now_s - (day + 1) * DAY_MS / 1000):
                        partition.rolled.delete(tier, day)
            if partition.name and partition.is_empty():
                self._partitions.remove(partition)
        self._store._damage.forget_gone(self._partitions)
        self._catalog.remove_tombstones(int((now_s - longest_s) * 1000))
        if settings.disk_bytes_max:
            self._keep_to_budget(settings.disk_bytes_max)

    def _keep_to_budget(self, bytes_max: int) -> None:
        settings, now_s = self._store.settings, self._store._now_s
        partitions = self._partitions.all()
        total = sum(partition.bytes_on_disk() for partition in partitions)
        old: list[tuple[float, Partition, int, int]] = []
        for partition in partitions:
            kept_s = max(settings.policy(partition.name).samples_s, 1.0)
            sizes = partition.days.bytes_on_disk()
            newest = max(sizes, default=0)  # what is written to right now stays
            old += [
                ((now_s - day * DAY_MS / 1000) / kept_s, partition, day, size)
                for day, size in sizes.items()
                if day != newest
            ]
        for _, partition, day, size in sorted(old, key=lambda one: -one[0]):
            if total <= bytes_max:
                return
            self._expire(partition, day, "over the disk budget")
            total -= size

    def _roll_up_at_last(self, partition: Partition, day: int) -> None:
        """Make the roll-ups of a day whose samples go, should that have been put off."""
        if (partition.name, day) in self._touched:
            file = partition.days.file(day)
            if file is not None:
                self._roll_up(partition, file, int(self._store._now_s * 1000), 1 << 62, math.inf)

    def _refile(self, until: float) -> bool:
        """Move what lies under another policy than its own, if the policies have changed; whether
        all is in its place."""
        store = self._store
        if self._unfiled is None:
            wanted = digest(store.settings.policies)
            if wanted == int(self._catalog.meta("filed") or 0):
                return True
            parts = self._partitions.all()
            self._unfiled = [(part.name, day) for part in parts for day in part.days.days()]
        while self._unfiled:
            if self._stopping or store._world.clock.monotonic() > until:
                return False
            name, day = self._unfiled[-1]
            file = self._partitions.made(name).days.file(day)
            assert file is not None
            here = self._names.index(name) if name in self._names else -1
            moved = refile(
                self._partitions, self._names, file, here, store._index, store._assignment
            )
            if moved:
                self._counts["refiled_days"] += 1
                self._touched.update({(name, day), *((self._names[to], day) for to in moved)})
                file.vacuum(VACUUM_PAGES)
            if not len(file.directory()):
                self._partitions.made(name).days.delete(day)
            self._unfiled.pop()
        self._catalog.set_meta("filed", digest(store.settings.policies))
        self._unfiled = None
        return True

    def _merge(self) -> bool:
        """Merge for a while what is due; True if there is more."""
        store = self._store
        clock = store._world.clock
        until = clock.monotonic() + MERGE_PASS_S
        if not self._refile(until):
            return True
        quiet = self.flushed - math.ceil(store.settings.merge_after_s / store.settings.window_s)
        ended_ms = int((store._now_s - store.settings.merge_after_s) * 1000)
        return any(
            self._merge_day(partition, day, ended_ms, quiet, until)
            for partition in self._partitions.all()
            for day in self._to_merge(partition)
        )

    def _to_merge(self, partition: Partition) -> list[int]:
        there = partition.days.days()
        touched = {day for name, day in self._touched if name == partition.name}
        return sorted(touched.union(there[-2:]).intersection(there))

    def _merge_day(
        self, partition: Partition, day: int, ended_ms: int, quiet: int, until: float
    ) -> bool:
        """Merge what is due in a day, as long as there is time; True if there is more."""
        store = self._store
        clock, stones = store._world.clock, store._known.tombstones
        file = partition.days.file(day)
        assert file is not None
        merged = 0
        for due in due_merges(file.directory(), ended_ms, quiet):
            if self._stopping or clock.monotonic() > until:
                return True
            self._counts["merges"] += merge(file, store._index, due, stones)
            merged += 1
        over = (day + 1) * DAY_MS < ended_ms
        for due in due_days(file.directory(), quiet) if over else ():
            if self._stopping or clock.monotonic() > until:
                return True
            self._counts["merges"] += merge(file, store._index, due, stones)
            merged += 1
        if merged:
            file.vacuum(VACUUM_PAGES)
        if not self._roll_up(partition, file, ended_ms, quiet, until):
            return True
        if over and not (file.directory()[:, FLUSH] > quiet).any():
            self._touched.discard((partition.name, day))
        return False

    def _roll_up(
        self, partition: Partition, file: DayFile, ended_ms: int, quiet: int, until: float
    ) -> bool:
        """Make the roll-ups of a day's hours that are over and quiet, as long as there is time;
        whether all are."""
        store, day, rolled = self._store, file.day, partition.rolled
        age_s = store._now_s - (day + 1) * DAY_MS / 1000
        tiers = store.settings.policy(partition.name).tiers_ms(age_s)
        files = [file for file in (rolled.file(tier, day) for tier in tiers) if file is not None]
        if not files or not len(file.directory()):
            return True
        clock, stones = store._world.clock, store._known.tombstones
        standing = [one.standing(file.directory()) for one in files]
        for due in due_chunks(file.directory(), standing, day, ended_ms, quiet):
            if self._stopping or clock.monotonic() > until:
                return False
            make(file, rolled, tiers, store._index, due, stones)
            self._counts["roll_ups"] += 1
        loud = (file.directory()[:, FLUSH] > quiet).any()
        if loud or (day + 1) * DAY_MS > ended_ms:
            return True
        for one in files:
            for rows in list(due_joins(one.standing(file.directory()))):
                if self._stopping or clock.monotonic() > until:
                    return False
                join(one, file.directory(), rows)
            one.vacuum()
        return True

    def unroll(self, refs: Refs, low_ms: int, high_ms: int) -> None:
        """Samples are deleted: take away the roll-ups that have them, to be made anew."""
        strips = np.unique(strip_of(self._store._index.cell_of[refs]))
        for partition in self._partitions.all():
            kept = set(partition.days.days())
            for tier in TIERS_MS:
                for day in kept.intersection(partition.rolled.days(tier)):
                    if day * DAY_MS > high_ms or (day + 1) * DAY_MS <= low_ms:
                        continue
                    file = partition.rolled.file(tier, day)
                    assert file is not None
                    rows = file.directory()
                    file.remove(rows[np.isin(rows[:, STRIP], strips), ID].tolist())
                    self._touched.add((partition.name, day))
        self._merging = True

    def compact(self) -> int:
        """Merge every hour that has ended; how many tiles went."""
        with self._work:
            merged = sum(
                self._compact_day(partition, day)
                for partition in self._partitions.all()
                for day in partition.days.days()
            )
        self._counts["merges"] += merged
        return merged

    def _compact_day(self, partition: Partition, day: int) -> int:
        index, stones = self._store._index, self._store._known.tombstones
        file = partition.days.file(day)
        assert file is not None
        merged = 0
        ended_ms = int(self._store._now_s * 1000)
        for due in list(due_merges(file.directory(), ended_ms, self.flushed)):
            merged += merge(file, index, due, stones)
        over = (day + 1) * DAY_MS < ended_ms
        for due in list(due_days(file.directory(), self.flushed)) if over else ():
            merged += merge(file, index, due, stones)
        # a tile that two stones hit is gone when the second comes to it
        for due in list(due_deletions(file.directory(), stones)):
            merge(file, index, due, stones)
        self._roll_up(partition, file, ended_ms, self.flushed, math.inf)
        file.vacuum()
        return merged

    def _expire(self, partition: Partition, day: int, why: str) -> None:
        partition.days.delete(day)
        self._touched.discard((partition.name, day))
        self._counts["expired_days"] += 1
        log.info("a day of samples deleted", policy=partition.name, day=day, why=why)

    def stats(self) -> dict[str, float]:
        """Counters since opening."""
        return {name: float(count) for name, count in self._counts.items()}
