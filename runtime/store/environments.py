"""The table of environments."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, insert, select, update

from runtime.store.database import Database
from runtime.store.projects import check_project
from runtime.store.tables import environments as table

EnvironmentStatus = Literal["active", "expired", "deleted"]


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """An environment; a deleted or expired one stays as a row without files."""

    id: str
    project_id: str
    status: EnvironmentStatus
    created: datetime
    updated: datetime
    last_used: datetime
    network: Any = None
    """The rules in their wire form without headers; None is the operator's default."""
    sources: list[dict[str, Any]] | None = None
    """The caller's sources in their wire form, without inline content."""
    variables: dict[str, str] | None = None
    """Those with a credential hold a placeholder here."""
    network_secrets: str | None = field(default=None, repr=False)
    """The headers of the rules, sealed."""
    credential_variables: dict[str, dict[str, str]] | None = None
    """`{variable: {credential, placeholder}}`"""
    limits: dict[str, float] | None = None
    """Figures of its sandboxes that are lower than the operator's."""
    pending: bool | None = None
    """Whether it lacks what it begins with: it is being set up, or came to an end before it was."""


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """New rules of an environment, which replace the old ones whole."""

    network: Any
    secrets: str | None = field(default=None, repr=False)


_COLUMNS = [table.c[one.name] for one in fields(EnvironmentRecord)]


def _record(row: Row[Any]) -> EnvironmentRecord:
    return EnvironmentRecord(*row)


def insert_environment(connection: Connection, record: EnvironmentRecord) -> None:
    """Insert `record` as part of a larger transaction."""
    values = {column.name: getattr(record, column.name) for column in _COLUMNS}
    connection.execute(insert(table).values(values))


class Environments:
    """Reads and writes environments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, record: EnvironmentRecord) -> None:
        """Insert a new environment. Raises `Unauthenticated` when its project was deleted."""

        def work(connection: Connection) -> None:
            check_project(connection, record.project_id)
            insert_environment(connection, record)

        await self._database.write(work)

    async def get(self, project_id: str, environment_id: str) -> EnvironmentRecord | None:
        """One environment of a project, whatever its status."""
        return await self._one(_by_id(environment_id).where(table.c.project_id == project_id))

    async def get_in_any_project(self, environment_id: str) -> EnvironmentRecord | None:
        """The same for the controller's own work, which is asked for by nobody."""
        return await self._one(_by_id(environment_id))

    async def _one(self, statement: Select[Any]) -> EnvironmentRecord | None:
        row = await self._database.read(
            lambda connection: connection.execute(statement).one_or_none()
        )
        return None if row is None else _record(row)

    async def page(
        self,
        project_id: str,
        *,
        limit: int,
        before: str | None = None,
        status: EnvironmentStatus | None = "active",
    ) -> list[EnvironmentRecord]:
        """Environments of a project by id downwards, those below the id `before`."""
        statement = select(*_COLUMNS).where(table.c.project_id == project_id)
        statement = statement.order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(table.c.id < before)
        if status is not None:
            statement = statement.where(table.c.status == status)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [_record(row) for row in rows]

    async def active_ids(self, project_id: str) -> list[str]:
        """The ids of all active environments of a project."""
        statement = select(table.c.id).where(
            table.c.project_id == project_id, table.c.status == "active"
        )
        return await self._database.read(
            lambda connection: list(connection.execute(statement).scalars())
        )

    async def touch(self, environment_id: str, moment: datetime) -> None:
        """Note that the environment was used at `moment`."""
        statement = update(table).where(table.c.id == environment_id).values(last_used=moment)
        await self._database.write(lambda connection: connection.execute(statement).close())

    async def set_up(self, environment_id: str) -> None:
        """Note that the environment has what it begins with."""
        statement = update(table).where(table.c.id == environment_id).values(pending=False)
        await self._database.write(lambda connection: connection.execute(statement).close())

    async def pending_in_any_project(self) -> list[EnvironmentRecord]:
        """Active environments that are being set up, or were when a controller died."""
        statement = select(*_COLUMNS).where(table.c.status == "active", table.c.pending.is_(True))
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [_record(row) for row in rows]

    async def retire(
        self,
        project_id: str,
        environment_id: str,
        status: Literal["expired", "deleted"],
        moment: datetime,
        *,
        unused_since: datetime | None = None,
    ) -> bool:
        """End an active environment, in the record; False when it was not active any more.

        With `unused_since` only if it was not used after that moment, so that expiry cannot take
        an environment that a caller just came back to.
        """
        statement = (
            update(table)
            .where(
                table.c.id == environment_id,
                table.c.project_id == project_id,
                table.c.status == "active",
            )
            .values(status=status, updated=moment)
        )
        if unused_since is not None:
            statement = statement.where(table.c.last_used <= unused_since)
        found = await self._database.write(
            lambda connection: connection.execute(statement).rowcount
        )
        return found == 1

    async def unused_in_any_project(
        self, moment: datetime, *, limit: int = 100
    ) -> list[EnvironmentRecord]:
        """Active environments whose last use is not after `moment`, longest unused first."""
        statement = (
            select(*_COLUMNS)
            .where(table.c.status == "active", table.c.last_used <= moment)
            .order_by(table.c.last_used)
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [_record(row) for row in rows]


def _by_id(environment_id: str) -> Select[Any]:
    return select(*_COLUMNS).where(table.c.id == environment_id)
