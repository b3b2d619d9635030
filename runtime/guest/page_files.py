"""Files of the workspace for the browser, which runs under another user id and may not open them.

`PageFiles` serves them in the hands; `WorkspaceLine` is what the browser's process uses to ask.
Bytes travel as base64 in pieces, through the supervisor.
"""

from __future__ import annotations

import base64
import mimetypes
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from runtime.errors import ToolFault
from runtime.guest.service import Operation, Service

MAX_PAGE_FILE_BYTES = 32 * 1024**2
MAX_NAMES = 1000


class PageFiles:
    """Reads and writes below `workspace`, which callers name `/workspace`."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace

    def operations(self) -> dict[str, Operation]:
        """What the supervisor may be asked for on behalf of the browser."""
        return {
            "read_page_file": self._read,
            "write_page_file": self._write,
            "append_page_file": self._append,
        }

    async def _read(self, arguments: dict[str, Any]) -> Any:
        """`{path}` to `{data, mime_type}`, or None when there is no such file."""
        path = self._place(arguments["path"])
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return None
            if found.st_size > MAX_PAGE_FILE_BYTES:
                raise ToolFault(f"{arguments['path']} is too large for a page.")
            data = base64.b64encode(file.read(MAX_PAGE_FILE_BYTES)).decode("ascii")
        mime_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return {"data": data, "mime_type": mime_type}

    async def _write(self, arguments: dict[str, Any]) -> Any:
        """`{path, data, unique}` to the path used; with `unique` an existing file is kept."""
        path = self._place(arguments["path"])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if arguments.get("unique"):
                path = _free(path)
            path.write_bytes(base64.b64decode(arguments["data"]))
        except OSError as error:
            raise ToolFault(f"{arguments['path']} cannot be written: {error.strerror}.") from error
        return f"/workspace/{path.relative_to(self._workspace)}"

    async def _append(self, arguments: dict[str, Any]) -> Any:
        """`{path, data}`: add to a file that `write_page_file` began."""
        try:
            with self._place(arguments["path"]).open("ab") as file:
                file.write(base64.b64decode(arguments["data"]))
        except OSError as error:
            raise ToolFault(f"{arguments['path']} cannot be written: {error.strerror}.") from error
        return None

    def _place(self, path: str) -> Path:
        relative = os.path.normpath(path).removeprefix("/workspace").lstrip("/")
        place = Path(os.path.normpath(self._workspace / relative))
        if not place.is_relative_to(self._workspace) or not relative:
            raise ToolFault(f"{path} is not a file below /workspace.")
        return place


class WorkspaceLine:
    """The browser's side: the three callables that its configuration takes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def read(self, path: str) -> tuple[bytes, str] | None:
        """The bytes and MIME type of a file, or None."""
        found = await self._service.ask("read_page_file", {"path": path})
        return None if found is None else (base64.b64decode(found["data"]), found["mime_type"])

    async def write(self, path: str, data: bytes) -> None:
        """Write a file whole."""
        await self._service.ask("write_page_file", {"path": path, "data": _encode(data)})

    async def save(self, path: str, chunks: AsyncIterator[bytes]) -> str:
        """Write a file in pieces, under a free name; returns the path used."""
        arguments = {"path": path, "data": "", "unique": True}
        used: str = await self._service.ask("write_page_file", arguments)
        async for chunk in chunks:
            await self._service.ask("append_page_file", {"path": used, "data": _encode(chunk)})
        return used


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _free(path: Path) -> Path:
    for number in range(1, MAX_NAMES):
        if not path.exists():
            return path
        path = path.with_name(f"{path.stem.removesuffix(f'-{number - 1}')}-{number}{path.suffix}")
    raise ToolFault(f"There are too many files named like {path.name}.")
