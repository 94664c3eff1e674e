"""Alerts: what state each is in, and every change of it.

The data contour writes; incidents and the API read. `alert_state` is the present (so that a
restart forgets nothing), `alert_transition` the past, only ever added to; its `id` is what the
incidents' cursor counts by.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

alert_state = Table(
    "alert_state",
    metadata,
    # the rule's identity (file, group, name, expression) and the alert's labels, both hashed
    Column("rule_key", String(32), primary_key=True),
    Column("fingerprint", String(32), primary_key=True),
    Column("group_name", String(NAME_CHARS_MAX), nullable=False),
    Column("alert_name", String(NAME_CHARS_MAX), nullable=False),
    Column("host", String(NAME_CHARS_MAX), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("annotations", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("value", Float),
    Column("active_ms", BigInteger, nullable=False),
    Column("fired_ms", BigInteger),
    # since when the state's own timer runs (the start of `for`, of keep_firing_for …)
    Column("timer_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("fires_ms", JSON, nullable=False),
    Index("ix_alert_state_fingerprint", "fingerprint"),
)

alert_transition = Table(
    "alert_transition",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule_key", String(32), nullable=False),
    Column("fingerprint", String(32), nullable=False, index=True),
    Column("group_name", String(NAME_CHARS_MAX), nullable=False),
    Column("alert_name", String(NAME_CHARS_MAX), nullable=False),
    Column("host", String(NAME_CHARS_MAX), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("annotations", JSON, nullable=False),
    Column("event", String(16), nullable=False),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    Column("value", Float),
    Column("active_ms", BigInteger, nullable=False),
    # the stages of detection: the sample's own time, its evaluation, the writing of this row
    Column("sampled_ms", BigInteger),
    Column("evaluated_ms", BigInteger, nullable=False),
    Column("written_ms", BigInteger, nullable=False, index=True),
    sqlite_autoincrement=True,
)

rule_group_state = Table(
    "rule_group_state",
    metadata,
    Column("file", String(1024), primary_key=True),
    Column("group_name", String(NAME_CHARS_MAX), primary_key=True),
    Column("evaluated_ms", BigInteger, nullable=False),
    Column("duration_s", Float, nullable=False),
    # one {"key", "health", "error", "duration_s", "evaluated_ms"} for each rule, in order
    Column("rules", JSON, nullable=False),
    Column("problem", Text, nullable=False),
)
