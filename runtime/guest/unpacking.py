"""Unpacks a tar that comes over a socket, and that may be hostile, in constant memory."""

from __future__ import annotations

import gzip
import io
import os
import posixpath
import socket
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from runtime.errors import Conflict, InvalidRequest, PayloadTooLarge
from runtime.guest.tree import WORKSPACE_NAME

_BUFFER_BYTES = 256 * 1024
_MAX_HEADER_BYTES = 1024**2
"""Of what an extended header may claim to need; paths are far shorter."""
_FILE_TYPES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_LAST_MOMENT = 2.0**33
_MAX_LISTED = 1000
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What one archive may bring."""

    entries: int = 200_000
    total_bytes: int = 8 * 1024**3


class Unpacker:
    """Unpacks a tar or tar.gz below a folder of the workspace.

    Only files, folders, and links that stay below the folder; nothing is written through a link.
    """

    def __init__(
        self, connection: socket.socket, workspace: Path, folder: Path | None, limits: UnpackLimits
    ) -> None:
        """`folder` is None for the root, where all paths begin with the workspace's name."""
        self._connection = connection
        self._workspace = workspace
        self._folder = folder
        self._limits = limits
        self._files: list[Path] = []

    def unpack(self, *, overwrite: bool) -> list[Path]:
        """Unpack to the end of the stream; the first files written.

        Raises `InvalidRequest`, `Conflict`, `PayloadTooLarge`, `OSError`.
        """
        base = self._folder or self._workspace
        base.mkdir(parents=True, exist_ok=True)
        with _Target(base, overwrite) as target:
            try:
                source = _Source(self._connection, self._limits.total_bytes)
                for member in self._members(source):
                    self._place(member, source, target)
                source.drain()
            except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise InvalidRequest(f"This is no whole tar or tar.gz: {error}.") from error
        return self._files

    def _members(self, source: _Source) -> Iterator[tarfile.TarInfo]:
        with tarfile.open(fileobj=source, mode="r:", errors="surrogateescape") as archive:
            for count, member in enumerate(iter(archive.next, None)):
                # It would remember every member, and use up memory.
                archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
                if count >= self._limits.entries:
                    raise PayloadTooLarge(f"An archive may have {self._limits.entries:,} entries.")
                yield member

    def _place(self, member: tarfile.TarInfo, source: _Source, target: _Target) -> None:
        parts = self._parts(member.name)
        if not parts:
            return
        if member.type in _FILE_TYPES and not member.issparse():
            source.seek(member.offset_data)
            target.write(parts, member, source)
            if len(self._files) < _MAX_LISTED:
                self._files.append(target.base.joinpath(*parts))
        elif member.isdir():
            target.make_folder(parts)
        elif member.issym():
            target.link(parts, member.linkname)
        else:
            raise InvalidRequest(
                f"'{member.name}' is neither a file, a folder nor a symbolic link."
            )

    def _parts(self, name: str) -> tuple[str, ...]:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise InvalidRequest(f"'{name}' leads out of the archive.")
        if self._folder is not None or not parts:
            return parts
        if parts[0] != WORKSPACE_NAME:
            raise InvalidRequest(f"'{name}' does not lie below {WORKSPACE_NAME}/.")
        return parts[1:]


