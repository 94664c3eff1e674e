"""Since when a rollout is held."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """So that the bake's clock can stop for faults of our own."""
    op.add_column("rollout", sa.Column("held_ms", sa.BigInteger))
