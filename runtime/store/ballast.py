"""A file that only takes up room, so that a full disk still has space for how runs ended."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from runtime.errors import StorageFull

SIZE_BYTES = 16 * 1024 * 1024
_ALMOST_FULL = (
    "The disk with the state folder is almost full; free some space. "
    "Nothing new is started until then."
)


class Ballast:
    """The reserve beside the database: dropped when the disk is full, laid again when it is not."""

    def __init__(self, path: Path, size_bytes: int = SIZE_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def lay(self) -> None:
        """Make sure that the reserve is there. Raises `StorageFull` when there is no room."""
        if self.is_laid:
            return
        # Asked first, because an allocation that fails has filled the disk for a moment.
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < self._size_bytes:
            raise StorageFull(_ALMOST_FULL)
        try:
            self._allocate()
        except OSError as error:
            self.drop()
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise StorageFull(_ALMOST_FULL) from error

    @property
    def is_laid(self) -> bool:
        """Whether the reserve is whole."""
        try:
            return self._path.stat().st_size == self._size_bytes
        except FileNotFoundError:
            return False

    def drop(self) -> bool:
        """Give the reserve up; False when there was none."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _allocate(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
        finally:
            os.close(descriptor)
