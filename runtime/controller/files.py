"""Uploaded files: look at them, find them by URI, delete them, let them expire."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio

from runtime import clock
from runtime.boundaries import contained
from runtime.controller.blobs import Blobs
from runtime.errors import InvalidRequest, NotFound
from runtime.schema.settings import FilesSettings
from runtime.specs.units import format_duration
from runtime.store import FileRecord, Files

SWEEP_SECONDS = 30.0
PREFIX = "files/"
_ADDRESS = re.compile(r"/(?:v1|v1beta|v1alpha|v1beta1)/files/([a-z0-9-]{1,64})")

Json = dict[str, Any]


class FileService:
    """Files of a controller; `runtime.controller.file_uploads` makes them."""

    def __init__(self, records: Files, blobs: Blobs, settings: FilesSettings) -> None:
        self._records = records
        self._blobs = blobs
        self._kept = format_duration(settings.retention_seconds)

    async def get(self, project_id: str, name: str) -> FileRecord:
        """The project's file `files/ID` or `ID`. Raises `NotFound`, also when it has expired."""
        file_id = name.removeprefix(PREFIX)
        record = await self._records.get(project_id, file_id)
        if record is None:
            raise NotFound(
                f"There is no file '{PREFIX}{file_id[:64]}'; it may have expired, since files are "
                f"deleted {self._kept} after their upload."
            )
        if record.expires <= clock.now():
            raise NotFound(
                f"The file '{PREFIX}{record.id}' expired at {clock.rfc3339(record.expires)}. "
                "Upload it again."
            )
        return record

    async def named_by(self, project_id: str, uri: str) -> FileRecord | None:
        """The project's file that a URI means; None for another URI. Raises `NotFound`."""
        if uri.startswith(PREFIX):
            return await self.get(project_id, uri)
        try:
            url = urlsplit(uri)
        except ValueError:
            return None
        found = _ADDRESS.fullmatch(url.path)
        if found is None or url.query:
            return None
        record = await self._records.get(project_id, found[1])
        if record is None or record.origin != f"{url.scheme}://{url.netloc}":
            return None
        return await self.get(project_id, record.id)

    def path(self, record: FileRecord) -> Path:
        """Where the bytes of a file are; they may be gone at any time."""
        return self._blobs.path(record.blob)

    async def page(self, project_id: str, size: int, token: str | None) -> Json:
        """A page of files as the wire shows them, newest first. Raises `InvalidRequest`."""
        after = None if token is None else _read_token(token)
        records = await self._records.page(project_id, clock.now(), size + 1, after)
        listed: Json = {"files": [file_view(record) for record in records[:size]]}
        if len(records) > size:
            listed["nextPageToken"] = _token(records[size - 1])
        return listed

    async def delete(self, project_id: str, name: str) -> None:
        """Delete a file. Raises `NotFound`."""
        record = await self.get(project_id, name)
        if await self._records.delete(record.blob):
            await self._blobs.remove(record.blob)

    async def expire(self, is_busy: Callable[[str], bool]) -> None:
        """Delete what has expired, and given-up uploads, for ever; `is_busy` tells those under way.

        Starts with bytes that no row knows, which a controller left that was killed.
        """
        with contained("unknown files not deleted"):
            await self._blobs.sweep(await self._records.blobs_of_all_projects())
        while True:
            with contained("expired files not deleted"):
                await self._expire(is_busy)
            await anyio.sleep(SWEEP_SECONDS)

    async def _expire(self, is_busy: Callable[[str], bool]) -> None:
        for blob in await self._records.expired_in_any_project(clock.now()):
            if not is_busy(blob) and await self._records.delete(blob):
                await self._blobs.remove(blob)


def file_uri(record: FileRecord) -> str:
    """The URI that stands for a file in an interaction."""
    return f"{record.origin}/v1beta/{PREFIX}{record.id}"


def file_view(record: FileRecord) -> Json:
    """A file as the wire shows it, in the spelling that SDKs read."""
    uri = file_uri(record)
    view: Json = {
        "name": f"{PREFIX}{record.id}",
        "displayName": record.display_name,
        "mimeType": record.mime_type,
        "sizeBytes": str(record.size_bytes),
        "createTime": _exact(record.created),
        "updateTime": _exact(record.updated),
        "expirationTime": _exact(record.expires),
        "sha256Hash": base64.b64encode(bytes.fromhex(record.sha256 or "")).decode("ascii"),
        "uri": uri,
        "downloadUri": f"{uri}:download?alt=media",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }
    return {name: value for name, value in view.items() if value is not None}


def _exact(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _token(record: FileRecord) -> str:
    text = f"{record.created.isoformat()} {record.id}"
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def _read_token(token: str) -> tuple[datetime, str]:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
        created, _, file_id = text.partition(" ")
        moment = datetime.fromisoformat(created)
        is_whole = moment.tzinfo is not None and bool(file_id)
        # Far ends of the calendar have no time in UTC.
        moment = moment.astimezone(UTC) if is_whole else moment
    except (binascii.Error, ValueError, OverflowError) as error:
        raise InvalidRequest("page_token: is not one that this list gave.") from error
    if not is_whole:
        raise InvalidRequest("page_token: is not one that this list gave.")
    return moment, file_id
