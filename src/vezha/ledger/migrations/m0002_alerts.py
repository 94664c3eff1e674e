"""Alerts, incidents with their timelines, silences, the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.String(253)


def upgrade() -> None:
    """What alerting, incidents and notify keep."""
    _alerts()
    _incidents()
    _incident_parts()
    _silences()
    _messages()


def _alert_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("group_name", NAME, nullable=False),
        sa.Column("alert_name", NAME, nullable=False),
        sa.Column("host", NAME, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("annotations", sa.JSON, nullable=False),
    ]


def _alerts() -> None:
    op.create_table(
        "alert_state",
        sa.Column("rule_key", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        *_alert_columns(),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("active_ms", sa.BigInteger, nullable=False),
        sa.Column("fired_ms", sa.BigInteger),
        sa.Column("timer_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("fires_ms", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("rule_key", "fingerprint", name="pk_alert_state"),
    )
    op.create_index("ix_alert_state_fingerprint", "alert_state", ["fingerprint"])
    op.create_table(
        "alert_transition",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("rule_key", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        *_alert_columns(),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("active_ms", sa.BigInteger, nullable=False),
        sa.Column("sampled_ms", sa.BigInteger),
        sa.Column("evaluated_ms", sa.BigInteger, nullable=False),
        sa.Column("written_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_transition"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alert_transition_fingerprint", "alert_transition", ["fingerprint"])
    op.create_index("ix_alert_transition_written_ms", "alert_transition", ["written_ms"])
    op.create_table(
        "rule_group_state",
        sa.Column("file", sa.String(1024), nullable=False),
        sa.Column("group_name", NAME, nullable=False),
        sa.Column("evaluated_ms", sa.BigInteger, nullable=False),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("file", "group_name", name="pk_rule_group_state"),
    )


def _incidents() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("title", sa.String(400), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("next", sa.Text, nullable=False),
        sa.Column("team", NAME, nullable=False),
        sa.Column("hosts", sa.JSON, nullable=False),
        sa.Column("alert_names", sa.JSON, nullable=False),
        sa.Column("silent_because", sa.Text, nullable=False),
        sa.Column("began_ms", sa.BigInteger, nullable=False),
        sa.Column("detected_ms", sa.BigInteger, nullable=False),
        sa.Column("notified_ms", sa.BigInteger),
        sa.Column("acknowledged_ms", sa.BigInteger),
        sa.Column("acknowledged_by", NAME),
        sa.Column("resolved_ms", sa.BigInteger),
        sa.Column("resolved_by", NAME),
        sa.Column("active_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("merged_into", sa.Integer),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
        sqlite_autoincrement=True,
    )
    for column in ("state", "began_ms", "updated_ms"):
        op.create_index(f"ix_incident_{column}", "incident", [column])


def _incident_parts() -> None:
    op.create_table(
        "incident_alert",
        sa.Column("incident_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("alert_name", NAME, nullable=False),
        sa.Column("host", NAME, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("annotations", sa.JSON, nullable=False),
        sa.Column("silent_because", sa.Text, nullable=False),
        sa.Column("first_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "fingerprint", name="pk_incident_alert"),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name="fk_incident_alert_incident_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_incident_alert_fingerprint", "incident_alert", ["fingerprint"])
    op.create_table(
        "incident_event",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("incident_id", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incident_event"),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name="fk_incident_event_incident_id",
            ondelete="CASCADE",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incident_event_incident_id", "incident_event", ["incident_id"])


def _silences() -> None:
    op.create_table(
        "silence",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("matchers", sa.JSON, nullable=False),
        sa.Column("starts_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.Column("author", NAME, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_by", NAME),
        sa.Column("recurs", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_silence"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_silence_ends_ms", "silence", ["ends_ms"])
    op.create_table(
        "cursor",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursor"),
    )


def _messages() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("receiver", NAME, nullable=False),
        sa.Column("thread", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("dedup_key", sa.String(200), nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_ms", sa.BigInteger, nullable=False),
        sa.Column("claim", sa.String(64), nullable=False),
        sa.Column("claim_until_ms", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("sent_ms", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("reference", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
        sa.UniqueConstraint("dedup_key", name="uq_message_dedup_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_message_state_next_ms", "message", ["state", "next_ms"])
    op.create_index("ix_message_receiver_thread", "message", ["receiver", "thread"])
    op.create_table(
        "message_thread",
        sa.Column("receiver", NAME, nullable=False),
        sa.Column("thread", sa.String(64), nullable=False),
        sa.Column("reference", sa.JSON, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("receiver", "thread", name="pk_message_thread"),
    )
