"""Dependencies that people keep, or accepted or dismissed when they were suggested."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

dependency = Table(
    "dependency",
    metadata,
    Column("id", Integer, primary_key=True),
    # a host's name, or matchers as text
    Column("child", String(512), nullable=False),
    Column("parents", JSON, nullable=False),
    Column("why", Text, nullable=False),
    # person or learned
    Column("source", String(16), nullable=False),
    # active, removed, dismissed
    Column("state", String(16), nullable=False, index=True),
    Column("evidence", JSON),
    Column("author", String(NAME_CHARS_MAX), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
