"""Day files: the tiles of one UTC day in one SQLite file, `days/2026-11-23.db`.

Table `tile` says what there is (a row per tile, small), table `tile_data` holds the bytes, so
that the directory of a day is read without touching them. Tiles are added by flushes and
replaced by merges, never changed; `epoch` counts replacements, so that a reader that looked
before knows whether to read only what is new or everything. Numbers of tiles are never reused.
Expiry is deleting the file.
"""

from __future__ import annotations

import datetime
import sqlite3
import threading
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from vezha.store.beside import set_aside
from vezha.store.errors import StoreCorrupt
from vezha.store.limits import DAY_MS, SQL_VALUES_MAX
from vezha.store.listing import Listing

log = structlog.get_logger(__name__)
FORMAT = 1
_SCHEMA = """
BEGIN;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tile (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  cell INTEGER NOT NULL, hour INTEGER NOT NULL,
  min_ts INTEGER NOT NULL, max_ts INTEGER NOT NULL,
  flush INTEGER NOT NULL, samples INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tile_data (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
DROP TABLE IF EXISTS rolled;
DROP TABLE IF EXISTS rolled_data;
INSERT OR IGNORE INTO meta VALUES ('format', 1), ('epoch', 0);
COMMIT;
"""
_FETCH = "SELECT d.id, t.crc, d.data FROM tile_data d JOIN tile t ON t.id = d.id WHERE d.id"
CELL, HOUR, MIN_TS, MAX_TS, FLUSH, SAMPLES = 1, 2, 3, 4, 5, 6
Directory = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NewTile:
    """A tile to be stored. `cell` names its block of columns and hosts, `hour` its span (ms)."""

    cell: int
    hour: int
    min_ts: int
    max_ts: int
    samples: int
    data: bytes
    policy: int = 0
    """The retention policy that its series fall under, by number (see `policy`)."""


def day_of(ts_ms: int) -> int:
    """The number of the UTC day of a time."""
    return ts_ms // DAY_MS


@lru_cache(4_096)
def day_name(day: int) -> str:
    """The file of a day."""
    date = datetime.datetime.fromtimestamp(day * 86_400, datetime.timezone.utc)
    return f"{date:%Y-%m-%d}.db"


@lru_cache(4_096)
def day_number(name: str) -> int | None:
    """The other way; None for files that are no day's."""
    try:
        date = datetime.datetime.strptime(name, "%Y-%m-%d.db").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    return int(date.timestamp()) // 86_400


def days_in(names: Sequence[str]) -> list[int]:
    """Numbers of the days whose files are among *names*, ascending."""
    numbers = [day_number(name) for name in names]
    return sorted(n for n in numbers if n is not None)


