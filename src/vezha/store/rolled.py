"""Files of roll-ups: `rolled/60s/2026-11-23.db`, one SQLite file per tier and UTC day.

Table `roll_up` says what there is, `roll_up_data` holds the bytes. They lie beside the samples, not
with them, because a coarser tier is kept longer; expiry is deleting a file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from vezha.store.days import CELL as TILE_CELL
from vezha.store.days import MAX_TS, MIN_TS, Directory, day_name, days_in, parts_of
from vezha.store.limits import DAY_MS, TILE_SPAN_MS
from vezha.store.listing import Listing
from vezha.store.rollup import LAST, TIERS_MS, Fingerprint, RollUp, fingerprints, strip_of

log = structlog.get_logger(__name__)
I64 = npt.NDArray[np.int64]
_SCHEMA = """
BEGIN;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS roll_up (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  strip INTEGER NOT NULL, plane INTEGER NOT NULL,
  since INTEGER NOT NULL, until INTEGER NOT NULL,
  tiles INTEGER NOT NULL, last_tile INTEGER NOT NULL,
  crc INTEGER NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS roll_up_data (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
INSERT OR IGNORE INTO meta VALUES ('format', 1);
COMMIT;
"""
ID, STRIP, PLANE, SINCE, UNTIL, TILES, LAST_TILE, SIZE = range(8)
_COLUMNS = "id, strip, plane, since, until, tiles, last_tile, size"
_FETCH = (
    "SELECT d.id, t.crc, d.data FROM roll_up_data d JOIN roll_up t ON t.id = d.id WHERE d.id IN "
)
HOURS = DAY_MS // TILE_SPAN_MS


def hours_of(day: int, since: I64, until: I64) -> I64:
    """Hours of the day that [since, until) touches, as bits, int64[n]."""
    first = np.maximum((since - day * DAY_MS) // TILE_SPAN_MS, 0)
    last = np.minimum((until - 1 - day * DAY_MS) // TILE_SPAN_MS, HOURS - 1)
    touched: I64 = (np.int64(2) << last) - (np.int64(1) << first)
    return touched


class RolledFile:
    """One tier's file of a day. Thread-safe."""

    def __init__(self, folder: str, tier_ms: int, day: int, readonly: bool) -> None:
        self.tier_ms = tier_ms
        self.day = day
        self.path = f"{folder}/{day_name(day)}"
        self._lock = threading.Lock()
        self._version = -1
        self._directory: Directory = np.empty((0, 8), np.int64)
        self._standing: tuple[Directory | None, Directory, Directory] | None = None
        if readonly:
            uri = f"{Path(self.path).resolve().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=5.0)
            self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        else:
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, check_same_thread=False, timeout=30.0)
            self._db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA journal_size_limit=16777216")
            self._db.execute("PRAGMA synchronous=NORMAL")  # they can be made anew
            self._db.executescript(_SCHEMA)
        self._db.execute("PRAGMA cache_size=-500")
        self._db.execute("PRAGMA mmap_size=268435456")

    def directory(self) -> Directory:
        """What there is, int64[n, 8]; the same array while nothing changes."""
        with self._lock:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            version += self._db.total_changes << 32
            if version != self._version:
                try:
                    rows = self._db.execute(f"SELECT {_COLUMNS} FROM roll_up").fetchall()  # noqa: S608
                except sqlite3.DatabaseError:
                    rows = []  # damaged, or just being made: the samples are there
                self._directory = np.array(rows, np.int64).reshape(-1, 8)
                self._version = version
            return self._directory

    def standing(self, tiles: Directory | None) -> Directory:
        """Rows whose tiles are those that they were made of: *tiles* is the directory of the
        day's samples, None where these are no longer kept."""
        rows = self.directory()
        known = self._standing
        if known is None or known[0] is not tiles or known[1] is not rows:
            found = rows if tiles is None else _standing(rows, tiles)
            known = self._standing = (tiles, rows, found)
        return known[2]

    def put(self, strip: int, made_of: Fingerprint, rows: Iterable[RollUp]) -> None:
        """Store a chunk in place of all that lie in its hours, in one transaction."""
        with self._lock, self._db:
            gone = self._db.execute(
                "SELECT id FROM roll_up WHERE strip = ? AND since < ? AND until > ?",
                (strip, made_of.until, made_of.since),
            ).fetchall()
            self._remove([i for (i,) in gone])
            for row in rows:
                cursor = self._db.execute(
                    "INSERT INTO roll_up (strip, plane, since, until, tiles, last_tile, crc, size) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        strip, row.plane, made_of.since, made_of.until, made_of.tiles,
                        made_of.last, zlib.crc32(row.data), len(row.data),
                    ),
                )  # fmt: skip
                self._db.execute(
                    "INSERT INTO roll_up_data VALUES (?, ?)", (cursor.lastrowid, row.data)
                )

    def remove(self, ids: Sequence[int]) -> None:
        """Delete the chunks that those with these numbers belong to."""
        with self._lock, self._db:
            for part in parts_of(ids):
                inner = f"SELECT strip, since FROM roll_up WHERE id IN ({part})"  # noqa: S608
                rows = self._db.execute(
                    f"SELECT id FROM roll_up WHERE (strip, since) IN ({inner})"  # noqa: S608
                ).fetchall()
                self._remove([i for (i,) in rows])

    def _remove(self, ids: Sequence[int]) -> None:
        for part in parts_of(ids):
            self._db.execute(f"DELETE FROM roll_up WHERE id IN ({part})")  # noqa: S608 - numbers
            self._db.execute(f"DELETE FROM roll_up_data WHERE id IN ({part})")  # noqa: S608

    def fetch(self, ids: Sequence[int]) -> dict[int, bytes]:
        """Bytes of those that are whole; of others the samples are there still."""
        found: dict[int, bytes] = {}
        for part in parts_of(ids):
            with self._lock, contextlib.suppress(sqlite3.DatabaseError):
                rows = self._db.execute(f"{_FETCH}({part})").fetchall()
                found.update((n, data) for n, crc, data in rows if zlib.crc32(data) == crc)
        return found

    def vacuum(self) -> None:
        """Give unused pages back to the file system."""
        with self._lock:
            self._db.executescript("PRAGMA incremental_vacuum(0);")
            self._db.commit()
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def integrity(self) -> list[str]:
        """SQLite's own complaints about the file; empty if there are none."""
        with self._lock:
            try:
                rows = self._db.execute("PRAGMA quick_check").fetchall()
            except sqlite3.DatabaseError as error:
                return [str(error)]
        return [text for (text,) in rows if text != "ok"]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _standing(rows: Directory, tiles: Directory) -> Directory:
    good = np.zeros(len(rows), np.bool_)
    strips = strip_of(tiles[:, TILE_CELL])
    for since, until in {(int(s), int(u)) for s, u in rows[:, [SINCE, UNTIL]].tolist()}:
        mine = np.flatnonzero((rows[:, SINCE] == since) & (rows[:, UNTIL] == until))
        there = (tiles[:, MIN_TS] < until) & (tiles[:, MAX_TS] >= since)
        names, counts, lasts = fingerprints(strips[there], tiles[there, 0])
        if not len(names):
            continue
        at = np.minimum(np.searchsorted(names, rows[mine, STRIP]), len(names) - 1)
        good[mine] = (
            (names[at] == rows[mine, STRIP])
            & (counts[at] == rows[mine, TILES])
            & (lasts[at] == rows[mine, LAST_TILE])
        )
    standing: Directory = rows[good]
    return standing


