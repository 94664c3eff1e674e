"""Ledgers for tests of delivery: migrated once, copied for each."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from vezha.ledger import Ledger

OpenLedger = Callable[[], Ledger]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger's file with all tables and no rows, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    opened = Ledger.open(str(path))
    opened.migrate()
    opened.close()
    return path


@pytest.fixture
def open_ledger(migrated: Path, tmp_path: Path) -> Iterator[OpenLedger]:
    """Opens new ledgers that do not wait for the disk: nobody cuts the power of a test."""
    made: list[Ledger] = []

    def unsafe(dbapi: sqlite3.Connection, _entry: object) -> None:
        dbapi.execute("PRAGMA synchronous = OFF")

    def open_one() -> Ledger:
        path = tmp_path / f"ledger{len(made)}.db"
        shutil.copyfile(migrated, path)
        opened = Ledger.open(str(path))
        event.listen(opened.engine, "connect", unsafe)
        made.append(opened)
        return opened

    yield open_one
    for opened in made:
        opened.close()


@pytest.fixture
def ledger(open_ledger: OpenLedger) -> Ledger:
    return open_ledger()
