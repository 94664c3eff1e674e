"""Who did what, when: rows are only ever added, and each carries the hash of the one before.

Triggers refuse UPDATE and DELETE; `vezha audit verify` recomputes the chain, which shows what
someone changed past the triggers.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

audit = Table(
    "audit",
    metadata,
    # The writer counts by itself, under the chain's lock: a gap is then always a deletion.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", String(NAME_CHARS_MAX), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(NAME_CHARS_MAX), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    # Text and not JSON: the hash covers these very characters.
    Column("detail", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
