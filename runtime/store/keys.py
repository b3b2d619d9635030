"""The table of API keys. Of a key only its hash is kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from runtime.schema.callers import Scope
from runtime.store.database import Database
from runtime.store.projects import insert_project
from runtime.store.tables import keys as table


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key; a revoked one stays as a row."""

    id: str
    project_id: str
    digest: str
    """SHA-256, hexadecimal."""
    prefix: str
    """The beginning of the key, by which a person knows it."""
    name: str | None
    scopes: list[Scope]
    created: datetime
    last_used: datetime | None = None
    """Coarse: written now and then."""
    revoked: datetime | None = None


_COLUMNS = [table.c[field.name] for field in fields(KeyRecord)]


class Keys:
    """Reads and writes keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_all_projects(self) -> list[KeyRecord]:
        """Every key, oldest first, revoked ones too."""
        statement = select(*_COLUMNS).order_by(table.c.id)
        rows = await self._database.read(lambda found: found.execute(statement).all())
        return [KeyRecord(*row) for row in rows]

    async def of(self, project_id: str) -> list[KeyRecord]:
        """The keys of a project, oldest first, revoked ones too."""
        statement = select(*_COLUMNS).where(table.c.project_id == project_id).order_by(table.c.id)
        rows = await self._database.read(lambda found: found.execute(statement).all())
        return [KeyRecord(*row) for row in rows]

    async def add(self, record: KeyRecord) -> None:
        """Store a new key, and its project where it is the first one."""

        def work(connection: Connection) -> None:
            insert_project(connection, record.project_id, record.created)
            values = {column.name: getattr(record, column.name) for column in _COLUMNS}
            connection.execute(insert(table).values(values))

        await self._database.write(work)

    async def revoke(self, project_id: str, key_id: str, moment: datetime) -> bool:
        """End a key of a project; False where it is not there, or has ended before."""
        statement = (
            update(table)
            .where(
                table.c.id == key_id, table.c.project_id == project_id, table.c.revoked.is_(None)
            )
            .values(revoked=moment)
        )
        count = await self._database.write(lambda found: found.execute(statement).rowcount)
        return count == 1

    async def note_use(self, key_ids: Collection[str], moment: datetime) -> None:
        """These keys were used lately."""
        statement = update(table).where(table.c.id.in_(key_ids)).values(last_used=moment)
        await self._database.write(lambda found: found.execute(statement).close())
