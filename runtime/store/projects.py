"""The table of projects: to each belongs all that its keys make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from runtime.errors import Unauthenticated
from runtime.schema.callers import DEFAULT_PROJECT
from runtime.store.database import Database
from runtime.store.tables import credentials, environments, files, interactions, keys, sessions
from runtime.store.tables import projects as table


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project, and how much it has."""

    id: str
    created: datetime
    keys: int
    """Valid ones."""
    interactions: int
    environments: int
    """Active ones."""
    files: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost with it."""
        return not (self.interactions or self.environments or self.files)


class NotEmpty(Exception):
    """The project has something; nothing was deleted."""

    def __init__(self, found: ProjectRecord) -> None:
        super().__init__(found.id)
        self.found = found


def insert_project(connection: Connection, project_id: str, moment: datetime) -> None:
    """Make the project where it is not there, as part of a larger transaction."""
    if not _is_there(connection, project_id):
        connection.execute(insert(table).values(id=project_id, created=moment))


def check_project(connection: Connection, project_id: str) -> None:
    """Let nothing be stored for a project that was deleted since the call was let in.

    A later project of its name would have it. Raises `Unauthenticated`: the key has gone, too.
    """
    if project_id != DEFAULT_PROJECT and not _is_there(connection, project_id):
        raise Unauthenticated(
            f"This API key is not valid any more: its project '{project_id}' was deleted."
        )


def _is_there(connection: Connection, project_id: str) -> bool:
    statement = select(table.c.id).where(table.c.id == project_id)
    return connection.execute(statement).first() is not None


class Projects:
    """Reads and deletes projects; the first key of a project makes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[ProjectRecord]:
        """Every project, by name."""
        statement = _PROJECTS.order_by(table.c.id)
        rows = await self._database.read(lambda found: found.execute(statement).all())
        return [ProjectRecord(*row) for row in rows]

    async def delete(self, project_id: str) -> bool:
        """Delete a project with its keys and credentials; False where there is none.

        Raises `NotEmpty`.
        """

        def work(connection: Connection) -> bool:
            statement = _PROJECTS.where(table.c.id == project_id)
            row = connection.execute(statement).one_or_none()
            if row is None:
                return False
            found = ProjectRecord(*row)
            if not found.is_empty:
                raise NotEmpty(found)
            for owned in (sessions, environments, credentials, keys):
                connection.execute(delete(owned).where(owned.c.project_id == project_id))
            connection.execute(delete(table).where(table.c.id == project_id))
            return True

        return await self._database.write(work)


def _projects() -> Select[Any, Any, Any, Any, Any, Any]:
    def count(owned: Any, *conditions: Any) -> Any:
        statement = select(func.count()).select_from(owned)
        return statement.where(owned.c.project_id == table.c.id, *conditions).scalar_subquery()

    return select(
        table.c.id,
        table.c.created,
        count(keys, keys.c.revoked.is_(None)),
        count(interactions),
        count(environments, environments.c.status == "active"),
        count(files),
    )


_PROJECTS = _projects()
