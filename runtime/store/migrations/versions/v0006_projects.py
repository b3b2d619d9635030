"""Projects and their keys; ids of files belong to a project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and give files their project."""
    op.create_table(
        "projects",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.execute("INSERT INTO projects (id, created) VALUES ('default', CURRENT_TIMESTAMP)")
    _make_keys()
    _divide_files()
    op.drop_index("ix_interactions_settled_at", "interactions")
    op.create_index(
        "ix_interactions_settled_at_project_id", "interactions", ["settled_at", "project_id"]
    )
    op.create_index("ix_interactions_project_id_id", "interactions", ["project_id", "id"])
    op.create_index("ix_environments_project_id_id", "environments", ["project_id", "id"])


def _make_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("prefix", sa.String(32), nullable=False),
        sa.Column("name", sa.String(256)),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used", sa.DateTime(timezone=True)),
        sa.Column("revoked", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_keys_project_id"),
    )
    op.create_index("ix_keys_digest", "keys", ["digest"], unique=True)
    op.create_index("ix_keys_project_id", "keys", ["project_id"])


def _divide_files() -> None:
    op.drop_index("ix_files_created_id", "files")
    with op.batch_alter_table("files") as files:
        files.add_column(
            sa.Column("key_id", sa.String(64), nullable=False, server_default="operator")
        )
        files.drop_constraint("pk_files", type_="primary")
        files.create_primary_key("pk_files", ["project_id", "id"])
    with op.batch_alter_table("files") as files:
        files.alter_column("key_id", server_default=None)
    op.create_index("ix_files_project_id_created_id", "files", ["project_id", "created", "id"])
    op.create_index("ix_files_key_id", "files", ["key_id"])
