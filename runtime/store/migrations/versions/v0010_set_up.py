"""Which environments do not have yet what they begin with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; environments that are there have been set up."""
    op.add_column("environments", sa.Column("pending", sa.Boolean(create_constraint=False)))
