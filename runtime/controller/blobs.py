"""The bytes of uploaded files, one file each in one folder; knows no database."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from runtime.errors import InvalidRequest, PayloadTooLarge, StorageFull

WRITE_BYTES = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Blobs:
    """A folder of blobs. A blob's name is ours, never a caller's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, blob: str) -> Path:
        """Where the bytes are."""
        return self._folder / blob

    async def size(self, blob: str) -> int:
        """How many bytes there are; 0 when there is no such blob."""
        try:
            return (await anyio.Path(self.path(blob)).stat()).st_size
        except FileNotFoundError:
            return 0

    async def total_size(self, blobs: Sequence[str]) -> int:
        """How many bytes all of them have together."""
        return await anyio.to_thread.run_sync(_total_size, [self.path(blob) for blob in blobs])

    async def write(self, blob: str, offset: int, chunks: AsyncIterable[bytes], limit: int) -> None:
        """Put bytes at `offset`; what stood there and behind is dropped.

        What came before an error stays. Raises `InvalidRequest` for an offset beyond the end,
        `PayloadTooLarge` above `limit` bytes in all, `StorageFull`.
        """
        file = await anyio.to_thread.run_sync(_open, self.path(blob), offset)
        buffer = bytearray()
        try:
            async for chunk in chunks:
                if offset + len(buffer) + len(chunk) > limit:
                    raise PayloadTooLarge(f"The file is larger than {limit} bytes.")
                buffer += chunk
                if len(buffer) >= WRITE_BYTES:
                    offset += await _write(file, buffer)
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await _write(file, buffer)
                finally:
                    await anyio.to_thread.run_sync(os.close, file)

    async def seal(self, blob: str) -> str:
        """Bring a whole blob to the disk; its SHA-256, hexadecimal."""
        return await anyio.to_thread.run_sync(_seal, self.path(blob))

    async def remove(self, blob: str) -> None:
        """Delete a blob and what was made of it; nothing when it is not there."""
        await anyio.to_thread.run_sync(_remove, self.path(blob))

    async def sweep(self, kept: Iterable[str]) -> int:
        """Delete every blob that is not in `kept`; how many there were."""
        return await anyio.to_thread.run_sync(_sweep, self._folder, frozenset(kept))


def _total_size(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _open(path: Path, offset: int) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    size = os.fstat(file).st_size
    if offset > size:
        os.close(file)
        raise InvalidRequest(f"The upload stands at byte {size}, the request says {offset}.")
    os.ftruncate(file, offset)
    os.lseek(file, offset, os.SEEK_SET)
    return file


async def _write(file: int, buffer: bytearray) -> int:
    """Write all of the buffer and empty it; how much it was."""
    length = len(buffer)
    try:
        with storing():
            await anyio.to_thread.run_sync(_write_all, file, bytes(buffer))
    finally:
        buffer.clear()
    return length


@contextmanager
def storing() -> Generator[None]:
    """A full disk as the error that it means. Raises `StorageFull`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull("The disk with the state folder is full; free some space.") from error


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _seal(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return digest


def _remove(path: Path) -> None:
    for made in path.parent.glob(f"{path.name}*"):
        made.unlink(missing_ok=True)


def _sweep(folder: Path, kept: frozenset[str]) -> int:
    if not folder.is_dir():
        return 0
    orphans = [path for path in folder.iterdir() if path.name.partition(".")[0] not in kept]
    for path in orphans:
        path.unlink(missing_ok=True)
    return len(orphans)
