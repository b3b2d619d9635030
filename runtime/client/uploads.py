"""Files for interactions, `client.files`; those in environments are `client.environments.files`."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from runtime.client.environments import Source, body_of
from runtime.client.records import UploadedFile
from runtime.client.transport import Transport
from runtime.errors import InvalidRequest

UploadedFileList = list[UploadedFile]


class AsyncUploads:
    """Pictures, sounds, films and documents that content can name by their `uri`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def upload(
        self,
        source: Source,
        mime_type: str | None = None,
        display_name: str | None = None,
        name: str | None = None,
    ) -> UploadedFile:
        """Upload a file; of a path the MIME type is guessed and the name taken over.

        `name` is an id of one's own. Raises `InvalidRequest`, `PayloadTooLarge`, `StorageFull`,
        and `Conflict` when a file has that id.
        """
        if isinstance(source, Path):
            mime_type = mime_type or mimetypes.guess_type(source.name)[0]
            display_name = display_name or source.name
        if mime_type is None:
            raise InvalidRequest("mime_type: is needed, it cannot be guessed.")
        file = {"mimeType": mime_type, "displayName": display_name, "name": name}
        start = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
        async with self._transport.open(
            "POST", "/upload/v1/files", body={"file": file}, headers=start
        ) as response:
            path = urlsplit(response.headers["x-goog-upload-url"]).path
        rest = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
        async with self._transport.open(
            "POST", path, content=body_of(source), headers=rest, read_seconds=None
        ) as response:
            await response.aread()
            return UploadedFile.model_validate(response.json()["file"])

    async def get(self, name: str) -> UploadedFile:
        """One file, by `files/ID` or `ID`. Raises `NotFound`, also when it has expired."""
        return UploadedFile.model_validate(await self._transport.call("GET", _path(name)))

    async def list(self) -> UploadedFileList:
        """All files, newest first."""
        found: UploadedFileList = []
        query: dict[str, Any] = {"page_size": 1000}
        while True:
            page = await self._transport.call("GET", "/v1/files", query=query)
            found += [UploadedFile.model_validate(row) for row in page["files"]]
            if "nextPageToken" not in page:
                return found
            query["page_token"] = page["nextPageToken"]

    async def read(self, name: str) -> bytes:
        """A small file's bytes."""
        async with self._transport.open("GET", _path(name), query={"alt": "media"}) as response:
            return await response.aread()

    async def delete(self, name: str) -> None:
        """Delete a file. Raises `NotFound`."""
        await self._transport.call("DELETE", _path(name))


def _path(name: str) -> str:
    return f"/v1/files/{quote(name.removeprefix('files/'), safe='')}"
