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
from vezha.store.catalog import Delta
from vezha.store.days import FLUSH, DayFile, NewTile, day_of
from vezha.store.flush import cut_tiles
from vezha.store.head import Frozen
from vezha.store.limits import DAY_MS, MERGE_PASS_S, VACUUM_PAGES
from vezha.store.merge import (
    due_days,
    due_deletions,
    due_merges,
    merge,
)
from vezha.store.reading import cells_of
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
        self._days = store._days
        self.flushed = int(self._catalog.meta("flush") or 0)
        self._waiting: list[Frozen] = []
        self._deltas: list[Delta] = []
        self._delta_lock = threading.Lock()
        self._work = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._broken: Exception | None = None
        self._failed = False
        self._merging = True
        self._touched: set[int] = set()
        self._thread: threading.Thread | None = None
        self._counts = {"flushes": 0, "flush_failures": 0, "flushed_samples": 0, "tiles": 0,
                        "duplicate_samples": 0, "merges": 0, "roll_ups": 0,
                        "expired_days": 0}  # fmt: skip

    def start(self) -> None:
        """Begin the thread, if the settings want one. Days may have ended while we were off."""
        self._touched.update(self._days.days())
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
        except sqlite3.Error as error:
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
        elif self._waiting:
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

    def _flush(self, frozen: Frozen) -> None:
        store = self._store
        cut = cut_tiles(frozen.slabs, store._index, store._known.layout_refs, store._oldest_ms)
        by_day: dict[int, list[NewTile]] = {}
        for tile in cut.tiles:
            by_day.setdefault(day_of(tile.hour), []).append(tile)
        number = self.flushed + 1
        for day, tiles in by_day.items():
            file = self._days.file(day)
            assert file is not None
            if self._failed:
                file.remove_unfinished(self.flushed)
            try:
                file.add(tiles, number)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._days.set_aside(day, error)
                raise
            self._touched.add(day)
        self._put_deltas()
        self._catalog.checkpoint(frozen.segment, number, frozen.progress)
        self.flushed = number
        self._waiting.remove(frozen)
        store._written(frozen)
        self._counts["flushes"] += 1
        self._counts["tiles"] += len(cut.tiles)
        self._counts["flushed_samples"] += cut.samples
        self._counts["duplicate_samples"] += cut.duplicates

    def _tidy(self) -> None:
        """Delete days past the retention, and the oldest beyond the disk budget."""
        settings = self._store.settings
        for day in self._days.days():
            if (day + 1) * DAY_MS <= self._store._oldest_ms:
                self._expire(day, "older than the retention")
        oldest_s = max(settings.retention_s, settings.retention_1h_s, settings.retention_1m_s)
        self._catalog.remove_tombstones(int((self._store._now_s - oldest_s) * 1000))
        rolled = self._store._rolled
        for tier in TIERS_MS:
            for day in rolled.days(tier):
                if tier not in settings.tiers_ms(self._store._now_s - (day + 1) * DAY_MS / 1000):
                    rolled.delete(tier, day)
        sizes = self._days.bytes_on_disk()
        rolled_bytes = sum(rolled.bytes_on_disk().values()) if settings.disk_bytes_max else 0
        while settings.disk_bytes_max and len(sizes) > 1:
            if sum(sizes.values()) + rolled_bytes <= settings.disk_bytes_max:
                break
            day = min(sizes)
            self._expire(day, "over the disk budget")
            del sizes[day]

    def _merge(self) -> bool:
        """Merge for a while what is due; True if there is more."""
        store = self._store
        stones = store._known.tombstones
        clock = store._world.clock
        until = clock.monotonic() + MERGE_PASS_S
        quiet = self.flushed - math.ceil(store.settings.merge_after_s / store.settings.window_s)
        ended_ms = int((store._now_s - store.settings.merge_after_s) * 1000)
        there = self._days.days()
        for day in sorted(self._touched.union(there[-2:]).intersection(there)):
            file = self._days.file(day)
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
            if not self._roll_up(file, ended_ms, quiet, until):
                return True
            if over and not (file.directory()[:, FLUSH] > quiet).any():
                self._touched.discard(day)
        return False

    def _roll_up(self, file: DayFile, ended_ms: int, quiet: int, until: float) -> bool:
        """Make the roll-ups of a day's hours that are over and quiet, as long as there is time;
        whether all are."""
        store, day = self._store, file.day
        age_s = store._now_s - (day + 1) * DAY_MS / 1000
        tiers = store.settings.tiers_ms(age_s)
        files = [store._rolled.file(tier, day) for tier in tiers]
        rolled = [file for file in files if file is not None]
        if not rolled or not len(file.directory()):
            return True
        clock, stones = store._world.clock, store._known.tombstones
        standing = [one.standing(file.directory()) for one in rolled]
        for due in due_chunks(file.directory(), standing, day, ended_ms, quiet):
            if self._stopping or clock.monotonic() > until:
                return False
            make(file, store._rolled, tiers, store._index, due, stones)
            self._counts["roll_ups"] += 1
        loud = (file.directory()[:, FLUSH] > quiet).any()
        if loud or (day + 1) * DAY_MS > ended_ms:
            return True
        for one in rolled:
            for rows in list(due_joins(one.standing(file.directory()))):
                if self._stopping or clock.monotonic() > until:
                    return False
                join(one, file.directory(), rows)
            one.vacuum()
        return True

    def unroll(self, refs: Refs, low_ms: int, high_ms: int) -> None:
        """Samples are deleted: take away the roll-ups that have them, to be made anew."""
        index, rolled = self._store._index, self._store._rolled
        strips = np.unique(strip_of(cells_of(index, refs)))
        kept = set(self._days.days())
        for tier in TIERS_MS:
            for day in kept.intersection(rolled.days(tier)):
                if day * DAY_MS > high_ms or (day + 1) * DAY_MS <= low_ms:
                    continue
                file = rolled.file(tier, day)
                assert file is not None
                rows = file.directory()
                file.remove(rows[np.isin(rows[:, STRIP], strips), ID].tolist())
                self._touched.add(day)
        self._merging = True

    def compact(self) -> int:
        """Merge every hour that has ended; how many tiles went."""
        merged = 0
        stones = self._store._known.tombstones
        with self._work:
            for day in self._days.days():
                file = self._days.file(day)
                assert file is not None
                ended_ms = int(self._store._now_s * 1000)
                for due in list(due_merges(file.directory(), ended_ms, self.flushed)):
                    merged += merge(file, self._store._index, due, stones)
                over = (day + 1) * DAY_MS < ended_ms
                for due in list(due_days(file.directory(), self.flushed)) if over else ():
                    merged += merge(file, self._store._index, due, stones)
                # a tile that two stones hit is gone when the second comes to it
                for due in list(due_deletions(file.directory(), stones)):
                    merge(file, self._store._index, due, stones)
                self._roll_up(file, ended_ms, self.flushed, math.inf)
                file.vacuum()
        self._counts["merges"] += merged
        return merged

    def _expire(self, day: int, why: str) -> None:
        self._days.delete(day)
        self._counts["expired_days"] += 1
        log.info("a day of samples deleted", day=day, why=why)

    def stats(self) -> dict[str, float]:
        """Counters since opening."""
        return {name: float(count) for name, count in self._counts.items()}
