"""Running the missing steps, with Alembic."""

from __future__ import annotations

from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from vezha.ledger.errors import LedgerTooNewError


def run_missing(connection: Connection, folder: str, current: str | None) -> None:
    """From revision *current* to the newest in *folder*. Raises `LedgerTooNewError`."""
    scripts = ScriptDirectory(folder, version_locations=[folder])
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
