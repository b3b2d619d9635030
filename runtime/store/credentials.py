"""The table of credentials. What they hold is sealed before it comes here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from runtime.store.database import Database
from runtime.store.projects import check_project
from runtime.store.tables import credentials as table

CredentialStatus = Literal["active", "revoked"]


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """A credential of a project."""

    project_id: str
    id: str
    type: str
    status: CredentialStatus
    sealed: str
    """All that it holds, by `Vault.seal`."""
    revision: int
    """Grows with each change; a change that is based on an older one is not made."""
    created: datetime
    updated: datetime


class CredentialExists(Exception):
    """The project has a credential with this id; nothing was written."""


class TooManyCredentials(Exception):
    """The project has as many as it may have; nothing was written."""


_COLUMNS = [table.c[field.name] for field in fields(CredentialRecord)]


class Credentials:
    """Reads and writes credentials."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, project_id: str, credential_id: str) -> CredentialRecord | None:
        """One of a project."""
        statement = select(*_COLUMNS).where(*_is(project_id, credential_id))
        row = await self._database.read(lambda found: found.execute(statement).one_or_none())
        return None if row is None else CredentialRecord(*row)

    async def page(
        self, project_id: str, limit: int, after: str | None = None
    ) -> list[CredentialRecord]:
        """Those of a project by id, from the one that follows `after` on."""
        statement = (
            select(*_COLUMNS)
            .where(table.c.project_id == project_id, table.c.id > (after or ""))
            .order_by(table.c.id)
            .limit(limit)
        )
        rows = await self._database.read(lambda found: found.execute(statement).all())
        return [CredentialRecord(*row) for row in rows]

    async def add(self, record: CredentialRecord, limit: int) -> None:
        """Store a new one.

        Raises `CredentialExists`, `TooManyCredentials` beyond `limit`, and `Unauthenticated` when
        the project was deleted meanwhile.
        """
        values = {column.name: getattr(record, column.name) for column in _COLUMNS}
        same = select(table.c.id).where(*_is(record.project_id, record.id))
        of_project = (
            select(func.count()).select_from(table).where(table.c.project_id == record.project_id)
        )

        def work(connection: Connection) -> None:
            check_project(connection, record.project_id)
            if connection.execute(same).first() is not None:
                raise CredentialExists(record.id)
            if connection.execute(of_project).scalar_one() >= limit:
                raise TooManyCredentials(record.project_id)
            connection.execute(insert(table).values(values))

        await self._database.write(work)

    async def replace(self, record: CredentialRecord) -> bool:
        """Store a change; False where it was changed or deleted since `record` was read.

        Its revision is that which was read; one more is stored.
        """
        statement = (
            update(table)
            .where(
                *_is(record.project_id, record.id),
                table.c.revision == record.revision,
                # A credential that was deleted and made anew is another one, and counts anew.
                table.c.created == record.created,
            )
            .values(
                status=record.status,
                sealed=record.sealed,
                updated=record.updated,
                revision=record.revision + 1,
            )
        )
        count = await self._database.write(lambda found: found.execute(statement).rowcount)
        return count == 1

    async def delete(self, project_id: str, credential_id: str) -> bool:
        """Delete one; False where it is not there."""
        statement = delete(table).where(*_is(project_id, credential_id))
        count = await self._database.write(lambda found: found.execute(statement).rowcount)
        return count == 1


def _is(project_id: str, credential_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.project_id == project_id, table.c.id == credential_id
