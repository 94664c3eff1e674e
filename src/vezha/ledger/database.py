"""The database: opening it, short transactions, migrations."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import orjson
from sqlalchemy import Connection, Engine, Row, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from vezha.ledger import limits
from vezha.ledger.errors import LedgerAddressError, LedgerDriverError, LedgerUnreachableError
from vezha.ledger.migrations import migrate_connection

_WRITES = "vezha_writes"

AnyRow = Row[Unpack[tuple[Any, ...]]]
"""A row of any columns."""


class Ledger:
    """One database, used by several threads and processes at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._watching: sqlite3.Connection | None = None
        self._watch_lock = threading.Lock()

    @staticmethod
    def open(url: str) -> Ledger:
        """The ledger at *url*: a file path, `sqlite:///path` or `postgresql://…`.

        Makes the file's folder, connects to nothing yet. Raises `LedgerAddressError`,
        `LedgerDriverError`.
        """
        address = _address(url)
        if address.get_backend_name() == "sqlite":
            return Ledger(_sqlite_engine(address))
        return Ledger(_postgresql_engine(address))

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: committed at the end of the block, rolled back on an exception."""
        writing = self.engine.connect().execution_options(**{_WRITES: True})
        with writing as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to read from; what is written through it is not kept."""
        with self.engine.connect() as connection:
            transaction = connection.begin()
            try:
                yield connection
            finally:
                transaction.rollback()

    def migrate(self) -> None:
        """Bring the tables to this release's form; safe when several processes do it at once.

        Raises `LedgerTooNewError` for a database of a later release and
        `LedgerUnreachableError` where it does not open.
        """
        try:
            with self.begin() as connection:
                migrate_connection(connection)
        except DBAPIError as e:
            where = self.engine.url.render_as_string(hide_password=True)
            raise LedgerUnreachableError(where, str(e.orig).strip()) from e

    def version(self) -> int | None:
        """A number that changes whenever anyone commits a change; microseconds, waits for nobody.

        None where the database cannot tell (PostgreSQL, or one in memory): ask it each time then.
        """
        file = self.engine.url.database
        if self.kind != "sqlite" or not file or file == ":memory:":
            return None
        with self._watch_lock:
            try:
                if self._watching is None:
                    # of its own: a connection's version does not tell of its own writes
                    self._watching = sqlite3.connect(
                        file, timeout=0.0, isolation_level=None, check_same_thread=False
                    )
                return int(self._watching.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error:
                return None

    def close(self) -> None:
        """Close all connections."""
        with self._watch_lock:
            if self._watching is not None:
                self._watching.close()
                self._watching = None
        self.engine.dispose()


def _address(url: str) -> URL:
    if "://" not in url:
        if ":" in url.split("/", 1)[0] and not url.startswith(":memory:"):
            raise LedgerAddressError(url)
        return URL.create("sqlite", database=url)
    try:
        address = make_url(url)
    except ArgumentError as e:
        raise LedgerAddressError(url) from e
    if address.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return address.set(drivername="postgresql+psycopg")
    if address.drivername != "sqlite":
        raise LedgerAddressError(url)
    return address


def _sqlite_engine(address: URL) -> Engine:
    if address.database and address.database != ":memory:":
        Path(address.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(
        address,
        connect_args={"timeout": limits.BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        json_deserializer=_from_json,
    )
    event.listen(engine, "connect", _sqlite_prepare)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _from_json(value: str | float) -> Any:
    """What a JSON column holds; SQLite hands a bare number over as a number.

    A storm of alerts reads thousands of small documents a second: orjson takes a third of the time.
    """
    return orjson.loads(value) if isinstance(value, str) else value


def _sqlite_prepare(dbapi: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own habit of beginning transactions late is switched off: we say when.
    dbapi.isolation_level = None
    cursor = dbapi.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {limits.BUSY_TIMEOUT_MS}")
    _write_ahead(cursor)
    # FULL: a row that was committed (an incident, a refused sign-in) survives a power cut.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA cache_size = -{limits.SQLITE_CACHE_KIB}")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Turn the write-ahead log on, also where several processes open a new file at once.

    That one statement does not wait for another's lock (SQLite tells a deadlock in the making at
    once), but beginning to write does: so one waits there and tries again.
    """
    for _ in range(limits.WRITE_AHEAD_TRIES_MAX):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as fault:
            if "locked" not in str(fault):
                raise
        cursor.execute("BEGIN EXCLUSIVE")
        cursor.execute("ROLLBACK")
    cursor.execute("PRAGMA journal_mode = WAL")


def _sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(address: URL) -> Engine:
    try:
        return create_engine(
            address,
            pool_size=limits.POOL_SIZE,
            pool_timeout=limits.POOL_WAIT_S,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError as e:
        raise LedgerDriverError from e
