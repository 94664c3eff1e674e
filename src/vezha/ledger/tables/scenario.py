"""Scenarios' versions, the rounds in which they were walked, and what was seen at each view."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

scenario_version = Table(
    "scenario_version",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", String(12), primary_key=True),
    # what the scenario said, so that old rounds can be read
    Column("document", JSON, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
)

scenario_round = Table(
    "scenario_round",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("version", String(12), nullable=False),
    # run | watch | play
    Column("kind", String(8), nullable=False),
    # open | signed | expected | odd | left
    Column("state", String(16), nullable=False, index=True),
    Column("by", String(NAME_CHARS_MAX), nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("ended_by", String(NAME_CHARS_MAX)),
    Column("note", Text, nullable=False),
    Column("odd", Integer, nullable=False),
    # of a play by the clock: which one, so that two servers do not play the same
    Column("slot", BigInteger),
    Index("ix_scenario_round_name_began_ms", "name", "began_ms"),
    UniqueConstraint("name", "slot"),
    sqlite_autoincrement=True,
)

scenario_look = Table(
    "scenario_look",
    metadata,
    Column(
        "round_id",
        Integer,
        ForeignKey("scenario_round.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("view", Integer, primary_key=True, autoincrement=False),
    # waiting | expected | odd | unknown
    Column("state", String(16), nullable=False),
    Column("by", String(NAME_CHARS_MAX), nullable=False),
    Column("at_ms", BigInteger),
    Column("said", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
)
