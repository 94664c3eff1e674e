"""What is said of an incident in other languages than English: title, summary, next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """One column."""
    op.add_column("incident", sa.Column("words", sa.JSON, nullable=False, server_default="{}"))
