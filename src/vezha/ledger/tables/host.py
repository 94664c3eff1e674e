"""Hosts: the machines that are watched."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, String, Table

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

host = Table(
    "host",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(NAME_CHARS_MAX), nullable=False, unique=True),
    # labels: site, role and what else people group hosts by; facts: what the agent said of
    # the machine (os, cores, memory, agent version …)
    Column("labels", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("first_seen_ms", BigInteger),
    Column("last_seen_ms", BigInteger),
)
