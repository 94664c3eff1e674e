"""Alerts that other programs send (Prometheus, vmalert, amtool): the newest word on each.

Apart from `alert_state`, which belongs to our own rules: alerting closes what it does not know.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

external_alert = Table(
    "external_alert",
    metadata,
    # of the labels as sent, salted so that it is never one of ours
    Column("fingerprint", String(32), primary_key=True),
    Column("source", String(NAME_CHARS_MAX), nullable=False),
    Column("alert_name", String(NAME_CHARS_MAX), nullable=False),
    Column("host", String(NAME_CHARS_MAX), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("annotations", JSON, nullable=False),
    Column("generator_url", Text, nullable=False),
    # firing or resolved
    Column("state", String(16), nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    # until when the sender's word holds; after the end, when it ended (the sender's clock)
    Column("ends_ms", BigInteger, nullable=False),
    # the farthest end that was promised while it fired: tells late duplicates
    Column("promised_ms", BigInteger, nullable=False),
    # no word came, in time, rather than the word that it is over
    Column("expired", Boolean, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("ix_external_alert_state_ends_ms", "state", "ends_ms"),
)
