"""Why an alert of an incident is silent, in Ukrainian."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """One column; alerts of before get their words at their next change."""
    op.add_column(
        "incident_alert",
        sa.Column("silent_because_uk", sa.Text, nullable=False, server_default=""),
    )
