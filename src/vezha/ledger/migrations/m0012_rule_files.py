"""Versions of the operator's rule files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

NAME = sa.String(253)


def upgrade() -> None:
    """One table."""
    op.create_table(
        "rule_file_version",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("hash", sa.String(16), nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("author", NAME, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("rehearsal", sa.JSON),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rule_file_version"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rule_file_version_name", "rule_file_version", ["name"])
