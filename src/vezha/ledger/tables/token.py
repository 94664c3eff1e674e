"""Tokens by which programs use the API."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

api_token = Table(
    "api_token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(NAME_CHARS_MAX), nullable=False, unique=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("created_by", String(NAME_CHARS_MAX), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("used_ms", BigInteger),
)
