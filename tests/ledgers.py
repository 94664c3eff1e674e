"""New ledgers in a moment: what the migrations make is made once and copied; no disk is waited for.

In one process and for SQLite only. The tests of the ledger itself use the real way
(`tests/unit/ledger/conftest.py`), and so does every server that a test starts.
"""

from __future__ import annotations

import functools
import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from vezha.ledger import Ledger, database

_migrate = Ledger.migrate
_prepare = database._sqlite_prepare


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Make `Ledger.migrate` copy, and leave out syncing: nobody cuts the power of a test."""
    patch.setattr(Ledger, "migrate", _copy)
    patch.setattr(database, "_sqlite_prepare", _prepare_unsafely)


def take_time(patch: pytest.MonkeyPatch) -> None:
    """The real way, for the tests that are about it."""
    patch.setattr(Ledger, "migrate", _migrate)
    patch.setattr(database, "_sqlite_prepare", _prepare)


def _copy(ledger: Ledger) -> None:
    if ledger.kind == "sqlite":
        try:
            with ledger.begin() as connection:
                if not connection.exec_driver_sql("SELECT 1 FROM sqlite_master").first():
                    for statement in _made_by_the_migrations():
                        connection.exec_driver_sql(statement)
                    return
        except DBAPIError:
            pass  # the real way says it in Vezha's words
    _migrate(ledger)


@functools.cache
def _made_by_the_migrations() -> tuple[str, ...]:
    ledger = Ledger.open(":memory:")
    _migrate(ledger)
    with ledger.read() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        dump = tuple(s for s in raw.iterdump() if s not in ("BEGIN TRANSACTION;", "COMMIT;"))
    ledger.close()
    return dump


def _prepare_unsafely(dbapi: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    _prepare(dbapi, entry)
    dbapi.execute("PRAGMA synchronous = OFF")
