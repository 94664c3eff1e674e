"""The catalog: what series, layouts, schemas and streams there are, and how far tiles reach.

One SQLite file. The writer puts what is new after each group commit (the WAL has it already, so
these transactions need no sync), and with each flush, in one synced transaction, the progress of
every stream and the last WAL segment that tiles cover. Other processes read it at any time.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import zstandard

from vezha.model.columns import Refs
from vezha.model.labels import Labels
from vezha.store.errors import StoreCorrupt
from vezha.store.index import SeriesIndex
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


class Delta(msgspec.Struct, array_like=True):
    """What became known since the last batch; lies in the WAL before the data that needs it.

    Arrays are little-endian int32 (`columns`, `hosts` of new series) and int64 (`refs`).
    """

    columns: list[tuple[int, Labels]] = []
    hosts: list[tuple[int, Labels]] = []
    series: list[tuple[int, bytes, bytes]] = []
    schemas: list[tuple[int, list[Labels]]] = []
    layouts: list[tuple[int, int, Labels, bytes]] = []
    origins: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__struct_fields__)


_encode = msgspec.msgpack.encode
_decode_labels = msgspec.msgpack.Decoder(Labels).decode
_decode_schema = msgspec.msgpack.Decoder(list[Labels]).decode
_decode_ranges = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode
_decode_delta = msgspec.msgpack.Decoder(Delta).decode


_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins (RFC 8878, 3.1.1). No msgpack array begins so: older catalogs stay readable."""


def _pack_series(series: list[Labels]) -> bytes:
    """A schema's series, which are the same few names again and again."""
    return zstandard.ZstdCompressor(level=3).compress(_encode(series))


def _unpack_series(data: bytes) -> list[Labels]:
    try:
        if data[:4] == _ZSTD_MAGIC:
            data = zstandard.ZstdDecompressor().decompress(data)
        return _decode_schema(data)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise StoreCorrupt(f"a schema in the catalog cannot be read: {error}") from None


def pack_delta(delta: Delta) -> bytes:
    """A delta as it lies in the WAL."""
    return _encode(delta)


def unpack_delta(data: bytes) -> Delta:
    """The other way. Raises StoreCorrupt."""
    try:
        return _decode_delta(data)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"a delta in the WAL cannot be read: {error}") from None


def _signed(schema_id: int) -> int:
    return schema_id - (1 << 64) if schema_id >= 1 << 63 else schema_id


@dataclass(slots=True)
class Known:
    """What a process knows of the catalog, kept up to date by `Catalog.refresh`."""

    index: SeriesIndex = field(default_factory=SeriesIndex)
    layout_refs: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)


class Catalog:
    """The file `catalog.db`. One writer; any number of `readonly` ones."""

    def __init__(self, folder: str, readonly: bool = False) -> None:
        self.path = f"{folder}/catalog.db"
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
        self._db.execute("PRAGMA cache_size=-2000")
        found = self.meta("format")
        if found != FORMAT:
            raise StoreCorrupt(
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
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def put(self, delta: Delta) -> None:
        """Store what is new; what is there already stays."""
        with self._lock, self._db:
            self._put(delta)

    def _put(self, delta: Delta) -> None:
        many = self._db.executemany
        insert = "INSERT OR IGNORE INTO"
        many(f"{insert} label_column VALUES (?, ?)", [(i, _encode(s)) for i, s in delta.columns])
        many(f"{insert} host VALUES (?, ?)", [(i, _encode(s)) for i, s in delta.hosts])
        many(f"{insert} series VALUES (?, ?, ?)", delta.series)
        schemas = [(_signed(i), _pack_series(s)) for i, s in delta.schemas]
        many(f"{insert} schema VALUES (?, ?)", schemas)
        layouts = [(i, _signed(s), _encode(h), r) for i, s, h, r in delta.layouts]
        many(f"{insert} layout VALUES (?, ?, ?, ?)", layouts)
        many(f"{insert} origin VALUES (?, ?)", delta.origins)

    def checkpoint(self, segment: int, flush: int, progress: dict[int, Ranges]) -> None:
        """Tiles of flush number *flush* hold all WAL segments up to *segment*. Durable."""
        with self._lock:
            self._db.execute("PRAGMA synchronous=FULL")
            try:
                with self._db:
                    self._db.executemany(
                        "INSERT OR REPLACE INTO progress VALUES (?, ?)",
                        [(origin, _encode(list(r))) for origin, r in progress.items()],
                    )
                    self._db.executemany(
                        "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                        [("segment", segment), ("flush", flush)],
                    )
            finally:
                self._db.execute("PRAGMA synchronous=NORMAL")

    def add_tombstone(self, start_ms: int, end_ms: int, refs: Refs) -> Tombstone:
        """Delete samples, durably."""
        with self._lock:
            self._db.execute("PRAGMA synchronous=FULL")
            try:
                with self._db:
                    number = self._db.execute(
                        "INSERT INTO tombstone (start_ms, end_ms, refs) VALUES (?, ?, ?)",
                        (start_ms, end_ms, refs.tobytes()),
                    ).lastrowid
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
        return {origin: Ranges(_decode_ranges(data)) for origin, data in rows}

    def schemas(self) -> dict[int, list[Labels]]:
        """Every schema by its unsigned id."""
        with self._lock:
            rows = self._db.execute("SELECT id, series FROM schema").fetchall()
        return {i & ((1 << 64) - 1): _unpack_series(data) for i, data in rows}

    def layouts(self) -> list[tuple[int, int, Labels]]:
        """(id, schema, host's labels) of every layout."""
        with self._lock:
            rows = self._db.execute("SELECT id, schema, host FROM layout ORDER BY id").fetchall()
        return [(i, s & ((1 << 64) - 1), _decode_labels(h)) for i, s, h in rows]

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

    def refresh(self, known: Known) -> bool:
        """Bring *known* up to date; False if nothing changed since this object last looked."""
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
                    rows = query(
                        f"SELECT id, labels FROM {table} WHERE id >= ? ORDER BY id",  # noqa: S608
                        (len(sets.sets),),
                    )
                    for number, data in rows:
                        if sets.append(_decode_labels(data)) != number:
                            raise StoreCorrupt(f"{self.path}: {table} {number} is out of order")
                rows = query(
                    "SELECT first_ref, columns, hosts FROM series "
                    "WHERE first_ref + length(columns) / 4 > ? ORDER BY first_ref",
                    (index.count,),
                )
                for first, columns, hosts in rows.fetchall():
                    known_already = index.count - first
                    if known_already < 0:
                        raise StoreCorrupt(f"{self.path}: series {first} is out of order")
                    index.append(
                        np.frombuffer(columns, np.int32)[known_already:],
                        np.frombuffer(hosts, np.int32)[known_already:],
                    )
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

    def close(self) -> None:
        """Close the file."""
        self._db.close()
