"""The bytes of what callers put into interactions: one folder per interaction, gone with it.

In place of the bytes a content part has a reference as its `uri`, so that they are in no log and no
frame. A reference to an uploaded file leads to the file itself, which may be gone by then.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from runtime.controller.blobs import Blobs, storing
from runtime.ids import is_id

SCHEME = "sandlot-media:"
_FILES = "files"
_NAME = re.compile(r"[0-9a-f]{64}")
TEXT_SUFFIX = ".txt"
"""Of the text of a document, kept beside it."""


class MediaFolder:
    """References and where they lead."""

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs

    async def put(self, interaction_id: str, data: bytes) -> str:
        """Keep bytes for an interaction; the reference to them. Raises `StorageFull`."""
        return await anyio.to_thread.run_sync(self._put, interaction_id, data)

    async def put_stream(self, interaction_id: str, chunks: AsyncIterable[bytes]) -> str:
        """Keep bytes as they come. Raises `StorageFull`."""
        digest = hashlib.sha256()
        with self._new(interaction_id) as file:
            async for chunk in chunks:
                digest.update(chunk)
                await anyio.to_thread.run_sync(file.write, chunk)
            return await anyio.to_thread.run_sync(
                self._keep, interaction_id, file, digest.hexdigest()
            )

    @staticmethod
    def of_file(blob: str) -> str:
        """The reference to an uploaded file."""
        return f"{SCHEME}{_FILES}/{blob}"

    def path(self, reference: str) -> Path | None:
        """Where a reference leads; there may be nothing any more. None for no reference."""
        owner, _, name = reference.removeprefix(SCHEME).partition("/")
        if not reference.startswith(SCHEME):
            return None
        if owner == _FILES and is_id(name):
            return self._blobs.path(name)
        return self._folder / owner / name if is_id(owner) and _NAME.fullmatch(name) else None

    async def discard(self, interaction_id: str) -> None:
        """Delete what is kept for an interaction; nothing where nothing is."""
        folder = self._folder / interaction_id
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def owners(self) -> list[str]:
        """The interactions for which something is kept."""
        return await anyio.to_thread.run_sync(self._owners)

    def _owners(self) -> list[str]:
        return [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []

    def _put(self, interaction_id: str, data: bytes) -> str:
        with self._new(interaction_id) as file:
            file.write(data)
            return self._keep(interaction_id, file, hashlib.sha256(data).hexdigest())

    @contextmanager
    def _new(self, interaction_id: str) -> Generator[IO[bytes]]:
        folder = self._folder / interaction_id
        with storing():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                try:
                    yield file
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise

    def _keep(self, interaction_id: str, file: IO[bytes], name: str) -> str:
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).rename(self._folder / interaction_id / name)
        return f"{SCHEME}{interaction_id}/{name}"


def text_path(path: Path) -> Path:
    """Where the text of the document at `path` is kept."""
    return path.with_name(path.name + TEXT_SUFFIX)
