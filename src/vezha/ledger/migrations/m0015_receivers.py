"""Receivers and routes that are saved while running."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "receiver",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("secrets", sa.JSON, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.String(253), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_receiver"),
    )
    op.create_table(
        "notify_route",
        sa.Column("position", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("receivers", sa.JSON, nullable=False),
        sa.Column("match", sa.JSON, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("go_on", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_notify_route"),
    )
