"""Agents' identities, and the one-time tokens by which they get one."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Integer, String, Table

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

agent = Table(
    "agent",
    metadata,
    Column("id", String(32), primary_key=True),
    Column(
        "host_id",
        Integer,
        ForeignKey("host.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("secret_hash", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

enrolment = Table(
    "enrolment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("labels", JSON, nullable=False),
    Column("created_by", String(NAME_CHARS_MAX), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("used_by", String(NAME_CHARS_MAX)),
    Column("revoked_ms", BigInteger),
)
