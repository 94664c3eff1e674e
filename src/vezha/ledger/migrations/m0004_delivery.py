"""Change: releases, changes, plans, rollouts, directives and what agents tell of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NAME = sa.String(253)
TARGET = sa.String(512)


def upgrade() -> None:
    """What delivery keeps."""
    _releases()
    _changes()
    _plans()
    _rollouts()
    _attempts()
    _directives()


def _releases() -> None:
    op.create_table(
        "release",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("version", NAME, nullable=False),
        sa.Column("target", TARGET, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("custom", sa.JSON, nullable=False),
        sa.Column("published_ms", sa.BigInteger, nullable=False),
        sa.Column("published_by", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_release"),
        sa.UniqueConstraint("target", name="uq_release_target"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_release_sha256", "release", ["sha256"])
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("host_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", TARGET, nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("rollout_id", sa.Integer),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("lifted_ms", sa.BigInteger),
        sa.Column("lifted_by", NAME),
        sa.Column("lifted_why", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        sa.UniqueConstraint("sha256", "host_id", name="uq_quarantine_sha256_host_id"),
        sqlite_autoincrement=True,
    )


def _changes() -> None:
    op.create_table(
        "change",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("title", sa.String(400), nullable=False),
        sa.Column("target", TARGET, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("checklist", NAME, nullable=False),
        sa.Column("risk", sa.String(16), nullable=False),
        sa.Column("selector", sa.Text, nullable=False),
        sa.Column("gates", sa.JSON, nullable=False),
        sa.Column("waves", sa.JSON, nullable=False),
        sa.Column("policy", sa.JSON, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("mends", sa.Integer),
        sa.Column("source", NAME, nullable=False),
        sa.Column("external_key", NAME),
        sa.Column("links", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("hosts", sa.JSON, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("ready_ms", sa.BigInteger),
        sa.Column("began_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by", NAME, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change"),
        sa.UniqueConstraint("source", "external_key", name="uq_change_source_external_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_change_began_ms", "change", ["began_ms"])
    op.create_index("ix_change_created_ms", "change", ["created_ms"])
    op.create_index("ix_change_state", "change", ["state"])
    op.create_index("ix_change_updated_ms", "change", ["updated_ms"])
    op.create_table(
        "change_event",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("change_id", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_event"),
        sa.ForeignKeyConstraint(
            ["change_id"], ["change.id"], name="fk_change_event_change_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_change_event_change_id", "change_event", ["change_id"])


def _plans() -> None:
    op.create_table(
        "plan",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("change_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by", NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plan"),
        sa.ForeignKeyConstraint(
            ["change_id"], ["change.id"], name="fk_plan_change_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("change_id", "number", name="uq_plan_change_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("plan_id", sa.Integer, nullable=False),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("user_name", NAME, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_approval"),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["plan.id"], name="fk_approval_plan_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "plan_id", "wave", "user_name", name="uq_approval_plan_id_wave_user_name"
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "freeze",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("selector", sa.Text, nullable=False),
        sa.Column("starts_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.Column("recurs", sa.JSON),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("overrun", sa.String(16), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("author", NAME, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_by", NAME),
        sa.PrimaryKeyConstraint("id", name="pk_freeze"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_freeze_ends_ms", "freeze", ["ends_ms"])


def _rollouts() -> None:
    op.create_table(
        "rollout",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("change_id", sa.Integer, nullable=False),
        sa.Column("plan_id", sa.Integer, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("revert_generation", sa.BigInteger),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("phase_since_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("reason_code", sa.String(32), nullable=False),
        sa.Column("wish", sa.String(16), nullable=False),
        sa.Column("wish_by", NAME, nullable=False),
        sa.Column("break_glass_until_ms", sa.BigInteger),
        sa.Column("break_glass_by", NAME, nullable=False),
        sa.Column("break_glass_why", sa.Text, nullable=False),
        sa.Column("pace", sa.Float),
        sa.Column("bake_credit_ms", sa.BigInteger, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by", NAME, nullable=False),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollout"),
        sa.ForeignKeyConstraint(["plan_id"], ["plan.id"], name="fk_rollout_plan_id"),
        sa.ForeignKeyConstraint(
            ["change_id"], ["change.id"], name="fk_rollout_change_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("generation", name="uq_rollout_generation"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rollout_change_id", "rollout", ["change_id"])
    op.create_index("ix_rollout_state", "rollout", ["state"])
    op.create_index("ix_rollout_updated_ms", "rollout", ["updated_ms"])


def _attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("rollout_id", sa.Integer, nullable=False),
        sa.Column("host_id", sa.Integer, nullable=False),
        sa.Column("host", NAME, nullable=False),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("from_version", NAME, nullable=False),
        sa.Column("from_target", TARGET, nullable=False),
        sa.Column("from_sha256", sa.String(64), nullable=False),
        sa.Column("from_length", sa.BigInteger, nullable=False),
        sa.Column("generation", sa.BigInteger),
        sa.Column("result", sa.JSON),
        sa.Column("offered_ms", sa.BigInteger),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("rollout_id", "host_id", name="pk_attempt"),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name="fk_attempt_rollout_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_attempt_host_id", "attempt", ["host_id"])
    op.create_index("ix_attempt_rollout_id_state", "attempt", ["rollout_id", "state"])
    op.create_table(
        "attempt_event",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("rollout_id", sa.Integer, nullable=False),
        sa.Column("host_id", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("written_ms", sa.BigInteger, nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attempt_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_attempt_event_host_id", "attempt_event", ["host_id"])
    op.create_index(
        "ix_attempt_event_rollout_id_host_id", "attempt_event", ["rollout_id", "host_id"]
    )
    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("rollout_id", sa.Integer, nullable=False),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("gate", NAME, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("measured", sa.Float),
        sa.Column("allowed", sa.Float),
        sa.Column("samples", sa.JSON, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verdict"),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name="fk_verdict_rollout_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_verdict_rollout_id_wave", "verdict", ["rollout_id", "wave"])


def _directives() -> None:
    op.create_table(
        "directive",
        sa.Column("host_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("target", TARGET, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("rollout_id", sa.Integer),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("host_id", "kind", "run", name="pk_directive"),
        sa.ForeignKeyConstraint(
            ["host_id"], ["host.id"], name="fk_directive_host_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_directive_updated_ms", "directive", ["updated_ms"])
    op.create_table(
        "progress",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("agent_id", sa.String(32), nullable=False),
        sa.Column("host_id", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_progress"),
        sa.UniqueConstraint("agent_id", "number", name="uq_progress_agent_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_progress_host_id", "progress", ["host_id"])
    op.create_table(
        "running",
        sa.Column("host_id", sa.Integer, nullable=False),
        sa.Column("agent_id", sa.String(32), nullable=False),
        sa.Column("build", sa.String(64), nullable=False),
        sa.Column("version", NAME, nullable=False),
        sa.Column("release_sha256", sa.String(64), nullable=False),
        sa.Column("config_sha256", sa.String(64), nullable=False),
        sa.Column("effective_sha256", sa.String(64), nullable=False),
        sa.Column("generations", sa.JSON, nullable=False),
        sa.Column("quarantined", sa.JSON, nullable=False),
        sa.Column("capabilities", sa.JSON, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("reported_ms", sa.BigInteger, nullable=False),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("host_id", name="pk_running"),
        sa.ForeignKeyConstraint(
            ["host_id"], ["host.id"], name="fk_running_host_id", ondelete="CASCADE"
        ),
    )
