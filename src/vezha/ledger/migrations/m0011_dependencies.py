"""Dependencies, and which alert explains which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

NAME = sa.String(253)


def upgrade() -> None:
    """One table; two columns of an incident's alerts."""
    op.create_table(
        "dependency",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("child", sa.String(512), nullable=False),
        sa.Column("parents", sa.JSON, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("evidence", sa.JSON),
        sa.Column("author", NAME, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dependency"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dependency_state", "dependency", ["state"])
    for name, size in (("explains", 16), ("cause", 32)):
        op.add_column(
            "incident_alert",
            sa.Column(name, sa.String(size), nullable=False, server_default=""),
        )
