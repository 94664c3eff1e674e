"""Migrations: the steps from an empty database to this release's tables.

Each file `mNNNN_<what>.py` is one Alembic revision (`revision = "NNNN"`,
`down_revision` = the one before) with an `upgrade()`. They only go forward: the way back is
the copy of the ledger from before.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

_FOLDER = Path(__file__).parent
_VERSIONS = "alembic_version"
_LOCK = 0x76657A6861
"""Key of PostgreSQL's advisory lock around migrations: the bytes of "vezha"."""


def head() -> str:
    """The revision that this release works on."""
    return max(path.name[1:5] for path in _FOLDER.glob("m[0-9][0-9][0-9][0-9]_*.py"))


def migrate_connection(connection: Connection) -> None:
    """Run the missing steps inside the write transaction of *connection*.

    SQLite's write lock is already held by that transaction; PostgreSQL gets an advisory one.
    Whoever comes second finds the work done. Raises `LedgerTooNewError`.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    current = None
    if inspect(connection).has_table(_VERSIONS):
        current = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()  # noqa: S608
    if current != head():
        # Alembic takes megabytes, which processes that find all done do without.
        from vezha.ledger.migrating import run_missing

        run_missing(connection, str(_FOLDER), current)
