"""Rollouts, what became of each host in them, and what the gates said.

The ops contour's delivery loop is the only writer (people's wishes come as columns of `rollout`
that it reads). `attempt_event` and `verdict` are only ever added to.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata, part_of

rollout = Table(
    "rollout",
    metadata,
    Column("id", Integer, primary_key=True),
    part_of("change_id", "change.id", nullable=False, index=True),
    Column("plan_id", Integer, ForeignKey("plan.id"), nullable=False),
    # what agents compare: each directive of a later rollout or rollback has a higher one
    Column("generation", BigInteger, nullable=False, unique=True),
    Column("revert_generation", BigInteger),
    Column("state", String(16), nullable=False, index=True),
    # counts from 0; how far the wave is: opening, rolling, baking
    Column("wave", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("phase_since_ms", BigInteger, nullable=False),
    # why it is in its state, in a sentence, and the code of that (see delivery.reason)
    Column("reason", Text, nullable=False),
    Column("reason_code", String(32), nullable=False),
    # what a person wants of it: run, pause, abort, revert; and who, and since when
    Column("wish", String(16), nullable=False),
    Column("wish_by", String(NAME_CHARS_MAX), nullable=False),
    # break-glass: until when windows do not hold it, by whom and why ("" where not)
    Column("break_glass_until_ms", BigInteger),
    Column("break_glass_by", String(NAME_CHARS_MAX), nullable=False),
    Column("break_glass_why", Text, nullable=False),
    # what the pace said last: how much longer than its least time a wave bakes (null: holds)
    Column("pace", Float),
    # since when it is held; null while it is not
    Column("held_ms", BigInteger),
    # how long faults of our own kept the bake's clock from running
    Column("bake_credit_ms", BigInteger, nullable=False),
    # by hand, although the hash is in quarantine
    Column("forced", Boolean, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(NAME_CHARS_MAX), nullable=False),
    Column("ended_ms", BigInteger),
    Column("updated_ms", BigInteger, nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    sqlite_autoincrement=True,
)

attempt = Table(
    "attempt",
    metadata,
    part_of("rollout_id", "rollout.id", primary_key=True, autoincrement=False),
    # no key to host: what became of a host is kept when the host is removed
    Column("host_id", Integer, primary_key=True, autoincrement=False),
    Column("host", String(NAME_CHARS_MAX), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    # a code of delivery.reason and a sentence ("" where none)
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    # what it ran before: where to go back to
    Column("from_version", String(NAME_CHARS_MAX), nullable=False),
    Column("from_target", String(512), nullable=False),
    Column("from_sha256", String(64), nullable=False),
    Column("from_length", BigInteger, nullable=False),
    # of the newest directive that was written for it; null while it waits
    Column("generation", BigInteger),
    # a script's {"exit_code", "output", "truncated", …}
    Column("result", JSON),
    Column("offered_ms", BigInteger),
    Column("since_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("ix_attempt_rollout_id_state", "rollout_id", "state"),
    Index("ix_attempt_host_id", "host_id"),
)

attempt_event = Table(
    "attempt_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rollout_id", Integer, nullable=False),
    Column("host_id", Integer, nullable=False),
    # when it happened (the agent's clock where it told), and when the row was written
    Column("at_ms", BigInteger, nullable=False),
    Column("written_ms", BigInteger, nullable=False),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_attempt_event_rollout_id_host_id", "rollout_id", "host_id"),
    Index("ix_attempt_event_host_id", "host_id"),
    sqlite_autoincrement=True,
)

verdict = Table(
    "verdict",
    metadata,
    Column("id", Integer, primary_key=True),
    part_of("rollout_id", "rollout.id", nullable=False),
    Column("wave", Integer, nullable=False),
    # the gate's name within the change, its kind, and how it was set
    Column("gate", String(NAME_CHARS_MAX), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("spec", JSON, nullable=False),
    # looks only: counts for nothing
    Column("shadow", Boolean, nullable=False),
    # pass, fail, no_evidence
    Column("result", String(16), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("measured", Float),
    Column("allowed", Float),
    # all that the verdict was made of, enough to make it again
    Column("samples", JSON, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_verdict_rollout_id_wave", "rollout_id", "wave"),
    sqlite_autoincrement=True,
)