def chunks(rows: Directory) -> Directory:
    """One row of each chunk."""
    found: Directory = rows[rows[:, PLANE] == LAST]
    return found


class Rolled:
    """The folder of a store's roll-ups. Files open when they are first asked for."""

    def __init__(self, folder: str, readonly: bool) -> None:
        self._folder = folder
        self._readonly = readonly
        self._files: dict[tuple[int, int], RolledFile] = {}
        self._lock = threading.Lock()
        self._listings = {tier: Listing(self.folder(tier)) for tier in TIERS_MS}
        self._days: dict[int, tuple[tuple[str, ...], list[int]]] = {}

    def folder(self, tier_ms: int) -> str:
        """Where a tier's files lie."""
        return f"{self._folder}/{tier_ms // 1000}s"

    def days(self, tier_ms: int) -> list[int]:
        """Numbers of the days that a tier has, ascending."""
        names = self._listings[tier_ms].names()
        known = self._days.get(tier_ms)
        if known is None or known[0] is not names:
            known = self._days[tier_ms] = (names, days_in(names))
        return list(known[1])

    def there(self, first: int, last: int, tiers_ms: Sequence[int]) -> dict[int, list[int]]:
        """Days in first..last that have roll-ups, and of which of the tiers, in their order."""
        found: dict[int, list[int]] = {}
        for tier in tiers_ms:
            days = self.days(tier)
            if not days and not self._files:
                continue
            for day in days[bisect_left(days, first) : bisect_right(days, last)]:
                found.setdefault(day, []).append(tier)
            with self._lock:
                for gone in [k for k in self._files if k[0] == tier and k[1] not in days]:
                    self._files.pop(gone).close()
        return found

    def file(self, tier_ms: int, day: int) -> RolledFile | None:
        """A tier's file of a day; made by the writer, None where a reader finds none."""
        with self._lock:
            file = self._files.get((tier_ms, day))
            if file is None:
                folder = self.folder(tier_ms)
                try:
                    file = RolledFile(folder, tier_ms, day, self._readonly)
                except sqlite3.DatabaseError as error:
                    if self._readonly:
                        return None
                    if isinstance(error, sqlite3.OperationalError):
                        raise
                    log.error("roll-ups are damaged and are made anew", tier=tier_ms, day=day)
                    self._unlink(tier_ms, day)
                    file = RolledFile(folder, tier_ms, day, readonly=False)
                self._files[tier_ms, day] = file
            return file

    def _unlink(self, tier_ms: int, day: int) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(self.folder(tier_ms), day_name(day) + suffix).unlink(missing_ok=True)

    def delete(self, tier_ms: int, day: int) -> None:
        """Delete a tier's day."""
        with self._lock:
            file = self._files.pop((tier_ms, day), None)
            if file is not None:
                file.close()
            self._unlink(tier_ms, day)

    def bytes_on_disk(self) -> dict[tuple[int, int], int]:
        """Sizes by (tier, day), journals with them."""
        sizes: dict[tuple[int, int], int] = {}
        for tier in TIERS_MS:
            for day in self.days(tier):
                paths = [Path(self.folder(tier), day_name(day) + end) for end in ("", "-wal")]
                sizes[tier, day] = sum(p.stat().st_size for p in paths if p.exists())
        return sizes

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()
