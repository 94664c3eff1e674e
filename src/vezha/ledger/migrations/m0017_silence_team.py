"""Whose a silence is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """One column; silences of before are nobody's."""
    op.add_column("silence", sa.Column("team", sa.String(253), nullable=False, server_default=""))
