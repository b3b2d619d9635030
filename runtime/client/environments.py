"""Environments and their files; file bytes are streamed, never held whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import anyio.to_thread
import httpx2

from runtime.client.interactions import pages
from runtime.client.records import Environment, EnvironmentFile, NetworkEvent
from runtime.client.transport import Transport

EnvironmentList = list[Environment]
FileList = list[EnvironmentFile]
EventList = list[NetworkEvent]
Source = Path | bytes | BinaryIO | Iterable[bytes]
"""Where an upload comes from."""

CHUNK_BYTES = 1024 * 1024
_FILES_PER_PAGE = 1000


class AsyncEnvironments:
    """Workspaces that outlive interactions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.files = AsyncFiles(transport)

    async def get(self, id: str) -> Environment:
        """One environment."""
        return Environment.model_validate(await self._transport.call("GET", _path(id)))

    async def delete(self, id: str) -> None:
        """Delete it with all its files."""
        await self._transport.call("DELETE", _path(id))

    async def list(self) -> EnvironmentList:
        """All environments."""
        rows = pages(self._transport, "/v1/environments", "environments")
        return [Environment.model_validate(row) async for row in rows]

    async def network_events(self, id: str, limit: int | None = None) -> EventList:
        """What became of what it asked the network for, newest first, at most `limit`."""
        rows = pages(self._transport, f"{_path(id)}/network_events", "network_events", limit=limit)
        return [NetworkEvent.model_validate(row) async for row in rows]


class AsyncFiles:
    """The files of an environment. Paths start at its root; a leading slash makes no difference."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def download(self, environment: str, path: str, to: Path) -> int:
        """Write a file's bytes to the file `to`; returns how many."""
        written = 0
        async with await anyio.open_file(to, "wb") as target:
            async for chunk in self.chunks(environment, path):
                await target.write(chunk)
                written += len(chunk)
        return written

    async def read(self, environment: str, path: str) -> bytes:
        """A small file's bytes."""
        return b"".join([chunk async for chunk in self.chunks(environment, path)])

    async def chunks(
        self, environment: str, path: str, recursive: bool = False
    ) -> AsyncIterator[bytes]:
        """The bytes of a file, or of an uncompressed tar of a folder, in pieces of about 1 MiB."""
        query = {"alt": "media", "recursive": recursive or None}
        async with self._transport.open("GET", _file(environment, path), query=query) as response:
            try:
                async for chunk in _joined(response.aiter_raw()):
                    yield chunk
            except httpx2.TransportError as problem:
                raise self._transport.unreachable(problem) from problem

    async def upload(
        self,
        environment: str,
        path: str,
        source: Source,
        overwrite: bool = False,
        extract: bool = False,
    ) -> FileList:
        """Write `source` to `path`; with `extract` it is a tar that is unpacked into `path`.

        Raises `Conflict` when a file is in the way and `overwrite` is not set.
        """
        async with self._transport.open(
            "PUT",
            "/upload" + _file(environment, path),
            query={"overwrite": overwrite or None, "extract": extract or None},
            content=body_of(source),
            headers={"content-type": "application/octet-stream"},
            read_seconds=None,
        ) as response:
            await response.aread()
            return _files(response.json())

    async def list(self, environment: str, path: str = "", recursive: bool = False) -> FileList:
        """A file, or what is in a folder; with `recursive` at any depth."""
        rows = pages(
            self._transport,
            _file(environment, path),
            "files",
            page_size=_FILES_PER_PAGE,
            recursive=recursive or None,
        )
        return [EnvironmentFile.model_validate(row) async for row in rows]


def _path(identifier: str) -> str:
    return f"/v1/environments/{quote(identifier.removeprefix('environments/'), safe='')}"


def _file(environment: str, path: str) -> str:
    return f"{_path(environment)}/files/{quote(path.lstrip('/'), safe='/')}"


def _files(answer: Any) -> FileList:
    match answer:
        case {"files": list(rows)}:
            return [EnvironmentFile.model_validate(row) for row in rows]
        case {"file": dict(row)}:
            return [EnvironmentFile.model_validate(row)]
        case _:
            return [EnvironmentFile.model_validate(answer)]


async def _joined(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Small pieces put together to `CHUNK_BYTES` and a bit, to be handed on less often."""
    waiting: list[bytes] = []
    size = 0
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


async def body_of(source: Source) -> AsyncIterator[bytes]:
    """The bytes of an upload, in pieces."""
    pieces = _pieces(source)
    while chunk := await anyio.to_thread.run_sync(next, pieces, b""):
        yield chunk


def _pieces(source: Source) -> Iterator[bytes]:
    """Pieces that are never empty, so that an empty one can stand for the end."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from _read(file)
    elif isinstance(source, bytes):
        yield from filter(None, [source])
    elif isinstance(source, Iterable) and not hasattr(source, "read"):
        yield from filter(None, source)
    else:
        yield from _read(source)


def _read(file: Any) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
