"""Incidents with their alerts and timelines, silences, maintenance windows, loops' cursors."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

incident = Table(
    "incident",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("severity", String(16), nullable=False),
    Column("title", String(400), nullable=False),
    Column("summary", Text, nullable=False),
    Column("next", Text, nullable=False),
    # the same in other languages: {"uk": {"title", "summary", "next", "silent_because"}}
    Column("words", JSON, nullable=False, server_default="{}"),
    Column("team", String(NAME_CHARS_MAX), nullable=False),
    Column("hosts", JSON, nullable=False),
    Column("alert_names", JSON, nullable=False),
    # why nobody is told ("silent because …"), or empty
    Column("silent_because", Text, nullable=False),
    Column("began_ms", BigInteger, nullable=False, index=True),
    Column("detected_ms", BigInteger, nullable=False),
    Column("notified_ms", BigInteger),
    Column("acknowledged_ms", BigInteger),
    Column("acknowledged_by", String(NAME_CHARS_MAX)),
    Column("resolved_ms", BigInteger),
    Column("resolved_by", String(NAME_CHARS_MAX)),
    # the first person who looked at it
    Column("seen_ms", BigInteger),
    Column("seen_by", String(NAME_CHARS_MAX)),
    # the harm is over, if not its cause
    Column("mitigated_ms", BigInteger),
    Column("mitigated_by", String(NAME_CHARS_MAX)),
    Column("snoozed_until_ms", BigInteger),
    Column("service", String(NAME_CHARS_MAX), nullable=False, server_default=""),
    # when an alert last joined or fired: the merge window counts from it
    Column("active_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False, index=True),
    Column("merged_into", Integer),
    # counts every change, so that readers can tell whether they have the newest
    Column("revision", Integer, nullable=False),
    sqlite_autoincrement=True,
)

incident_alert = Table(
    "incident_alert",
    metadata,
    Column(
        "incident_id",
        Integer,
        ForeignKey("incident.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("fingerprint", String(32), primary_key=True),
    Column("alert_name", String(NAME_CHARS_MAX), nullable=False),
    Column("host", String(NAME_CHARS_MAX), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("annotations", JSON, nullable=False),
    # what stands in for it: a silence, or an alert that explains it; or empty
    Column("silent_because", Text, nullable=False),
    Column("silent_because_uk", Text, nullable=False, server_default=""),
    # what it explains ("host", "dependents"), and the alert that explains it; or empty
    Column("explains", String(16), nullable=False, server_default=""),
    Column("cause", String(32), nullable=False, server_default=""),
    Column("first_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Index("ix_incident_alert_fingerprint", "fingerprint"),
)

incident_event = Table(
    "incident_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "incident_id",
        Integer,
        ForeignKey("incident.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("actor", String(NAME_CHARS_MAX), nullable=False),
    Column("text", Text, nullable=False),
    Column("data", JSON, nullable=False),
    sqlite_autoincrement=True,
)

silence = Table(
    "silence",
    metadata,
    Column("id", Integer, primary_key=True),
    # [{"name", "op", "value"}]: all must fit
    Column("matchers", JSON, nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False, index=True),
    Column("author", String(NAME_CHARS_MAX), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_by", String(NAME_CHARS_MAX)),
    # for a recurring maintenance window: {"days", "from", "minutes", "time_zone"}; else null
    Column("recurs", JSON),
    # whose it is; empty: nobody's
    Column("team", String(NAME_CHARS_MAX), nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

cursor = Table(
    "cursor",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
