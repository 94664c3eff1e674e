"""Which change could explain which incident, and what people judged."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

blame = Table(
    "blame",
    metadata,
    Column(
        "incident_id",
        Integer,
        ForeignKey("incident.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column(
        "change_id",
        Integer,
        ForeignKey("change.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    # the change's share of the whole, from 0 to 1; 0 for one that only a person named
    Column("score", Float, nullable=False),
    # [{"code", "values"}]: see incidents.blame
    Column("reasons", JSON, nullable=False),
    # what a person judged: caused, not, or "" where nobody did
    Column("judged", String(16), nullable=False),
    Column("judged_by", String(NAME_CHARS_MAX), nullable=False),
    Column("judged_ms", BigInteger),
    Column("updated_ms", BigInteger, nullable=False),
    Index("ix_blame_change_id", "change_id"),
)
