"""What environments were given of memory, processors, room and the rest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; environments without figures have the operator's."""
    op.add_column("environments", sa.Column("limits", sa.JSON))
