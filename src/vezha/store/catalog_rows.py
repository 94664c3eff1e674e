"""The rows of the catalog: how they are packed, their checksums, and all of them at once.

SQLite has no checksums of its own. So the rows of a table have one together, kept in `meta` under
`sum:<table>`: each row's CRC-32, XORed, so that it follows from what is added alone.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import zstandard

from vezha.model.labels import Labels
from vezha.store.delta import Delta
from vezha.store.errors import StoreCorrupt
from vezha.store.limits import NAMES_PER_RECORD, SERIES_PER_RECORD

U32 = 0xFFFFFFFF
CHECKPOINT = ("segment", "flush", "sum:checkpoint")
SUMMED = ("label_column", "host", "series", "schema", "layout", "origin")
"""Tables whose rows have a common checksum in `meta` (`sum:<table>`): SQLite has none of its own."""
encode = msgspec.msgpack.encode
decode_labels = msgspec.msgpack.Decoder(Labels).decode
_decode_schema = msgspec.msgpack.Decoder(list[Labels]).decode
decode_ranges = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode


_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins (RFC 8878, 3.1.1). No msgpack array begins so: older catalogs stay readable."""


def pack_series(series: list[Labels]) -> bytes:
    """A schema's series, which are the same few names again and again."""
    return zstandard.ZstdCompressor(level=3).compress(encode(series))


def unpack_series(data: bytes) -> list[Labels]:
    """The other way. Raises StoreCorrupt."""
    try:
        if data[:4] == _ZSTD_MAGIC:
            data = zstandard.ZstdDecompressor().decompress(data)
        return _decode_schema(data)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise StoreCorrupt(f"a schema in the catalog cannot be read: {error}") from None


def digest(row: Sequence[Any]) -> int:
    """A checksum of one row, whose first cell is its number. Those of a table are XORed."""
    value: int = row[0] & U32
    for cell in row[1:]:
        if isinstance(cell, int):
            value ^= cell & U32
        else:
            # of any other type only where it is damaged
            data = cell if isinstance(cell, bytes) else str(cell).encode()
            value = zlib.crc32(data, value)
    return value


def checkpoint_sum(segment: int, flush: int) -> int:
    """The checksum of a checkpoint's numbers."""
    return zlib.crc32(b"%d %d" % (segment, flush))


def is_checkpoint(meta: dict[str, Any]) -> bool:
    """Whether what `meta` says of the checkpoint is what was written, as far as that was noted."""
    noted = meta.get("sum:checkpoint")
    if noted is None:
        return True
    segment, flush = meta.get("segment"), meta.get("flush")
    if not isinstance(segment, int) or not isinstance(flush, int):
        return False
    return checkpoint_sum(segment, flush) == int(noted)


def signed(schema_id: int) -> int:
    """A schema's id as SQLite has it."""
    return schema_id - (1 << 64) if schema_id >= 1 << 63 else schema_id


def sum_of(db: sqlite3.Connection, table: str) -> int:
    """The checksum of a table's rows as they are."""
    total = 0
    for row in db.execute(f"SELECT * FROM {table}"):  # noqa: S608 - our own names
        total ^= digest(row)
    return total


def complaints_of(db: sqlite3.Connection) -> list[str]:
    """SQLite's complaints about the file, and what is not what was written."""
    rows = db.execute("PRAGMA integrity_check").fetchall()
    found = [text for (text,) in rows if text != "ok"]
    db.execute("BEGIN")
    try:
        noted = dict(db.execute("SELECT key, value FROM meta"))
        tables = SUMMED if "summed" in noted else ()
        tables = (*tables, *(("progress",) if "sum:progress" in noted else ()))
        found += [
            f"rows of the table {table} are not what was written"
            for table in tables
            if noted.get(f"sum:{table}", 0) != sum_of(db, table)
        ]
        if not is_checkpoint(noted):
            found.append("the checkpoint is not what was written")
    finally:
        db.execute("COMMIT")
    return found


def everything_of(db: sqlite3.Connection) -> Iterator[Delta]:
    """All that a catalog knows, in pieces."""
    for name, table in (("columns", "label_column"), ("hosts", "host")):
        rows = db.execute(f"SELECT id, labels FROM {table} ORDER BY id")  # noqa: S608
        while part := rows.fetchmany(NAMES_PER_RECORD):
            sets = [(i, decode_labels(data)) for i, data in part]
            yield Delta(columns=sets) if name == "columns" else Delta(hosts=sets)
    rows = db.execute("SELECT first_ref, columns, hosts FROM series ORDER BY 1")
    for first, columns, hosts in rows:
        for at in range(0, len(columns), 4 * SERIES_PER_RECORD):
            piece = slice(at, at + 4 * SERIES_PER_RECORD)
            yield Delta(series=[(first + at // 4, columns[piece], hosts[piece])])
    schemas = db.execute("SELECT id, series FROM schema").fetchall()
    yield Delta(
        schemas=[(unsigned(i), unpack_series(data)) for i, data in schemas],
        origins=db.execute("SELECT id, key FROM origin ORDER BY id").fetchall(),
    )
    rows = db.execute("SELECT id, schema, host, refs FROM layout ORDER BY id")
    while part := rows.fetchmany(NAMES_PER_RECORD):
        yield Delta(layouts=[(i, unsigned(s), decode_labels(h), r) for i, s, h, r in part])


def unsigned(schema_id: int) -> int:
    """A schema's id as everybody else has it."""
    return schema_id & ((1 << 64) - 1)