class DayFile:
    """One day's file, opened for writing (the store) or reading (anyone)."""

    def __init__(self, folder: str, day: int, readonly: bool) -> None:
        self.day = day
        self.path = f"{folder}/{day_name(day)}"
        self._readonly = readonly
        self._lock = threading.Lock()
        self._version = -1
        self._epoch = -1
        self._last_id = 0
        self._directory: Directory = np.empty((0, 7), np.int64)
        if readonly:
            uri = f"{Path(self.path).resolve().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=5.0)
            self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        else:
            self._db = sqlite3.connect(self.path, check_same_thread=False, timeout=30.0)
            self._db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA journal_size_limit=67108864")
            self._db.execute("PRAGMA synchronous=FULL")
            # in one transaction, so that a reader finds all of it or nothing
            self._db.executescript(_SCHEMA)
        self._db.execute("PRAGMA cache_size=-1000")
        self._db.execute("PRAGMA mmap_size=1073741824")

    def add(self, tiles: Iterable[NewTile], flush: int, replaces: Sequence[int] = ()) -> None:
        """Store tiles of a flush, in one durable transaction; those of *replaces* go."""
        with self._lock, self._db:
            for tile in tiles:
                cursor = self._db.execute(
                    "INSERT INTO tile (cell, hour, min_ts, max_ts, flush, samples, crc) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        tile.cell, tile.hour, tile.min_ts, tile.max_ts, flush, tile.samples,
                        zlib.crc32(tile.data),
                    ),
                )  # fmt: skip
                self._db.execute(
                    "INSERT INTO tile_data VALUES (?, ?)", (cursor.lastrowid, tile.data)
                )
            if replaces:
                self._remove(replaces)

    def remove(self, ids: Sequence[int]) -> None:
        """Delete tiles."""
        with self._lock, self._db:
            self._remove(ids)

    def _remove(self, ids: Sequence[int]) -> None:
        for part in parts_of(ids):
            self._db.execute(f"DELETE FROM tile WHERE id IN ({part})")  # noqa: S608 - numbers
            self._db.execute(f"DELETE FROM tile_data WHERE id IN ({part})")  # noqa: S608
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")

    def remove_unfinished(self, flush: int) -> int:
        """Delete tiles of flushes later than *flush*, which never came to their end."""
        ids = [i for (i,) in self._db.execute("SELECT id FROM tile WHERE flush > ?", (flush,))]
        if ids:
            self.remove(ids)
        return len(ids)

    def directory(self) -> Directory:
        """What tiles there are, int64[n, 7]: id, cell, hour, min_ts, max_ts, flush, samples."""
        with self._lock:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            version += self._db.total_changes << 32
            if version != self._version:
                try:
                    self._load_directory()
                except sqlite3.DatabaseError as error:
                    if not isinstance(error, sqlite3.OperationalError):
                        log.error("a day of samples is damaged", file=self.path, error=str(error))
                    elif not self._readonly:
                        raise
                    return self._directory  # or the writer is just making the file
                self._version = version
            return self._directory

    def glance(self) -> Directory | None:
        """The directory, if it is known and no one is busy with the file: waits for nobody."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            known = version + (self._db.total_changes << 32) == self._version
        except sqlite3.Error:
            return None
        finally:
            self._lock.release()
        return self._directory if known else None

    def _load_directory(self) -> None:
        # one statement sees one state of the file: the epoch and the tiles belong together
        rows = self._db.execute(
            "SELECT id, cell, hour, min_ts, max_ts, flush, samples FROM tile WHERE id > "
            "iif((SELECT value FROM meta WHERE key='epoch') = ?, ?, 0) "
            "UNION ALL SELECT -1, value, 0, 0, 0, 0, 0 FROM meta WHERE key='epoch' ORDER BY 1",
            (self._epoch, self._last_id),
        ).fetchall()
        epoch = rows[0][1]
        if epoch != self._epoch:
            self._directory, self._last_id, self._epoch = np.empty((0, 7), np.int64), 0, epoch
        if len(rows) > 1:
            fresh = np.array(rows[1:], np.int64)
            self._directory = np.concatenate([self._directory, fresh])
            self._last_id = rows[-1][0]

    def fetch(self, ids: Sequence[int]) -> dict[int, bytes | StoreCorrupt]:
        """Bytes of tiles, checked; a damaged one comes as the error. Gone ones are left out."""
        found: dict[int, bytes | StoreCorrupt] = {}
        for part in parts_of(ids):
            with self._lock:
                try:
                    rows = self._db.execute(f"{_FETCH} IN ({part})").fetchall()
                except sqlite3.DatabaseError as error:
                    rows = []
                    for number in part.split(","):
                        rows.extend(self._fetch_one(int(number), error, found))
            for number, crc, data in rows:
                if zlib.crc32(data) == crc:
                    found[number] = data
                else:
                    found[number] = StoreCorrupt(f"{self.path}: tile {number} is damaged")
        return found

    def _fetch_one(
        self, number: int, first: sqlite3.DatabaseError, found: dict[int, bytes | StoreCorrupt]
    ) -> list[tuple[int, int, bytes]]:
        try:
            return self._db.execute(_FETCH + " = ?", (number,)).fetchall()
        except sqlite3.DatabaseError:
            found[number] = StoreCorrupt(f"{self.path}: tile {number} cannot be read: {first}")
            return []

    def stat(self) -> tuple[int, int, int]:
        """(tiles, samples, bytes of tiles)."""
        with self._lock:
            tiles, samples = self._db.execute(
                "SELECT count(*), coalesce(sum(samples), 0) FROM tile"
            ).fetchone()
            (size,) = self._db.execute(
                "SELECT coalesce(sum(length(data)), 0) FROM tile_data"
            ).fetchone()
        return tiles, samples, size

    def vacuum(self, pages: int = 0) -> None:
        """Give unused pages back to the file system: so many, or (0) all."""
        with self._lock:
            # a script steps through to the end; `execute` would free one page and stop
            self._db.executescript(f"PRAGMA incremental_vacuum({pages});")
            self._db.commit()
            # the file itself shrinks when its journal is carried over
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def integrity(self) -> list[str]:
        """SQLite's own complaints about the file; empty if there are none."""
        with self._lock:
            try:
                rows = self._db.execute("PRAGMA integrity_check").fetchall()
            except sqlite3.DatabaseError as error:
                return [str(error)]
        return [text for (text,) in rows if text != "ok"]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def parts_of(ids: Sequence[int]) -> list[str]:
    """Numbers as lists for SQL, none too long."""
    return [
        ",".join(map(str, ids[at : at + SQL_VALUES_MAX]))
        for at in range(0, len(ids), SQL_VALUES_MAX)
    ]


