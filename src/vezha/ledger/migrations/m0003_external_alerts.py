"""Alerts that other programs send."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NAME = sa.String(253)


def upgrade() -> None:
    """The newest word on each external alert."""
    op.create_table(
        "external_alert",
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("source", NAME, nullable=False),
        sa.Column("alert_name", NAME, nullable=False),
        sa.Column("host", NAME, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("annotations", sa.JSON, nullable=False),
        sa.Column("generator_url", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("starts_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.Column("promised_ms", sa.BigInteger, nullable=False),
        sa.Column("expired", sa.Boolean, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_external_alert"),
    )
    op.create_index("ix_external_alert_state_ends_ms", "external_alert", ["state", "ends_ms"])
