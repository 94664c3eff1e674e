"""On-call: schedules, teams, escalation, hand-overs, contacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NAME = sa.String(253)
SHORT = sa.String(63)


def upgrade() -> None:
    """Who is on call, who is woken next, how people are reached."""
    for table in ("oncall_schedule", "team", "escalation_policy"):
        op.create_table(
            table,
            sa.Column("name", SHORT, nullable=False),
            sa.Column("document", sa.JSON, nullable=False),
            sa.Column("changed_ms", sa.BigInteger, nullable=False),
            sa.Column("changed_by", NAME, nullable=False),
            sa.PrimaryKeyConstraint("name", name=f"pk_{table}"),
        )
    _schedules()
    _escalations()
    _contacts()


def _schedules() -> None:
    op.create_table(
        "oncall_override",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("schedule", SHORT, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("starts_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.Column("author", NAME, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_by", NAME),
        sa.PrimaryKeyConstraint("id", name="pk_oncall_override"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_oncall_override_schedule", "oncall_override", ["schedule"])
    op.create_table(
        "oncall_shift",
        sa.Column("schedule", SHORT, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("schedule", name="pk_oncall_shift"),
    )
    op.create_table(
        "handover",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("schedule", SHORT, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("from_person", NAME, nullable=False),
        sa.Column("to_person", NAME, nullable=False),
        sa.Column("page", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_handover"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_handover_schedule", "handover", ["schedule"])
    op.create_table(
        "calendar_feed",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("schedule", SHORT, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("created_by", NAME, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_calendar_feed"),
        sa.UniqueConstraint("token_hash", name="uq_calendar_feed_token_hash"),
        sqlite_autoincrement=True,
    )


def _escalations() -> None:
    op.create_table(
        "escalation",
        sa.Column("incident_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("policy", SHORT, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("asked_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", name="pk_escalation"),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name="fk_escalation_incident_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_escalation_due_ms", "escalation", ["due_ms"])


def _contacts() -> None:
    op.create_table(
        "contact",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("name", SHORT, nullable=False),
        sa.Column("via", SHORT, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_contact"),
        sa.UniqueConstraint("person", "name", name="uq_contact_person_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "person_preference",
        sa.Column("person", NAME, nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("quiet", sa.JSON, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_person_preference"),
    )
