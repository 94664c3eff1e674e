"""Receivers and routes that were saved while running; those of `notify.toml` stand in the file."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String, Table

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

receiver = Table(
    "receiver",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("type", String(32), nullable=False),
    # what anyone who may change settings may read
    Column("options", JSON, nullable=False),
    # {option: sealed text}: opened only with the key in the state folder
    Column("secrets", JSON, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("changed_by", String(NAME_CHARS_MAX), nullable=False),
)

notify_route = Table(
    "notify_route",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("receivers", JSON, nullable=False),
    # matchers as text
    Column("match", JSON, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("go_on", Boolean, nullable=False),
)
