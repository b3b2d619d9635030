"""Interactions, their events, environments and idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _environments()
    _interactions()
    _events()
    _idempotency()


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _environments() -> None:
    op.create_table(
        "environments",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        _moment("created"),
        _moment("updated"),
        _moment("last_used"),
        sa.Column("network", sa.JSON),
        sa.Column("sources", sa.JSON),
        sa.Column("variables", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
    )
    op.create_index("ix_environments_status_last_used", "environments", ["status", "last_used"])


def _interactions() -> None:
    op.create_table(
        "interactions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(256)),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("environment_id", sa.String(64)),
        sa.Column("previous_interaction_id", sa.String(64)),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("background", sa.Boolean, nullable=False),
        sa.Column("store", sa.Boolean, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON),
        sa.Column("usage", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("steps", sa.JSON),
        sa.Column("step_count", sa.BigInteger, nullable=False),
        sa.Column("last_step", sa.String(256)),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        _moment("created"),
        _moment("updated"),
        _moment("settled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_interactions"),
        sa.ForeignKeyConstraint(
            ["environment_id"],
            ["environments.id"],
            name="fk_interactions_environment_id",
            ondelete="SET NULL",
        ),
    )
    op.create_index("ix_interactions_settled_at", "interactions", ["settled_at"])
    op.create_index("ix_interactions_environment_id", "interactions", ["environment_id"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("interaction_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        _moment("created"),
        sa.Column("body", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("interaction_id", "seq", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["interaction_id"],
            ["interactions.id"],
            name="fk_events_interaction_id",
            ondelete="CASCADE",
        ),
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("interaction_id", sa.String(64), nullable=False),
        _moment("created"),
        sa.PrimaryKeyConstraint("project_id", "key", name="pk_idempotency"),
        sa.ForeignKeyConstraint(
            ["interaction_id"],
            ["interactions.id"],
            name="fk_idempotency_interaction_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_idempotency_interaction_id", "idempotency", ["interaction_id"])
    op.create_index("ix_idempotency_created", "idempotency", ["created"])
