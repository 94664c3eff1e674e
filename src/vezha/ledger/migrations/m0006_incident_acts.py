"""Incidents: seen, mitigated, snoozed; the service that they belong to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

NAME = sa.String(253)


def upgrade() -> None:
    """What people do with incidents besides taking and closing them."""
    op.add_column("incident", sa.Column("seen_ms", sa.BigInteger))
    op.add_column("incident", sa.Column("seen_by", NAME))
    op.add_column("incident", sa.Column("mitigated_ms", sa.BigInteger))
    op.add_column("incident", sa.Column("mitigated_by", NAME))
    op.add_column("incident", sa.Column("snoozed_until_ms", sa.BigInteger))
    op.add_column("incident", sa.Column("service", NAME, nullable=False, server_default=""))
