"""Which change could explain which incident; the diary's pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NAME = sa.String(253)


def upgrade() -> None:
    """Two tables of their own."""
    op.create_table(
        "blame",
        sa.Column("incident_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("change_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("judged", sa.String(16), nullable=False),
        sa.Column("judged_by", NAME, nullable=False),
        sa.Column("judged_ms", sa.BigInteger),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "change_id", name="pk_blame"),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            ondelete="CASCADE",
            name="fk_blame_incident_id",
        ),
        sa.ForeignKeyConstraint(
            ["change_id"], ["change.id"], ondelete="CASCADE", name="fk_blame_change_id"
        ),
    )
    op.create_index("ix_blame_change_id", "blame", ["change_id"])
    op.create_table(
        "diary_page",
        sa.Column("week", sa.String(8), nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("week", name="pk_diary_page"),
    )
