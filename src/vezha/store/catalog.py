"""The catalog: what series, layouts, schemas and streams there are, and how far tiles reach.

One SQLite file. The writer puts what is new after each group commit (the WAL has it already, so
these transactions need no sync), and with each flush, in one synced transaction, the progress of
every stream and the last WAL segment that tiles cover. Other processes read it at any time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vezha.model.columns import Refs
from vezha.model.labels import Labels
from vezha.store.catalog_rows import (
    SUMMED,
    U32,
    checkpoint_sum,
    complaints_of,
    decode_labels,
    decode_ranges,
    digest,
    encode,
    everything_of,
    pack_series,
    signed,
    sum_of,
    unpack_series,
)
from vezha.store.delta import Delta
from vezha.store.errors import StoreCorrupt, WrongFormat
from vezha.store.index import SeriesIndex
from vezha.store.names import NamesLog, delta_record, tombstone_record
from vezha.store.tombstone import Tombstone
from vezha.wire.ranges import Ranges

FORMAT = 2
PAGE_BYTES = 2_048
"""Most tables of a catalog are one page: of a small one, pages of SQLite's 4,096 bytes are half air."""
_SCHEMA = """
BEGIN;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS label_column (id INTEGER PRIMARY KEY, labels BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS host (id INTEGER PRIMARY KEY, labels BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS series (
  first_ref INTEGER PRIMARY KEY, columns BLOB NOT NULL, hosts BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS schema (id INTEGER PRIMARY KEY, series BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS layout (
  id INTEGER PRIMARY KEY, schema INTEGER NOT NULL, host BLOB NOT NULL, refs BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS origin (id INTEGER PRIMARY KEY, key TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tombstone (
  id INTEGER PRIMARY KEY AUTOINCREMENT, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
  refs BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS progress (origin INTEGER PRIMARY KEY, ranges BLOB NOT NULL);
INSERT OR IGNORE INTO meta VALUES ('format', 2);
COMMIT;
"""
_SET_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


@dataclass(slots=True)
class Known:
    """What a process knows of the catalog, kept up to date by `Catalog.refresh`."""

    index: SeriesIndex = field(default_factory=SeriesIndex)
    layout_refs: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)


