"""Versions of the operator's rule files, as they were saved through Vezha."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

rule_file_version = Table(
    "rule_file_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(NAME_CHARS_MAX), nullable=False, index=True),
    Column("hash", String(16), nullable=False),
    # null where the file was removed
    Column("text", Text),
    Column("author", String(NAME_CHARS_MAX), nullable=False),
    Column("note", Text, nullable=False),
    # what the rehearsal said before it was saved
    Column("rehearsal", JSON),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
