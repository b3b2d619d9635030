"""Uploads of files in any number of requests; what has arrived outlives a broken connection.

The bytes go to the disk as they come. An upload is known by its secret alone, also to a controller
that was started anew in between. One that nobody continues for `ABANDONED` is deleted.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakValueDictionary

import anyio

from runtime import clock
from runtime.controller.blobs import Blobs
from runtime.controller.quotas import Quotas
from runtime.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ResourceExhausted,
    StorageFull,
)
from runtime.ids import new_id, new_secret
from runtime.schema.callers import Caller
from runtime.schema.settings import FilesSettings
from runtime.store import FileRecord, Files, NameTaken

ABANDONED = timedelta(hours=1)
MAX_OPEN = 256
LOOK_BYTES = 8 * 1024 * 1024
"""So often is looked whether there is room for more of a file whose size nobody told."""
MAX_NAME_CHARACTERS = 512
DEFAULT_TYPE = "application/octet-stream"
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_MIME = re.compile(r"[\w.+-]{1,127}/[\w.+-]{1,127}( *;[ -~]{0,100})?", re.ASCII)
_RESERVED = "environment-"
"""Such files are environments, by a route of their own."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What is known of a file before its bytes come."""

    name: str | None = None
    """`files/ID` or `ID`, chosen by the caller."""
    display_name: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Unannounced:
    """Bytes of unfinished uploads whose size nobody told."""

    of_project: int
    of_all_projects: int


