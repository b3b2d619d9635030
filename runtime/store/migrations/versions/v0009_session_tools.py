"""The tools of a session, sealed: their headers are secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Sessions that are there keep their tools where they are, and expire."""
    op.add_column("sessions", sa.Column("sealed_tools", sa.Text))
