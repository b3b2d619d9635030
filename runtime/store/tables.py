"""The tables, in the words of SQLAlchemy Core. Migrations bring a database to this shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """An aware moment, UTC; SQLite has no time zones of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Aware again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _json(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


environments = Table(
    "environments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("last_used", Moment, nullable=False),
    _json("network"),
    _json("sources"),
    _json("variables"),
    Column("network_secrets", Text),
    _json("credential_variables"),
    _json("limits"),
    Column("pending", Boolean(create_constraint=False)),
    Index(None, "status", "last_used"),
    Index(None, "project_id", "id"),
)

egress_events = Table(
    "egress_events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("environment_id", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    _json("body", nullable=False),
    Index(None, "environment_id", "id"),
)

interactions = Table(
    "interactions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("agent", String(256)),
    Column("model", String(256), nullable=False),
    Column("environment_id", String(64), ForeignKey("environments.id", ondelete="SET NULL")),
    Column("previous_interaction_id", String(64)),
    Column("status", String(32), nullable=False),
    Column("background", Boolean(create_constraint=False), nullable=False),
    Column("store", Boolean(create_constraint=False), nullable=False),
    _json("request", nullable=False),
    _json("plan", nullable=False),
    _json("labels"),
    _json("usage"),
    _json("error"),
    _json("steps"),
    Column("step_count", BigInteger, nullable=False),
    Column("last_step", String(256)),
    Column("last_seq", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("settled_at", Moment),
    Index(None, "settled_at", "project_id"),
    Index(None, "project_id", "id"),
    Index(None, "environment_id"),
)

events = Table(
    "events",
    metadata,
    Column(
        "interaction_id",
        String(64),
        ForeignKey("interactions.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("created", Moment, nullable=False),
    _json("body", nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column(
        "interaction_id",
        String(64),
        ForeignKey("interactions.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("created", Moment, nullable=False),
    Index(None, "interaction_id"),
    Index(None, "created"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("last_interaction_id", String(64), nullable=False),
    Column("environment_id", String(64)),
    _json("settings", nullable=False),
    Column("ttl_seconds", Float, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("sealed_tools", Text),
    Index(None, "expires"),
)

files = Table(
    "files",
    metadata,
    Column("id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("blob", String(64), nullable=False),
    Column("upload_digest", String(64), nullable=False),
    Column("mime_type", String(256), nullable=False),
    Column("display_name", String(512)),
    Column("size_bytes", BigInteger),
    Column("sha256", String(64)),
    Column("origin", String(512), nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("key_id", String(64), nullable=False),
    PrimaryKeyConstraint("project_id", "id"),
    Index(None, "blob", unique=True),
    Index(None, "upload_digest", unique=True),
    Index(None, "expires"),
    Index(None, "project_id", "created", "id"),
    Index(None, "key_id"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("created", Moment, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("prefix", String(32), nullable=False),
    Column("name", String(256)),
    _json("scopes", nullable=False),
    Column("created", Moment, nullable=False),
    Column("last_used", Moment),
    Column("revoked", Moment),
    Index(None, "digest", unique=True),
    Index(None, "project_id"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("project_id", String(64), nullable=False),
    Column("id", String(64), nullable=False),
    Column("type", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    PrimaryKeyConstraint("project_id", "id"),
)
