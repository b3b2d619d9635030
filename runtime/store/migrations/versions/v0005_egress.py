"""What environments may reach, and what became of what they asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, make the table."""
    op.add_column("environments", sa.Column("network_secrets", sa.Text))
    op.add_column("environments", sa.Column("credential_variables", sa.JSON))
    op.create_table(
        "egress_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("environment_id", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_egress_events"),
    )
    op.create_index("ix_egress_events_environment_id_id", "egress_events", ["environment_id", "id"])
