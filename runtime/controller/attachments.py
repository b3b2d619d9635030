"""Takes the pictures, sounds, films and documents of a new interaction out of its input.

What is stored and what loops are given holds references in place of bytes. Everything that cannot
reach the model is refused here, before anything runs, with the field that holds it.
"""

from __future__ import annotations

import base64
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
import httpx2

from runtime.controller import attachment_checks as checks
from runtime.controller.files import FileService
from runtime.controller.media import MediaFolder
from runtime.controller.texts import DocumentTexts, UnreadableError
from runtime.errors import AddressRefused, InvalidRequest, NotFound
from runtime.models.port import ModelInfo
from runtime.schema.inputs import check_type, media_parts
from runtime.schema.media import SNIFFED_BYTES, canonical, reader_of, sniffed
from runtime.schema.settings import FilesSettings
from runtime.store import FileRecord
from runtime.tools.dial import Dialer

Json = dict[str, Any]
FETCH_SECONDS = 60.0
SHOWN_BYTES = 64 * 1024
"""The largest part whose bytes are among the steps of an interaction."""
SOURCE_URI = "source_uri"
"""In a stored part: the URI that the caller wrote."""
SOURCE_NAME = "source_name"
"""In a stored part: what the uploaded file is called."""
_UNTOLD = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_HEADERS = {"user-agent": "Sandlot (content)"}


class Attachments(Protocol):
    """What the resolver and the service of interactions need of attachments."""

    async def take(self, project_id: str, interaction_id: str, value: Any, model: ModelInfo) -> Any:
        """The `input` as it is stored; files that it names are the project's.

        Raises `InvalidRequest`, `NotFound`, `StorageFull`.
        """
        ...

    async def shown(self, value: Any, *, whole: bool) -> Any:
        """A stored `input` as its caller wrote it; unless `whole`, without the larger bytes."""
        ...

    async def discard(self, interaction_id: str) -> None:
        """The interaction is gone, or comes to nothing."""
        ...


@dataclass(frozen=True, slots=True)
class _Taken:
    """A part whose bytes are here."""

    reference: str
    path: Path
    mime_type: str
    size_bytes: int
    name: str | None