class Catalog:
    """The file `catalog.db`. One writer; any number of `readonly` ones. The writer has the register
    of names, which is told everything first."""

    def __init__(self, folder: str, readonly: bool = False, names: NamesLog | None = None) -> None:
        self.path = f"{folder}/catalog.db"
        self._names = names
        self._lock = threading.Lock()
        self._version = -1
        if readonly:
            uri = f"{Path(self.path).resolve().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=5.0)
        else:
            self._db = sqlite3.connect(self.path, check_same_thread=False, timeout=30.0)
            self._db.execute(f"PRAGMA page_size={PAGE_BYTES}")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            # in one transaction, so that a reader finds all of it or nothing
            self._db.executescript(_SCHEMA)
        self._inode = os.stat(self.path).st_ino  # noqa: PTH116
        self._db.execute("PRAGMA cache_size=-2000")
        found = self.meta("format")
        if found != FORMAT:
            self._db.close()
            raise WrongFormat(
                f"{self.path} is of format {found}; this program reads "
                f"{FORMAT}: move the folder away to begin anew, or export it with the program that wrote it"
            )

    def meta(self, key: str) -> int | str | None:
        """A value by key."""
        with self._lock:
            row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, key: str, value: int | str) -> None:
        """Set a value by key."""
        with self._lock, self._db:
            self._db.execute(_SET_META, (key, value))

    def put(self, delta: Delta) -> None:
        """Store what is new; what is there already stays."""
        with self._lock:
            fresh = self._fresh(delta)
            if not fresh:
                return
            size = self._names.append(delta_record(fresh)) if self._names else None
            with self._db:
                self._put(fresh)
                if size is not None:
                    self._db.execute(_SET_META, ("names_bytes", size))

    def put_noted(self, deltas: Iterable[Delta], names_bytes: int) -> None:
        """Store what the register of names, so long, has already."""
        with self._lock, self._db:
            for delta in deltas:
                self._put(self._fresh(delta))
            self._db.execute(_SET_META, ("names_bytes", names_bytes))

    def _fresh(self, delta: Delta) -> Delta:
        """What of *delta* is not there yet: numbers are given in order, but schemas have theirs
        from elsewhere."""

        def fresh(table: str, rows: list[Any], end: str = "max(id) + 1") -> list[Any]:
            if not rows:
                return rows
            (following,) = self._db.execute(f"SELECT {end} FROM {table}").fetchone()  # noqa: S608
            return rows if following is None else [row for row in rows if row[0] >= following]

        there = "SELECT 1 FROM schema WHERE id = ?"
        return Delta(
            columns=fresh("label_column", delta.columns),
            hosts=fresh("host", delta.hosts),
            series=fresh("series", delta.series, "max(first_ref + length(columns) / 4)"),
            schemas=[
                (i, series)
                for i, series in dict(delta.schemas).items()
                if self._db.execute(there, (signed(i),)).fetchone() is None
            ],
            layouts=fresh("layout", delta.layouts),
            origins=fresh("origin", delta.origins),
        )

    def _put(self, delta: Delta) -> None:
        self._insert("label_column", [(i, encode(s)) for i, s in delta.columns])
        self._insert("host", [(i, encode(s)) for i, s in delta.hosts])
        self._insert("series", delta.series)
        self._insert("schema", [(signed(i), pack_series(s)) for i, s in delta.schemas])
        layouts = [(i, signed(s), encode(h), r) for i, s, h, r in delta.layouts]
        self._insert("layout", layouts)
        self._insert("origin", delta.origins)

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        marks = ",".join("?" * len(rows[0]))
        self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
        added = 0
        for row in rows:
            added ^= digest(row)
        self._db.execute(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET "
            "value = (value | ?2) - (value & ?2)",
            (f"sum:{table}", added),
        )

    def checkpoint(self, segment: int, flush: int, progress: dict[int, Ranges]) -> None:
        """Tiles of flush number *flush* hold all WAL segments up to *segment*. Durable."""
        with self._lock:
            if self._names is not None:
                self._names.sync()
            self._db.execute("PRAGMA synchronous=FULL")
            try:
                with self._db:
                    self._db.executemany(
                        "INSERT OR REPLACE INTO progress VALUES (?, ?)",
                        [(origin, encode(list(r))) for origin, r in progress.items()],
                    )
                    told = 0
                    for row in self._db.execute("SELECT origin, ranges FROM progress"):
                        told ^= digest(row)
                    self._db.executemany(
                        _SET_META,
                        [
                            ("segment", segment), ("flush", flush), ("sum:progress", told),
                            ("sum:checkpoint", checkpoint_sum(segment, flush)),
                        ],
                    )  # fmt: skip
            finally:
                self._db.execute("PRAGMA synchronous=NORMAL")

    def add_tombstone(self, start_ms: int, end_ms: int, refs: Refs) -> Tombstone:
        """Delete samples, durably."""
        row = (start_ms, end_ms, refs.tobytes())
        with self._lock:
            size = self._names.append(tombstone_record(*row)) if self._names else None
            if self._names is not None:
                self._names.sync()
            self._db.execute("PRAGMA synchronous=FULL")
            try:
                with self._db:
                    number = self._db.execute(
                        "INSERT INTO tombstone (start_ms, end_ms, refs) VALUES (?, ?, ?)", row
                    ).lastrowid
                    if size is not None:
                        self._db.execute(_SET_META, ("names_bytes", size))
            finally:
                self._db.execute("PRAGMA synchronous=NORMAL")
        assert number is not None
        return Tombstone(number, start_ms, end_ms, refs)

    def remove_tombstones(self, before_ms: int) -> int:
        """Forget those of samples that have expired; how many."""
        with self._lock, self._db:
            return self._db.execute("DELETE FROM tombstone WHERE end_ms < ?", (before_ms,)).rowcount

    def origins(self) -> list[tuple[int, str]]:
        """Streams and their numbers."""
        with self._lock:
            return list(self._db.execute("SELECT id, key FROM origin ORDER BY id"))

    def progress(self) -> dict[int, Ranges]:
        """How far tiles hold each stream."""
        with self._lock:
            rows = self._db.execute("SELECT origin, ranges FROM progress").fetchall()
        return {origin: Ranges(decode_ranges(data)) for origin, data in rows}

    def schemas(self) -> dict[int, list[Labels]]:
        """Every schema by its unsigned id."""
        with self._lock:
            rows = self._db.execute("SELECT id, series FROM schema").fetchall()
        return {i & ((1 << 64) - 1): unpack_series(data) for i, data in rows}

    def layouts(self) -> list[tuple[int, int, Labels]]:
        """(id, schema, host's labels) of every layout."""
        with self._lock:
            rows = self._db.execute("SELECT id, schema, host FROM layout ORDER BY id").fetchall()
        return [(i, s & ((1 << 64) - 1), decode_labels(h)) for i, s, h in rows]

    def everything(self) -> Iterator[Delta]:
        """All that there is, in pieces; from a catalog that nobody else writes to."""
        with self._lock:
            yield from everything_of(self._db)

    def tombstones(self) -> list[tuple[int, int, bytes]]:
        """(start, end, references) of what was deleted."""
        with self._lock:
            return self._db.execute("SELECT start_ms, end_ms, refs FROM tombstone").fetchall()

    def is_replaced(self) -> bool:
        """Whether another file has taken the place of this one."""
        try:
            return os.stat(self.path).st_ino != self._inode  # noqa: PTH116 - each query asks
        except OSError:
            return False

    def is_unchanged(self) -> bool:
        """Whether surely nothing changed since `refresh`; waits for nobody."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return False
        finally:
            self._lock.release()
        return bool(version == self._version)

    def sums(self, tables: Sequence[str] = SUMMED) -> dict[str, int]:
        """The checksums of tables as their rows are now; reads all of them."""
        with self._lock:
            return {table: sum_of(self._db, table) for table in tables}

    def complaints(self) -> list[str]:
        """What is wrong with the file: SQLite's complaints, and rows that are not what was written.
        Beside a writer, as of one moment."""
        with self._lock:
            return complaints_of(self._db)

    def noted_sums(self) -> dict[str, int]:
        """The checksums as they were noted; of tables that have none yet, nothing."""
        noted = {table: self.meta(f"sum:{table}") for table in (*SUMMED, "progress")}
        return {table: int(value) for table, value in noted.items() if value is not None}

    def note_sums(self) -> None:
        """Note the checksums of rows that were written before there were any."""
        for table, value in self.sums().items():
            self.set_meta(f"sum:{table}", value)

    def refresh(self, known: Known, sums: dict[str, int] | None = None) -> bool:
        """Bring *known* up to date; False if nothing changed since this object last looked. Into
        *sums* go the checksums of the label sets that are read."""
        with self._lock:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            if version == self._version:
                return False
            index = known.index
            query = self._db.execute
            # the order matters: what others refer to is read last, from one snapshot
            query("BEGIN")
            try:
                for sets, table in ((index.columns, "label_column"), (index.hosts, "host")):
                    append, crc32 = sets.append, zlib.crc32
                    rows = query(
                        f"SELECT id, labels FROM {table} WHERE id >= ? ORDER BY id",  # noqa: S608
                        (len(sets.sets),),
                    )
                    total = 0
                    for number, data in rows:
                        total ^= crc32(data, number & U32)
                        if append(decode_labels(data)) != number:
                            raise StoreCorrupt(f"{self.path}: {table} {number} is out of order")
                    if sums is not None:
                        sums[table] = total
                rows = query(
                    "SELECT first_ref, columns, hosts FROM series "
                    "WHERE first_ref + length(columns) / 4 > ? ORDER BY first_ref",
                    (index.count,),
                )
                for first, columns, hosts in rows.fetchall():
                    known_already = index.count - first
                    if known_already < 0:
                        raise StoreCorrupt(f"{self.path}: series {first} is out of order")
                    pair = (
                        np.frombuffer(columns, np.int32)[known_already:],
                        np.frombuffer(hosts, np.int32)[known_already:],
                    )
                    for numbers, sets in zip(pair, (index.columns, index.hosts), strict=True):
                        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(
                            sets.sets
                        ):
                            raise StoreCorrupt(f"{self.path}: series {first} is of no label set")
                    index.append(*pair)
                rows = query(
                    "SELECT id, refs FROM layout WHERE id >= ? ORDER BY id",
                    (len(known.layout_refs),),
                )
                known.layout_refs.extend(np.frombuffer(refs, np.int64) for _, refs in rows)
                rows = query("SELECT id, start_ms, end_ms, refs FROM tombstone ORDER BY id")
                # one list for ever: others hold it
                known.tombstones[:] = [
                    Tombstone(i, start, end, np.frombuffer(refs, np.int64))
                    for i, start, end, refs in rows
                ]
            finally:
                query("COMMIT")
            self._version = version
            return True

    def compact_series(self) -> None:
        """Join the pieces in which series came into one, so that opening stays quick."""
        with self._lock, self._db:
            rows = self._db.execute(
                "SELECT columns, hosts FROM series ORDER BY first_ref"
            ).fetchall()
            if len(rows) < 256:
                return
            joined = tuple(b"".join(r[i] for r in rows) for i in (0, 1))
            self._db.execute("DELETE FROM series")
            self._db.execute("INSERT INTO series VALUES (0, ?, ?)", joined)
            self._db.execute(_SET_META, ("sum:series", digest((0, *joined))))

    def close(self) -> None:
        """Close the file."""
        self._db.close()
