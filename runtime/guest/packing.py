"""Sends a folder as a tar over a socket, in constant memory."""

from __future__ import annotations

import os
import socket
import stat
import tarfile
from pathlib import Path
from typing import BinaryIO

from runtime.guest.tree import WORKSPACE_NAME, below, entries_below

_BUFFER_BYTES = 256 * 1024
_BLOCK = tarfile.BLOCKSIZE
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Packer:
    """Sends folders as a POSIX tar: sorted, without owners, devices and sockets.

    A file is sent with the size it had when it was opened: one that shrinks is filled up with
    zeros, of one that grows the rest is left out, and one that is gone by then is passed over.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def pack_root(self, workspace: Path, *, recursive: bool) -> None:
        """Send the root, which holds the workspace and no files of its own."""
        if recursive:
            self._add(workspace, WORKSPACE_NAME)
            self.pack(workspace, WORKSPACE_NAME + "/", recursive=True)
        else:
            self._finish()

    def pack(self, folder: Path, prefix: str, *, recursive: bool) -> None:
        """Send what is in the folder; without `recursive` only the files right in it."""
        for path in entries_below(folder, recursive=recursive):
            if recursive or path.is_file():
                self._add(path, prefix + below(path, folder))
        self._finish()

    def _finish(self) -> None:
        self._put(b"\0" * (2 * _BLOCK))
        self._flush()

    def _add(self, path: Path, name: str) -> None:
        try:
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
                    self._add_file(file, name)
            elif stat.S_ISDIR(found.st_mode):
                self._put(_header(name, found, tarfile.DIRTYPE))
            elif stat.S_ISLNK(found.st_mode):
                self._put(_header(name, found, tarfile.SYMTYPE, str(path.readlink())))
        except (FileNotFoundError, PermissionError, NotADirectoryError):
            return  # changed under our eyes, or not ours to read

    def _add_file(self, file: BinaryIO, name: str) -> None:
        found = os.fstat(file.fileno())
        self._put(_header(name, found, tarfile.REGTYPE))
        if found.st_size < _BUFFER_BYTES:
            data = file.read(found.st_size)
            self._put(data)
            sent = len(data)
        else:
            self._flush()
            sent = self._connection.sendfile(file, 0, found.st_size)
        self._fill(found.st_size - sent)
        self._fill(-found.st_size % _BLOCK)

    def _fill(self, count: int) -> None:
        while count > 0:
            self._put(b"\0" * min(count, _BUFFER_BYTES))
            count -= _BUFFER_BYTES

    def _put(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._connection.sendall(self._buffer)
        self._buffer.clear()


def _header(name: str, found: os.stat_result, kind: bytes, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = found.st_size if kind == tarfile.REGTYPE else 0
    info.mode, info.mtime = stat.S_IMODE(found.st_mode) & 0o777, int(found.st_mtime)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
