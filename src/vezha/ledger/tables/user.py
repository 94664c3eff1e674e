"""People who may sign in."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Table

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

user = Table(
    "user",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(NAME_CHARS_MAX), nullable=False, unique=True),
    Column("password_hash", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("must_change_password", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("password_changed_ms", BigInteger),
    Column("last_sign_in_ms", BigInteger),
)
