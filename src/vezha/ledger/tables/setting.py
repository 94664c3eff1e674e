"""Settings that are changed while running; those needed to start live in settings.toml."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, String, Table

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

setting = Table(
    "setting",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("changed_by", String(NAME_CHARS_MAX), nullable=False),
)