class Days:
    """The folder of day files. Files open when they are first asked for."""

    def __init__(self, folder: str, readonly: bool) -> None:
        self._folder = folder
        self._readonly = readonly
        self._files: dict[int, DayFile] = {}
        self._lock = threading.Lock()
        self._listing = Listing(folder)
        self._days: tuple[tuple[str, ...], list[int]] = ((), [])
        self._asked: tuple[tuple[str, ...], int, int, list[DayFile]] | None = None
        if not readonly:
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def days(self) -> list[int]:
        """Numbers of the days that there are, ascending."""
        names = self._listing.names()
        known = self._days  # replaced as a whole
        if known[0] is not names:
            known = self._days = (names, days_in(names))
        return list(known[1])

    def path(self, day: int) -> str:
        """The file of a day, there or not."""
        return f"{self._folder}/{day_name(day)}"

    def between(self, first: int, last: int) -> list[DayFile]:
        """Files of the days first..last that exist. One that is no database is left out. Not to be
        changed."""
        names = self._listing.names()
        asked = self._asked  # replaced as a whole
        if asked is not None and asked[0] is names and asked[1:3] == (first, last):
            return asked[3]
        files: list[DayFile] = []
        there = self.days()
        wanted = there[bisect_left(there, first) : bisect_right(there, last)]
        for day in wanted:
            file = self.file(day)
            if file is not None:
                files.append(file)
        if self._readonly and len(files) == len(wanted):
            self._asked = (names, first, last, files)
        with self._lock:
            if len(self._files) > len(there) or not self._files.keys() <= set(there):
                for gone in [d for d in self._files if d not in there]:
                    self._files.pop(gone).close()
        return files

    def glance(self, first: int, last: int) -> dict[int, Directory] | None:
        """Directories of the days first..last, if all are known; waits for nobody."""
        there = self.days()
        found: dict[int, Directory] = {}
        for day in there[bisect_left(there, first) : bisect_right(there, last)]:
            file = self._files.get(day)
            directory = None if file is None else file.glance()
            if directory is None:
                return None
            found[day] = directory
        return found

    def file(self, day: int) -> DayFile | None:
        """The file of a day; made by the writer, None where a reader finds none."""
        with self._lock:
            file = self._files.get(day)
            if file is None:
                try:
                    file = DayFile(self._folder, day, self._readonly)
                except sqlite3.DatabaseError as error:
                    if self._readonly:
                        return None
                    if isinstance(error, sqlite3.OperationalError):
                        raise  # the disk is full, or something like it: not the file's fault
                    self._set_aside(day, error)
                    file = DayFile(self._folder, day, readonly=False)
                self._files[day] = file
            return file

    def set_aside(self, day: int, error: sqlite3.DatabaseError) -> None:
        """Rename a day's file that SQLite cannot work with, so that a new one takes its place."""
        with self._lock:
            self._set_aside(day, error)

    def _set_aside(self, day: int, error: sqlite3.DatabaseError) -> None:
        file = self._files.pop(day, None)
        if file is not None:
            file.close()
        path = Path(self._folder, day_name(day))
        log.error("a day of samples is damaged and is set aside", file=str(path), error=str(error))
        set_aside(str(path))

    def delete(self, day: int) -> None:
        """Delete a day."""
        with self._lock:
            file = self._files.pop(day, None)
            if file is not None:
                file.close()
            for suffix in ("", "-wal", "-shm"):
                Path(self._folder, day_name(day) + suffix).unlink(missing_ok=True)

    def bytes_on_disk(self) -> dict[int, int]:
        """Sizes of the day files with their journals."""
        sizes: dict[int, int] = {}
        for day in self.days():
            paths = [Path(self._folder, day_name(day) + suffix) for suffix in ("", "-wal")]
            sizes[day] = sum(p.stat().st_size for p in paths if p.exists())
        return sizes

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()
            self._asked = None
