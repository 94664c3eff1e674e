"""On-call: schedules, overrides, teams, escalation policies and their progress, hand-overs."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

oncall_schedule = Table(
    "oncall_schedule",
    metadata,
    Column("name", String(63), primary_key=True),
    # layers, time zone, title: as the API shows them
    Column("document", JSON, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("changed_by", String(NAME_CHARS_MAX), nullable=False),
)

oncall_override = Table(
    "oncall_override",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schedule", String(63), nullable=False, index=True),
    Column("person", String(NAME_CHARS_MAX), nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Column("author", String(NAME_CHARS_MAX), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_by", String(NAME_CHARS_MAX)),
    sqlite_autoincrement=True,
)

oncall_shift = Table(
    "oncall_shift",
    metadata,
    # who was last seen on call: a change of it is a hand-over
    Column("schedule", String(63), primary_key=True),
    Column("person", String(NAME_CHARS_MAX), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

handover = Table(
    "handover",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schedule", String(63), nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    # empty: nobody
    Column("from_person", String(NAME_CHARS_MAX), nullable=False),
    Column("to_person", String(NAME_CHARS_MAX), nullable=False),
    # the page as it was at that instant
    Column("page", JSON, nullable=False),
    sqlite_autoincrement=True,
)

calendar_feed = Table(
    "calendar_feed",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    # one of the two is empty: a schedule's calendar, or a person's
    Column("schedule", String(63), nullable=False),
    Column("person", String(NAME_CHARS_MAX), nullable=False),
    Column("created_by", String(NAME_CHARS_MAX), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    sqlite_autoincrement=True,
)

team = Table(
    "team",
    metadata,
    Column("name", String(63), primary_key=True),
    # matchers, policy, members, title, position: as the API shows them
    Column("document", JSON, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("changed_by", String(NAME_CHARS_MAX), nullable=False),
)

escalation_policy = Table(
    "escalation_policy",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("changed_by", String(NAME_CHARS_MAX), nullable=False),
)

escalation = Table(
    "escalation",
    metadata,
    Column(
        "incident_id",
        Integer,
        ForeignKey("incident.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("policy", String(63), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("due_ms", BigInteger, index=True),
    Column("asked_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    # counts changes: a step is claimed by an UPDATE that names the one it saw
    Column("revision", Integer, nullable=False),
)
