"""Changes, their timelines, plans and approvals; windows in which nothing may change.

`change_event` and `plan` are only ever added to. External changes (kind `external`) are rows of
`change` as well: reported, then done, with no plan.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata, part_of

change = Table(
    "change",
    metadata,
    Column("id", Integer, primary_key=True),
    # agent, config, rules, script, external
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    # what: one line, and the artifact (none for external changes)
    Column("title", String(400), nullable=False),
    Column("target", String(512), nullable=False),
    Column("sha256", String(64), nullable=False),
    # useful, supported: why, who, which checklist ("" where missing)
    Column("why", Text, nullable=False),
    Column("owner", String(NAME_CHARS_MAX), nullable=False),
    Column("checklist", String(NAME_CHARS_MAX), nullable=False),
    # low, medium, high
    Column("risk", String(16), nullable=False),
    # which hosts: label matchers as PromQL writes them
    Column("selector", Text, nullable=False),
    # stable: [{"kind", …}], see delivery.gate; [{"name", …}], see delivery.wave
    Column("gates", JSON, nullable=False),
    Column("waves", JSON, nullable=False),
    # limits and rules that hold for all waves, see delivery.policy
    Column("policy", JSON, nullable=False),
    # a script's parameters
    Column("params", JSON, nullable=False),
    # why it is in its state, in a sentence
    Column("reason", Text, nullable=False),
    # the change that this one mends (rework), if it does
    Column("mends", Integer),
    # external ones: who told, under which name; (source, external_key) is told once
    Column("source", String(NAME_CHARS_MAX), nullable=False),
    Column("external_key", String(NAME_CHARS_MAX)),
    Column("links", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    # names of the hosts that it touched or will touch
    Column("hosts", JSON, nullable=False),
    # success, failure, reverted, cancelled; "" while open
    Column("outcome", String(16), nullable=False),
    # what it was made of was ready (a commit's time), for the lead time
    Column("ready_ms", BigInteger),
    Column("began_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False, index=True),
    Column("created_by", String(NAME_CHARS_MAX), nullable=False),
    Column("updated_ms", BigInteger, nullable=False, index=True),
    # counts every change of the row, so that readers can tell whether they have the newest
    Column("revision", Integer, nullable=False),
    UniqueConstraint("source", "external_key"),
    Index("ix_change_began_ms", "began_ms"),
    sqlite_autoincrement=True,
)

change_event = Table(
    "change_event",
    metadata,
    Column("id", Integer, primary_key=True),
    part_of("change_id", "change.id", nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("actor", String(NAME_CHARS_MAX), nullable=False),
    Column("text", Text, nullable=False),
    Column("data", JSON, nullable=False),
    sqlite_autoincrement=True,
)

plan = Table(
    "plan",
    metadata,
    Column("id", Integer, primary_key=True),
    part_of("change_id", "change.id", nullable=False),
    # counts from 1 within the change
    Column("number", Integer, nullable=False),
    # of the document: what was approved is what is run
    Column("sha256", String(64), nullable=False),
    # see delivery.plan
    Column("document", JSON, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(NAME_CHARS_MAX), nullable=False),
    UniqueConstraint("change_id", "number"),
    sqlite_autoincrement=True,
)

approval = Table(
    "approval",
    metadata,
    Column("id", Integer, primary_key=True),
    part_of("plan_id", "plan.id", nullable=False),
    # -1: the plan as a whole; else the wave whose manual gate asked
    Column("wave", Integer, nullable=False),
    Column("user_name", String(NAME_CHARS_MAX), nullable=False),
    Column("role", String(16), nullable=False),
    # approved or rejected
    Column("answer", String(16), nullable=False),
    Column("comment", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    UniqueConstraint("plan_id", "wave", "user_name"),
    sqlite_autoincrement=True,
)

freeze = Table(
    "freeze",
    metadata,
    Column("id", Integer, primary_key=True),
    # freeze: nothing changes inside; maintenance: its hosts change only inside
    Column("kind", String(16), nullable=False),
    Column("name", String(NAME_CHARS_MAX), nullable=False),
    Column("selector", Text, nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False, index=True),
    # {"days", "from", "minutes"} for a recurring one, else null; its hours are of time_zone
    Column("recurs", JSON),
    Column("time_zone", String(64), nullable=False),
    # what was begun when it comes: finish (the wave), or hold
    Column("overrun", String(16), nullable=False),
    Column("comment", Text, nullable=False),
    Column("author", String(NAME_CHARS_MAX), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_by", String(NAME_CHARS_MAX)),
    sqlite_autoincrement=True,
)
