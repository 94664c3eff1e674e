"""How people are reached: their addresses, and what they want."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, String, Table, Text, UniqueConstraint

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

contact = Table(
    "contact",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("person", String(NAME_CHARS_MAX), nullable=False),
    Column("name", String(63), nullable=False),
    # the receiver by whose account the address is reached
    Column("via", String(63), nullable=False),
    Column("address", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("person", "name"),
    sqlite_autoincrement=True,
)

person_preference = Table(
    "person_preference",
    metadata,
    Column("person", String(NAME_CHARS_MAX), primary_key=True),
    Column("language", String(8), nullable=False),
    Column("time_zone", String(64), nullable=False),
    # {"critical": [contact, …], …}
    Column("rules", JSON, nullable=False),
    # {"least": severity, "windows": [[days, start minute, minutes], …]}
    Column("quiet", JSON, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)
