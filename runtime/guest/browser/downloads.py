"""Files that pages send: bounded on their way, then handed to the workspace in chunks."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from playwright.async_api import Download
from playwright.async_api import Error as PlaywrightError

from runtime.errors import ToolFault
from runtime.guest.browser.address import WORKSPACE, absolute, is_workspace
from runtime.guest.browser.config import BrowserLimits, SaveFile
from runtime.guest.browser.faults import cut, gist
from runtime.guest.browser.pages import Notices
from runtime.guest.browser.workspace import WorkspacePages

_CHUNK_BYTES = 256 * 1024
_LOOK_SECONDS = 0.2
_NAME_CHARS = 120
_UNWANTED = re.compile(r"[\x00-\x1f\x7f/\\]+")


class Downloads:
    """The downloads of one context. Those that begin while no tool acts are refused."""

    def __init__(
        self,
        folder: Path,
        workspace: WorkspacePages,
        save: SaveFile,
        notices: Notices,
        limits: BrowserLimits,
    ) -> None:
        self._folder = folder
        self._workspace = workspace
        self._save = save
        self._notices = notices
        self._limits = limits
        self._begun: list[Download] = []
        self._changed = anyio.Event()

    def began(self, download: Download) -> Coroutine[Any, Any, None] | None:
        """Handle the event of that name."""
        if not self._notices.is_acting:
            return self._refuse(download)
        self._begun.append(download)
        self._changed.set()
        self._changed = anyio.Event()
        return None

    @property
    def has_begun(self) -> bool:
        """Whether a download waits to be kept."""
        return bool(self._begun)

    async def beginning(self) -> None:
        """Wait until a download begins."""
        while not self._begun:
            await self._changed.wait()

    async def keep(self, path: str | None) -> str:
        """Store the first download that began at `path`, cancel others; says what was stored.

        Raises `ToolFault` when it fails, takes too long or is too large.
        """
        first, self._begun, others = self._begun[0], [], self._begun[1:]
        for other in others:
            await self._refuse(other)
        target = destination(path, first.suggested_filename)
        try:
            with anyio.fail_after(self._limits.download_seconds):
                return await self._store(first, target)
        except TimeoutError as error:
            seconds = self._limits.download_seconds
            raise ToolFault(f"The download took longer than {seconds:g} seconds.") from error
        finally:
            with anyio.move_on_after(1, shield=True), contextlib.suppress(PlaywrightError):
                await first.cancel()
                await first.delete()

    async def drop(self) -> None:
        """Cancel what began and was not kept."""
        begun, self._begun = self._begun, []
        with anyio.move_on_after(1, shield=True):
            for download in begun:
                await self._cancel(download)

    async def _store(self, download: Download, target: str) -> str:
        if is_workspace(download.url):
            found = await self._workspace.read(download.url)
            if found is None:
                raise ToolFault("The link leads to a file that is not in the workspace.")
            used = await self._save(target, _one(found[0]))
            return f"Stored {used} ({len(found[0])} bytes)."
        file = await self._arrived(download)
        size = (await anyio.Path(file).stat()).st_size
        used = await self._save(target, _chunks(file))
        return f"Stored {used} ({size} bytes)."

    async def _arrived(self, download: Download) -> Path:
        """The whole file, on our side."""
        failure: str | None = None
        is_over = False
        while not is_over:
            with anyio.move_on_after(_LOOK_SECONDS):
                failure = await download.failure()
                is_over = True
            if await anyio.to_thread.run_sync(self._size) > self._limits.download_bytes:
                limit = self._limits.download_bytes
                raise ToolFault(f"The download is larger than the limit of {limit} bytes.")
        if failure is not None:
            raise ToolFault(f"The download failed: {gist(failure)}")
        return Path(await download.path())

    def _size(self) -> int:
        """Bytes of the one file that is on its way."""
        total = 0
        for file in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                total += file.stat().st_size
        return total

    async def _refuse(self, download: Download) -> None:
        name = cut(download.suggested_filename, _NAME_CHARS)
        self._notices.add(
            f"A download of {name!r} began and was cancelled; use browser_download on the element "
            "that starts it."
        )
        await self._cancel(download)

    async def _cancel(self, download: Download) -> None:
        with contextlib.suppress(PlaywrightError):  # it may be over, or its page closed
            await download.cancel()
            await download.delete()


def destination(path: str | None, suggested: str) -> str:
    """Where to store a download that its server calls `suggested`; `path` may be a folder."""
    name = _UNWANTED.sub("_", posixpath.basename(suggested)).strip(". ")[:_NAME_CHARS]
    name = name or "download"
    if not path:
        return f"{WORKSPACE}/downloads/{name}"
    return absolute(path) + (name if path.endswith("/") else "")


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(file, "rb") as source:
        while chunk := await source.read(_CHUNK_BYTES):
            yield chunk
