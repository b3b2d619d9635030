"""The table of files: what callers uploaded, and what they are uploading.

Ids are chosen by callers and unique in their project only; blobs and secrets are unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, and_, delete, func, insert, or_, select, update

from runtime.store.database import Database
from runtime.store.projects import check_project
from runtime.store.tables import files as table

FileState = Literal["uploading", "active"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file, or the beginning of one."""

    id: str
    """Without `files/`."""
    state: FileState
    blob: str
    """Name of the bytes in the folder of files; never used twice."""
    upload_digest: str
    """SHA-256 of the upload's secret."""
    mime_type: str
    display_name: str | None
    size_bytes: int | None
    """Of a file that is being uploaded what was announced, None where nothing was."""
    sha256: str | None
    """Hexadecimal; None while it is being uploaded."""
    origin: str
    """Scheme and host under which it was uploaded; its URI begins so."""
    created: datetime
    updated: datetime
    expires: datetime
    project_id: str
    key_id: str
    """Of the API key that began the upload."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is."""

    size_bytes: int
    """Of files, those that are being uploaded with the size that was announced."""
    uploading: int


@dataclass(frozen=True, slots=True)
class Unannounced:
    """An unfinished upload whose size nobody told."""

    project_id: str
    blob: str


class NameTaken(Exception):
    """A file of that id is there already; nothing was written."""


_COLUMNS = [table.c[field.name] for field in fields(FileRecord)]
_LOAD = select(
    func.coalesce(func.sum(table.c.size_bytes), 0),
    func.count().filter(table.c.state == "uploading"),
)


def _record(row: Row[tuple[object, ...]]) -> FileRecord:
    return FileRecord(*row)  # pyright: ignore[reportArgumentType]


class Files:
    """Reads and writes files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, project_id: str, file_id: str) -> FileRecord | None:
        """An active file of a project, expired or not."""
        statement = select(*_COLUMNS).where(
            table.c.id == file_id, table.c.project_id == project_id, table.c.state == "active"
        )
        row = await self._database.read(lambda found: found.execute(statement).one_or_none())
        return None if row is None else _record(row)

    async def upload(self, digest: str) -> FileRecord | None:
        """The file of an upload, also when it is done, of the project in which it began."""
        statement = select(*_COLUMNS).where(table.c.upload_digest == digest)
        row = await self._database.read(lambda found: found.execute(statement).one_or_none())
        return None if row is None else _record(row)

    async def page(
        self,
        project_id: str,
        moment: datetime,
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> list[FileRecord]:
        """Active files that have not expired at `moment`, newest first, beyond `after`."""
        statement = (
            select(*_COLUMNS)
            .where(
                table.c.project_id == project_id,
                table.c.state == "active",
                table.c.expires > moment,
            )
            .order_by(table.c.created.desc(), table.c.id)
            .limit(limit)
        )
        if after is not None:
            created, file_id = after
            at_once = and_(table.c.created == created, table.c.id > file_id)
            statement = statement.where(or_(table.c.created < created, at_once))
        rows = await self._database.read(lambda found: found.execute(statement).all())
        return [_record(row) for row in rows]

    async def load(self, project_id: str) -> Load:
        """How much is stored and on its way in a project."""
        return await self._load(_LOAD.where(table.c.project_id == project_id))

    async def load_of_all_projects(self) -> Load:
        """The same of all together."""
        return await self._load(_LOAD)

    async def _load(self, statement: Select[Any, int]) -> Load:
        row = await self._database.read(lambda found: found.execute(statement).one())
        return Load(*row)

    async def unannounced(self) -> list[Unannounced]:
        """Unfinished uploads of all projects whose size nobody told."""
        statement = select(table.c.project_id, table.c.blob).where(
            table.c.state == "uploading", table.c.size_bytes.is_(None)
        )
        rows = await self._database.read(lambda found: found.execute(statement).all())
        return [Unannounced(*row) for row in rows]

    async def begin(self, record: FileRecord) -> str | None:
        """Store an upload that begins; the blob of an unfinished one that had its id.

        Raises `NameTaken`, and `Unauthenticated` when the project was deleted meanwhile.
        """

        def work(connection: Connection) -> str | None:
            check_project(connection, record.project_id)
            named = and_(table.c.id == record.id, table.c.project_id == record.project_id)
            found = connection.execute(
                select(table.c.state, table.c.blob).where(named)
            ).one_or_none()
            if found is not None and found.state == "active":
                raise NameTaken(record.id)
            if found is not None:
                connection.execute(delete(table).where(named))
            values = {column.name: getattr(record, column.name) for column in _COLUMNS}
            connection.execute(insert(table).values(values))
            return None if found is None else found.blob

        return await self._database.write(work)

    async def postpone(self, blob: str, moment: datetime, expires: datetime) -> None:
        """An upload goes on: it is not given up before `expires`."""
        await self._set(blob, updated=moment, expires=expires)

    async def finish(
        self, blob: str, size_bytes: int, sha256: str, moment: datetime, expires: datetime
    ) -> bool:
        """An upload is whole; False when it is not there any more."""
        return await self._set(
            blob,
            state="active",
            size_bytes=size_bytes,
            sha256=sha256,
            updated=moment,
            expires=expires,
        )

    async def _set(self, blob: str, **values: object) -> bool:
        statement = (
            update(table).where(table.c.blob == blob, table.c.state == "uploading").values(values)
        )
        count = await self._database.write(lambda found: found.execute(statement).rowcount)
        return count == 1

    async def delete(self, blob: str) -> bool:
        """Forget a file or an upload; False when it is not there any more."""
        statement = delete(table).where(table.c.blob == blob)
        count = await self._database.write(lambda found: found.execute(statement).rowcount)
        return count == 1

    async def uploads_of_key(self, key_id: str) -> Sequence[str]:
        """Blobs of unfinished uploads that a key began."""
        statement = select(table.c.blob).where(
            table.c.key_id == key_id, table.c.state == "uploading"
        )
        return await self._database.read(lambda found: found.execute(statement).scalars().all())

    async def expired_in_any_project(self, moment: datetime, limit: int = 100) -> Sequence[str]:
        """Blobs of files and uploads that are to be deleted at `moment`."""
        statement = (
            select(table.c.blob)
            .where(table.c.expires <= moment)
            .order_by(table.c.expires)
            .limit(limit)
        )
        return await self._database.read(lambda found: found.execute(statement).scalars().all())

    async def blobs_of_all_projects(self) -> Sequence[str]:
        """The blobs of all files and uploads."""
        statement = select(table.c.blob)
        return await self._database.read(lambda found: found.execute(statement).scalars().all())
