"""The diary's pages: the facts of each week, kept when its samples are gone."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, String, Table

from vezha.ledger.tables.base import metadata

diary_page = Table(
    "diary_page",
    metadata,
    # 2026-W47
    Column("week", String(8), primary_key=True),
    # see diary.facts
    Column("facts", JSON, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    # whether it was handed to those who get it by message
    Column("told", Boolean, nullable=False),
)
