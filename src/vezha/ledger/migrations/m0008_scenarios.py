"""Scenarios: versions, rounds, looks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

NAME = sa.String(253)


def upgrade() -> None:
    """What was walked, by whom, and how it stood."""
    op.create_table(
        "scenario_version",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(12), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("first_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_scenario_version"),
    )
    op.create_table(
        "scenario_round",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(12), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("by", NAME, nullable=False),
        sa.Column("began_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("ended_by", NAME),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("odd", sa.Integer, nullable=False),
        sa.Column("slot", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_scenario_round"),
        sa.UniqueConstraint("name", "slot", name="uq_scenario_round_name_slot"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_scenario_round_state", "scenario_round", ["state"])
    op.create_index("ix_scenario_round_name_began_ms", "scenario_round", ["name", "began_ms"])
    op.create_table(
        "scenario_look",
        sa.Column("round_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("view", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("by", NAME, nullable=False),
        sa.Column("at_ms", sa.BigInteger),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["round_id"], ["scenario_round.id"], ondelete="CASCADE",
            name="fk_scenario_look_round_id",
        ),
        sa.PrimaryKeyConstraint("round_id", "view", name="pk_scenario_look"),
    )  # fmt: skip
