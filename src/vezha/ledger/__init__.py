"""Relational state: who and what there is, and what happened to it.

Owns the database (SQLite in one file by default, PostgreSQL when grown up), its tables and
its migrations. In come statements of SQLAlchemy Core; out go rows. It refuses to start on a
database that a later release migrated, and it knows nothing of what the rows mean: the rooms
above own their tables' meaning.

How to use it:

- `with ledger.begin() as connection:` one short write transaction. On SQLite it takes the
  write lock at once (BEGIN IMMEDIATE), so that reading first and writing then never fails
  half way.
- `with ledger.read() as connection:` one consistent snapshot, which never waits for writers.
- Times are int64 milliseconds since the epoch in columns that end in `_ms`.
- State changes are rows; work is claimed by a conditional UPDATE whose row count is checked.

A new table is a file `tables/<noun>.py` on `tables.metadata`, imported in
`tables/__init__.py`, and a migration `migrations/mNNNN_<what>.py`; a test compares the two.
"""

from __future__ import annotations

from vezha.ledger.database import AnyRow, Ledger
from vezha.ledger.errors import (
    LedgerAddressError,
    LedgerDriverError,
    LedgerError,
    LedgerTooNewError,
    LedgerUnreachableError,
)

__all__ = [
    "AnyRow",
    "Ledger",
    "LedgerAddressError",
    "LedgerDriverError",
    "LedgerError",
    "LedgerTooNewError",
    "LedgerUnreachableError",
]
