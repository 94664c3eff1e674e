"""Checklists and their runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NAME = sa.String(253)


def upgrade() -> None:
    """Versions that were run, runs, events."""
    op.create_table(
        "checklist_version",
        sa.Column("hash", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("first_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_checklist_version"),
    )
    op.create_table(
        "checklist_run",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("checklist", sa.String(64), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("title", sa.String(400), nullable=False),
        sa.Column("incident_id", sa.Integer),
        sa.Column("change_id", sa.Integer),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("variables", sa.JSON, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("steps_open", sa.Integer, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("started_by", NAME, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_checklist_run"),
        sa.ForeignKeyConstraint(
            ["version"], ["checklist_version.hash"],
            name="fk_checklist_run_version_checklist_version",
        ),
        sqlite_autoincrement=True,
    )  # fmt: skip
    for column in ("checklist", "incident_id", "change_id", "state", "started_ms"):
        op.create_index(f"ix_checklist_run_{column}", "checklist_run", [column])
    op.create_table(
        "checklist_event",
        sa.Column("run_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("value", sa.JSON),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_checklist_event"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["checklist_run.id"], ondelete="CASCADE",
            name="fk_checklist_event_run_id_checklist_run",
        ),
    )  # fmt: skip