class _Target:
    """A folder that is written to by paths of plain names, never through a link."""

    def __init__(self, base: Path, overwrite: bool) -> None:
        self.base = base
        self._overwrite = overwrite
        self._root = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: tuple[tuple[str, ...], int] = ((), self._root)

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *_: object) -> None:
        self._enter(())
        os.close(self._root)

    def make_folder(self, parts: tuple[str, ...]) -> None:
        """Make a folder and those above it, as far as they are missing."""
        self._enter(parts)

    def write(self, parts: tuple[str, ...], member: tarfile.TarInfo, source: _Source) -> None:
        """Write a file from `source`, with the member's time, and its right to be run."""
        folder, name = self._enter(parts[:-1]), parts[-1]
        if self._overwrite:
            self._make_room(folder, parts)
        mode = 0o755 if member.mode & 0o100 else 0o644
        try:
            descriptor = os.open(name, _NEW_FLAGS, mode, dir_fd=folder)
        except FileExistsError:
            raise Conflict(f"'{'/'.join(parts)}' exists already.") from None
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            source.copy(member.size, file)
            moment = member.mtime if 0 <= member.mtime < _LAST_MOMENT else 0
            os.utime(descriptor, (moment, moment))

    def link(self, parts: tuple[str, ...], target: str) -> None:
        """Make a symbolic link, if it stays below the folder."""
        reached = posixpath.normpath(posixpath.join("/".join(parts[:-1]), target))
        if target.startswith("/") or reached == ".." or reached.startswith("../"):
            raise InvalidRequest(f"The link '{'/'.join(parts)}' leads out of the archive.")
        folder = self._enter(parts[:-1])
        if self._overwrite:
            self._make_room(folder, parts)
        try:
            os.symlink(target, parts[-1], dir_fd=folder)
        except FileExistsError:
            raise Conflict(f"'{'/'.join(parts)}' exists already.") from None

    def _make_room(self, folder: int, parts: tuple[str, ...]) -> None:
        try:
            os.unlink(parts[-1], dir_fd=folder)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            raise Conflict(f"'{'/'.join(parts)}' cannot be replaced.") from None

    def _enter(self, parts: tuple[str, ...]) -> int:
        """A descriptor of the folder, valid until the next call."""
        before, descriptor = self._open
        if before == parts:
            return descriptor
        if descriptor != self._root:
            os.close(descriptor)
        self._open = ((), self._root)
        current = self._root
        for count, name in enumerate(parts, 1):
            following = _open_folder(name, current, "/".join(parts[:count]))
            if current != self._root:
                os.close(current)
            current = following
            self._open = (parts[:count], current)
        return current


def _open_folder(name: str, parent: int, path: str) -> int:
    try:
        try:
            return os.open(name, _FOLDER_FLAGS, dir_fd=parent)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=parent)
            return os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    except NotADirectoryError:
        raise Conflict(f"'{path}' is there and is not a folder.") from None


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Source(io.RawIOBase):
    """The stream, unpacked if need be, as a file that only goes forward.

    Refuses reads that only a header made to use up memory would ask for.
    """

    def __init__(self, connection: socket.socket, limit_bytes: int) -> None:
        raw = io.BufferedReader(_SocketFile(connection), _BUFFER_BYTES)
        is_packed = raw.peek(2)[:2] == b"\x1f\x8b"
        self._file: _Readable = gzip.GzipFile(fileobj=raw) if is_packed else raw
        self._position = 0
        self._limit = limit_bytes

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def tell(self) -> int:
        """How many bytes were read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go forward to `offset`."""
        if whence != os.SEEK_SET or offset < self._position:
            raise tarfile.ReadError("the archive does not go forward")
        while self._position < offset:
            if not self.read(min(offset - self._position, _BUFFER_BYTES)):
                raise EOFError("the archive ends early")
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is too large")
        data = self._file.read(size)
        self._position += len(data)
        if self._position > self._limit:
            raise PayloadTooLarge(f"An archive may hold {self._limit:,} bytes.")
        return data

    def copy(self, count: int, target: io.FileIO) -> None:
        """Write the next `count` bytes to a file."""
        while count > 0:
            data = self.read(min(count, _BUFFER_BYTES))
            if not data:
                raise EOFError("the archive ends early")
            target.write(data)
            count -= len(data)

    def drain(self) -> None:
        """Read what follows the archive, so that the sender is not cut off."""
        while self.read(_BUFFER_BYTES):
            pass


class _SocketFile(io.RawIOBase):
    """A socket as a file to be read."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill the buffer with what has come."""
        return self._connection.recv_into(buffer)
