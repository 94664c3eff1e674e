"""Salvage: the rows of a damaged SQLite file that can still be read, one by one.

SQLite gives up at the first page that it cannot make sense of; asked for one row by its number, it
only needs the pages on the way there. Where the first page is damaged, which says what tables there
are and where they begin, it is taken from an empty file that was made the same way: tables that are
all made at once, before there are rows, begin at the same pages.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

_MAGIC = b"SQLite format 3\x00"
_NOT_THE_FILE = (
    "locked",
    "disk I/O",
    "unable to open",
    "full",
    "readonly",
    "memory",
    "interrupted",
)
"""What SQLite's operational errors say where it is the disk or somebody else, not the file."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite complains about the file, and not about the disk or a lock."""
    if isinstance(error, sqlite3.OperationalError):
        return not any(words in str(error) for words in _NOT_THE_FILE)
    return isinstance(error, sqlite3.DatabaseError)


@contextlib.contextmanager
def opened(path: str, make: Callable[[str], None]) -> Iterator[list[sqlite3.Connection]]:
    """Copies of the damaged file *path*, open: as it is, and with the first page of the empty file
    that *make* makes at a path. Those that cannot be opened at all are left out."""
    folder = Path(f"{path}.salvage")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    connections: list[sqlite3.Connection] = []
    try:
        for name, lend in (("as-it-is.db", False), ("lent.db", True)):
            copy = folder / name
            shutil.copyfile(path, copy)
            journal = Path(f"{path}-wal")
            if journal.exists() and not lend:
                shutil.copyfile(journal, f"{copy}-wal")
            if lend:
                _lend_first_page(copy, folder / "empty.db", make)
            with contextlib.suppress(sqlite3.Error):
                connections.append(_connected(copy))
        yield connections
    finally:
        for connection in connections:
            connection.close()
        shutil.rmtree(folder, ignore_errors=True)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA writable_schema=ON")  # a table that is odd hides no other
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _lend_first_page(copy: Path, empty: Path, make: Callable[[str], None]) -> None:
    make(str(empty))
    first = bytearray(empty.read_bytes())
    page = int.from_bytes(first[16:18], "big")
    page = 65_536 if page == 1 else page
    first = first[:page]
    pages = max(1, copy.stat().st_size // page)
    first[28:32] = pages.to_bytes(4, "big")
    first[32:40] = bytes(8)  # no free pages that anybody knows of
    first[92:96] = first[24:28]  # the size above is valid
    first[18:20] = b"\x01\x01"  # no journal beside it
    assert bytes(first[:16]) == _MAGIC
    with copy.open("r+b") as file:
        file.write(first)


def rows(
    connections: list[sqlite3.Connection], table: str, key: str, columns: str, keys: Iterable[Any]
) -> Iterator[tuple[Any, ...]]:
    """Rows of a table by key, as far as any copy can read them."""
    query = f"SELECT {columns} FROM {table} WHERE {key} = ?"  # noqa: S608 - our own names
    for wanted in keys:
        for connection in connections:
            try:
                row = connection.execute(query, (wanted,)).fetchone()
            except (sqlite3.Error, UnicodeDecodeError):
                continue
            if row is not None:
                yield row
                break


def highest(connections: list[sqlite3.Connection], table: str, key: str = "id") -> int:
    """The highest number of a table that any copy can read; -1 where there is none."""
    found = -1
    for connection in connections:
        with contextlib.suppress(sqlite3.Error):
            (value,) = connection.execute(f"SELECT max({key}) FROM {table}").fetchone()  # noqa: S608
            found = max(found, -1 if value is None else int(value))
    return found


def scanned(
    connections: list[sqlite3.Connection], table: str, columns: str
) -> Iterator[tuple[Any, ...]]:
    """Rows of a table from its front and from its back, up to what cannot be read; some twice."""
    for connection in connections:
        for order in ("ASC", "DESC"):
            try:
                yield from connection.execute(
                    f"SELECT {columns} FROM {table} ORDER BY 1 {order}"  # noqa: S608
                )
            except (sqlite3.Error, UnicodeDecodeError):
                continue
