"""Migrations: the steps from an empty database to this release's tables.

Each file `mNNNN_<what>.py` is one Alembic revision (`revision = "NNNN"`,
`down_revision` = the one before) with an `upgrade()`. They only go forward: the way back is
the copy of the ledger from before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from vezha.ledger.errors import LedgerTooNewError

_FOLDER = str(Path(__file__).parent)
_LOCK = 0x76657A6861
"""Key of PostgreSQL's advisory lock around migrations: the bytes of "vezha"."""


def head() -> str:
    """The revision that this release works on."""
    revision = _scripts().get_current_head()
    assert revision is not None
    return revision


def migrate_connection(connection: Connection) -> None:
    """Run the missing steps inside the write transaction of *connection*.

    SQLite's write lock is already held by that transaction; PostgreSQL gets an advisory one.
    Whoever comes second finds the work done. Raises `LedgerTooNewError`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    current = MigrationContext.configure(connection).get_current_revision()
    scripts = _scripts()
    if current == scripts.get_current_head():
        return
    if current is not None:
        try:
            scripts.get_revision(current)
        except CommandError as e:
            raise LedgerTooNewError(current) from e

    def missing(revision: Any, _context: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), scripts, fn=missing, destination_rev="head") as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(_FOLDER, version_locations=[_FOLDER])