class FileUploads:
    """Takes files."""

    def __init__(
        self, records: Files, blobs: Blobs, settings: FilesSettings, quotas: Quotas | None = None
    ) -> None:
        self._quotas = quotas or Quotas()
        self._records = records
        self._blobs = blobs
        self._settings = settings
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._feeding: dict[str, anyio.CancelScope] = {}
        self._starting = anyio.Lock()

    def is_busy(self, blob: str) -> bool:
        """Whether bytes of this upload are arriving."""
        return blob in self._feeding

    async def start(self, caller: Caller, announced: Announced, origin: str) -> str:
        """Begin an upload; its secret. An unfinished one of the same name is given up.

        Raises `InvalidRequest`, `PayloadTooLarge`, `Conflict` for a name that a file has,
        `ResourceExhausted`, `StorageFull`.
        """
        _check(announced)
        secret, moment = new_secret("upl"), clock.now()
        record = FileRecord(
            id=(announced.name or secrets.token_hex(10)).removeprefix("files/"),
            state="uploading",
            blob=new_id("blob"),
            upload_digest=_digest(secret),
            mime_type=announced.mime_type or DEFAULT_TYPE,
            display_name=announced.display_name,
            size_bytes=announced.size_bytes,
            sha256=None,
            origin=origin,
            created=moment,
            updated=moment,
            expires=moment + ABANDONED,
            project_id=caller.project_id,
            key_id=caller.key_id,
        )
        # Two that are started at once do not both get the same room.
        async with self._starting:
            replaced = await self._begin(record)
        if replaced is not None:
            await self._blobs.remove(replaced)
        return secret

    async def _begin(self, record: FileRecord) -> str | None:
        await self._check_room(record.project_id, record.size_bytes or 0)
        try:
            return await self._records.begin(record)
        except NameTaken as error:
            raise Conflict(f"The file 'files/{record.id}' exists already.") from error

    async def received(self, secret: str) -> tuple[FileRecord, int]:
        """The file of an upload, and how many bytes of it are here. Raises `NotFound`."""
        record = await self._find(secret)
        return record, await self._blobs.size(record.blob)

    async def give_up(self, key_id: str) -> None:
        """Give all unfinished uploads up that a key began, which is no longer valid."""
        for blob in await self._records.uploads_of_key(key_id):
            if await self._records.delete(blob):
                if blob in self._feeding:
                    self._feeding[blob].cancel()
                await self._blobs.remove(blob)

    async def cancel(self, secret: str) -> None:
        """Give an upload up. Raises `NotFound`."""
        record = await self._find(secret)
        if record.state == "uploading":
            await self._give_up(record)

    async def _give_up(self, record: FileRecord) -> None:
        if await self._records.delete(record.blob):
            await self._blobs.remove(record.blob)

    async def feed(
        self, secret: str, offset: int, chunks: AsyncIterable[bytes], *, last: bool
    ) -> FileRecord:
        """Take the bytes of one request; the file, which is `active` after the `last` one.

        An earlier request of the same upload that still hangs on its connection is ended. Raises
        `NotFound`, `InvalidRequest` for a wrong offset or size, `PayloadTooLarge`, `StorageFull`,
        `Conflict` when a later request took over.
        """
        record = await self._find(secret)
        hanging = self._feeding.get(record.blob)
        if hanging is not None:
            hanging.cancel()
        async with self._locks.setdefault(record.blob, anyio.Lock()):
            record = await self._find(secret)
            if record.state == "active":
                # The answer to the last request was lost, and so it is sent again.
                return record
            with anyio.CancelScope() as scope:
                self._feeding[record.blob] = scope
                try:
                    return await self._take(record, offset, chunks, last=last)
                finally:
                    del self._feeding[record.blob]
        raise Conflict("A later request took this upload over.")

    async def _take(
        self, record: FileRecord, offset: int, chunks: AsyncIterable[bytes], *, last: bool
    ) -> FileRecord:
        limit = record.size_bytes
        if limit is None:
            limit = self._settings.file_size_bytes
            chunks = self._fitting(record, offset, chunks)
        try:
            await self._blobs.write(record.blob, offset, chunks, limit)
        except PayloadTooLarge as error:
            if record.size_bytes is not None:
                raise InvalidRequest(
                    f"More than the {record.size_bytes} bytes arrived that were announced."
                ) from error
            # It is said to be over; what has arrived must not take the room of others.
            await self._give_up(record)
            raise
        if not last:
            moment = clock.now()
            await self._records.postpone(record.blob, moment, moment + ABANDONED)
            return record
        return await self._finish(record)

    async def _fitting(
        self, record: FileRecord, offset: int, chunks: AsyncIterable[bytes]
    ) -> AsyncIterator[bytes]:
        """What arrives of a file whose size nobody told, while there is room for it."""
        looked, limit = offset, await self._limit(record)
        async for chunk in chunks:
            offset += len(chunk)
            if offset - looked > LOOK_BYTES:
                looked, limit = offset, await self._limit(record)
            _check_fits(offset, limit)
            yield chunk
        _check_fits(offset, await self._limit(record))

    async def _limit(self, record: FileRecord) -> int:
        others = await self._unannounced(record.project_id, record.blob)
        room = min(
            await self._room() - others.of_all_projects,
            await self._quotas.room(record.project_id) - others.of_project,
        )
        return int(min(self._settings.file_size_bytes, max(0, room)))

    async def _unannounced(self, project_id: str, but: str | None = None) -> _Unannounced:
        """How much has arrived of files whose size is not known, which nothing else counts."""
        found = [one for one in await self._records.unannounced() if one.blob != but]
        own = [one.blob for one in found if one.project_id == project_id]
        return _Unannounced(
            await self._blobs.total_size(own),
            await self._blobs.total_size([one.blob for one in found]),
        )

    async def _finish(self, record: FileRecord) -> FileRecord:
        size = await self._blobs.size(record.blob)
        if record.size_bytes is not None and size != record.size_bytes:
            raise InvalidRequest(
                f"The file is not whole: {record.size_bytes} bytes were announced, {size} are here."
            )
        if size == 0:
            raise InvalidRequest("The file is empty.")
        digest = await self._blobs.seal(record.blob)
        moment = clock.now()
        expires = moment + timedelta(seconds=self._settings.retention_seconds)
        if not await self._records.finish(record.blob, size, digest, moment, expires):
            raise _unknown()
        found = await self._records.get(record.project_id, record.id)
        if found is None:
            raise _unknown()
        return found

    async def _find(self, secret: str) -> FileRecord:
        record = await self._records.upload(_digest(secret))
        if record is None:
            raise _unknown()
        return record

    async def _check_room(self, project_id: str, size_bytes: int) -> None:
        if size_bytes > self._settings.file_size_bytes:
            raise PayloadTooLarge(
                f"The file has {size_bytes} bytes; at most {self._settings.file_size_bytes} are "
                "taken (files.file_size)."
            )
        if (await self._records.load(project_id)).uploading >= MAX_OPEN:
            raise ResourceExhausted(f"{MAX_OPEN} uploads are open already; try again later.")
        arrived = await self._unannounced(project_id)
        await self._quotas.check_stored(project_id, size_bytes + arrived.of_project)
        if size_bytes + arrived.of_all_projects > await self._room():
            raise StorageFull(
                f"There is no room for a file of {size_bytes} bytes: all files together may have "
                f"{self._settings.total_size_bytes} (files.total_size). Delete some."
            )

    async def _room(self) -> int:
        return max(
            0,
            self._settings.total_size_bytes
            - (await self._records.load_of_all_projects()).size_bytes,
        )


def _check(announced: Announced) -> None:
    file_id = (announced.name or "").removeprefix("files/")
    if announced.name is not None and not _ID.fullmatch(file_id):
        raise InvalidRequest(
            "file.name: an id has 1 to 40 lower-case letters, digits and dashes, and no dash at "
            "its ends."
        )
    if file_id.startswith(_RESERVED):
        raise InvalidRequest(f"file.name: must not begin with '{_RESERVED}'.")
    if len(announced.display_name or "") > MAX_NAME_CHARACTERS:
        raise InvalidRequest(f"file.displayName: has at most {MAX_NAME_CHARACTERS} characters.")
    if announced.mime_type is not None and not _MIME.fullmatch(announced.mime_type):
        raise InvalidRequest("file.mimeType: is not a MIME type such as 'image/png'.")
    if announced.size_bytes is not None and announced.size_bytes <= 0:
        raise InvalidRequest("file.sizeBytes: the file is empty.")


def _check_fits(size_bytes: int, limit: int) -> None:
    if size_bytes > limit:
        raise PayloadTooLarge(f"The file is larger than {limit} bytes.")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _unknown() -> NotFound:
    return NotFound("There is no such upload; it may have been given up. Start it again.")