class AttachmentService:
    """The real `Attachments`."""

    def __init__(
        self,
        media: MediaFolder,
        files: FileService,
        dialer: Dialer,
        texts: DocumentTexts,
        limits: FilesSettings,
    ) -> None:
        self._media = media
        self._files = files
        self._dialer = dialer
        self._texts = texts
        self._limits = limits

    async def take(self, project_id: str, interaction_id: str, value: Any, model: ModelInfo) -> Any:
        """The `input` as it is stored: with references, and MIME types where none were given."""
        if not media_parts(value):
            return value
        stored = deepcopy(value)
        parts = media_parts(stored)
        checks.check_count(parts)
        said, carried = checks.said_parts(stored), 0
        for path, part in parts:
            with checks.at(path):
                taken = await self._taken(project_id, interaction_id, part)
                if path in said:
                    carried += await self._check_delivery(taken, part["type"], model)
            _replace(part, taken)
        if carried > self._limits.inline_size_bytes:
            raise InvalidRequest(
                f"input: pictures, sounds, films and PDFs have {carried} bytes together; at most "
                f"{self._limits.inline_size_bytes} reach a model in one call (files.inline_size)."
            )
        return stored

    async def shown(self, value: Any, *, whole: bool) -> Any:
        """A stored `input` as its caller wrote it; unless `whole`, without the larger bytes."""
        if not media_parts(value):
            return value
        shown = deepcopy(value)
        for _, part in media_parts(shown):
            part.pop(SOURCE_NAME, None)
            uri = part.pop(SOURCE_URI, None)
            path = self._media.path(str(part.get("uri")))
            if uri is not None:
                part["uri"] = uri
            elif path is not None:
                del part["uri"]
                part.update(await anyio.to_thread.run_sync(_bytes_of, path, whole))
        return shown

    async def discard(self, interaction_id: str) -> None:
        """Delete what is kept for an interaction."""
        await self._media.discard(interaction_id)

    async def _taken(self, project_id: str, interaction_id: str, part: Json) -> _Taken:
        for name in part.keys() & {SOURCE_URI, SOURCE_NAME}:
            raise InvalidRequest(f"Unknown parameter '{name}'.")
        data, uri, mime_type = part.get("data"), part.get("uri"), part.get("mime_type")
        if uri is not None and not uri.startswith("data:"):
            with checks.at("uri"):
                record = await self._files.named_by(project_id, uri)
            if record is not None:
                return await self._uploaded(record, part["type"], mime_type)
            return await self._served(interaction_id, part["type"], uri, mime_type)
        if uri is not None:
            del part["uri"]
            data, told = checks.of_data_url(uri)
            mime_type = mime_type or told
        assert isinstance(data, str)
        decoded = await anyio.to_thread.run_sync(checks.decoded, data)
        reference = await self._media.put(interaction_id, decoded)
        return await self._looked_at(reference, part["type"], mime_type, "data")

    async def _uploaded(self, record: FileRecord, kind: str, mime_type: str | None) -> _Taken:
        reference = self._media.of_file(record.blob)
        name = record.display_name or record.id
        return await self._looked_at(
            reference, kind, mime_type or record.mime_type, "uri", name=name
        )

    async def _served(
        self, interaction_id: str, kind: str, uri: str, mime_type: str | None
    ) -> _Taken:
        reference, served = await self._fetched(interaction_id, uri)
        if mime_type is None and canonical(served) not in _UNTOLD:
            mime_type = served
        return await self._looked_at(reference, kind, mime_type, "uri")

    async def _looked_at(
        self,
        reference: str,
        kind: str,
        mime_type: str | None,
        field: str,
        *,
        name: str | None = None,
    ) -> _Taken:
        """The part with its MIME type, which its first bytes do not belie."""
        path = self._media.path(reference)
        assert path is not None
        try:
            start, size = await anyio.to_thread.run_sync(_look, path)
        except FileNotFoundError as error:
            raise NotFound("uri: the file has just been deleted.") from error
        told = sniffed(start)
        mime_type = mime_type or told
        if mime_type is None:
            raise InvalidRequest("mime_type: is missing, and the content does not tell it.")
        found = check_type(kind, mime_type, "mime_type")
        checks.check_bytes(found, told, field)
        return _Taken(reference, path, found, size, name)

    async def _check_delivery(self, taken: _Taken, kind: str, model: ModelInfo) -> int:
        """How many bytes of it the model is given as they are."""
        if model.is_given(taken.mime_type):
            return taken.size_bytes
        if kind != "document":
            raise checks.not_taken(taken.mime_type, kind, model)
        checks.check_readable(taken.mime_type)
        try:
            await self._texts.of(taken.path, reader_of(taken.mime_type) or "text")
        except UnreadableError as error:
            raise InvalidRequest(
                f"the document cannot be turned into text, which is what the model '{model.id}' "
                f"is given of it: {error}"
            ) from error
        return 0

    async def _fetched(self, interaction_id: str, uri: str) -> tuple[str, str]:
        """A reference to what an address gives, and the content type that comes with it."""
        if not uri.lower().startswith(("http://", "https://")):
            raise InvalidRequest(
                "uri: must be that of an uploaded file ('files/ID', or its `uri`), or begin with "
                "http:// or https://."
            )
        try:
            with anyio.fail_after(FETCH_SECONDS):
                return await self._fetch(interaction_id, uri)
        except AddressRefused as error:
            raise AddressRefused(f"uri: {error.message}") from error
        except TimeoutError as error:
            raise InvalidRequest(f"uri: was not read within {FETCH_SECONDS:g} s.") from error
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            raise InvalidRequest(f"uri: cannot be fetched: {error}") from error

    async def _fetch(self, interaction_id: str, uri: str) -> tuple[str, str]:
        async with (
            self._dialer.client(
                max_bytes=self._limits.inline_size_bytes, headers=_HEADERS, follow_redirects=True
            ) as client,
            client.stream("GET", uri) as response,
        ):
            if response.status_code != 200:
                raise InvalidRequest(f"uri: the server answered {response.status_code}.")
            reference = await self._media.put_stream(interaction_id, response.aiter_bytes())
            return reference, response.headers.get("content-type", "")


def _replace(part: Json, taken: _Taken) -> None:
    uri = part.pop("uri", None)
    part.pop("data", None)
    if uri is not None:
        part[SOURCE_URI] = uri
    if taken.name is not None:
        part[SOURCE_NAME] = taken.name
    part["uri"], part["mime_type"] = taken.reference, taken.mime_type


def _look(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(SNIFFED_BYTES), path.stat().st_size


def _bytes_of(path: Path, whole: bool) -> Json:
    """What a part shows of its bytes: them, or only how many there are."""
    try:
        size = path.stat().st_size
        if whole or size <= SHOWN_BYTES:
            return {"data": base64.b64encode(path.read_bytes()).decode("ascii")}
    except FileNotFoundError:
        return {"size_bytes": "0"}
    return {"size_bytes": str(size)}
