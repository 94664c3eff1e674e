"""What was in effect on hosts when a delivered configuration was proven."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """One table."""
    op.create_table(
        "proven_config",
        sa.Column("host_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("effective_sha256", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("accepted_by", sa.String(253), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["host_id"],
            ["host.id"],
            name="fk_proven_config_host_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("host_id", name="pk_proven_config"),
    )
