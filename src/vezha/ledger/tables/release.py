"""Artifacts that were published, and the hashes that are not to be offered again.

`vezha release publish` writes a `release` row after the signed metadata is in its place; delivery
writes `quarantine` rows, and only a person lifts one.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

release = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True),
    # agent, config, script, rules
    Column("kind", String(16), nullable=False),
    Column("name", String(NAME_CHARS_MAX), nullable=False),
    Column("version", String(NAME_CHARS_MAX), nullable=False),
    # the TUF target's path: <kind>/<name>/<version>/<file>
    Column("target", String(512), nullable=False, unique=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("length", BigInteger, nullable=False),
    # the target's signed custom field (build id, interpreter, parameters, time-out …)
    Column("custom", JSON, nullable=False),
    Column("published_ms", BigInteger, nullable=False),
    Column("published_by", String(NAME_CHARS_MAX), nullable=False),
    sqlite_autoincrement=True,
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False),
    # 0: no host gets it; else the one host that went back from it
    Column("host_id", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("target", String(512), nullable=False),
    # a code of `delivery.reason`, and the sentence that goes with it
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("rollout_id", Integer),
    Column("at_ms", BigInteger, nullable=False),
    Column("lifted_ms", BigInteger),
    Column("lifted_by", String(NAME_CHARS_MAX)),
    Column("lifted_why", Text),
    UniqueConstraint("sha256", "host_id"),
    sqlite_autoincrement=True,
)
