"""Byte streams of files: reading and writing one, packing and unpacking many.

Each operation gets its arguments, a connected socket, and `started`, which it calls with what is
known before the first byte. A download is raw bytes to the end of the stream: a file is complete
when it has `size_bytes`, a tar when it ends with its two empty blocks. An upload is read to the
end of the stream; what was written is the operation's value. Memory is constant.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from runtime.errors import Conflict, InvalidRequest, PayloadTooLarge, SandboxLost, SandlotError
from runtime.guest.packing import Packer
from runtime.guest.service import Started
from runtime.guest.tree import Tree, error_of, mime_type_of, open_for_reading
from runtime.guest.unpacking import Unpacker, UnpackLimits
from runtime.schema.framing import encode_frame
from runtime.schema.protocol import StreamWhole

MAX_FILE_BYTES = 2 * 1024**3
STALL_SECONDS = 120.0
"""A peer that neither sends nor takes a byte for that long is given up."""
_BUFFER_BYTES = 1024**2

T = TypeVar("T")


class FileStreams:
    """The byte-stream operations over one tree."""

    def __init__(
        self, tree: Tree, max_file_bytes: int = MAX_FILE_BYTES, limits: UnpackLimits | None = None
    ) -> None:
        self._tree = tree
        self._max_file_bytes = max_file_bytes
        self._limits = limits or UnpackLimits()

    async def read_file(
        self, arguments: dict[str, Any], connection: socket.socket, started: Started
    ) -> None:
        """`{path}`: send a file. Told before: `size_bytes`, `mime_type`. Raises `NotFound`."""
        path = str(arguments["path"])
        place = self._tree.locate(path)
        if place is None:
            raise InvalidRequest("The root is a folder; it can be had as a tar.")
        with os.fdopen(open_for_reading(place, path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            await started({"size_bytes": size, "mime_type": mime_type_of(place.name)})
            if size:
                await over(connection, lambda: connection.sendfile(file, 0, size))

    async def write_file(
        self, arguments: dict[str, Any], connection: socket.socket, started: Started
    ) -> dict[str, Any]:
        """`{path, overwrite}`: write a file, making its folders; gives `{files: [entry]}`.

        The file appears when it is whole. Raises `Conflict` when it exists and may not be
        replaced, `StorageFull`, `PayloadTooLarge`.
        """
        path, overwrite = str(arguments["path"]), bool(arguments.get("overwrite"))
        place = self._tree.locate_entry(path)
        if _is_in_the_way(place, overwrite=overwrite):
            raise Conflict(f"'{path}' exists already.")
        await started({})
        try:
            await over(connection, lambda: self._receive(connection, place, overwrite))
            return {"files": [self._tree.entry(place)]}
        except OSError as error:
            raise error_of(path, error) from error

    async def read_tar(
        self, arguments: dict[str, Any], connection: socket.socket, started: Started
    ) -> None:
        """`{path, recursive}`: send a folder as a tar; without `recursive` only its files."""
        path = str(arguments.get("path", ""))
        place = self._tree.locate(path)
        if place is not None and not place.is_dir():
            raise InvalidRequest(f"'{path}' is not a folder.")
        packer = Packer(connection)
        recursive = bool(arguments.get("recursive"))
        await started({"mime_type": "application/x-tar"})
        if place is not None:
            await over(connection, lambda: packer.pack(place, "", recursive=recursive))
        else:
            root = self._tree.workspace
            await over(connection, lambda: packer.pack_root(root, recursive=recursive))

    async def extract_tar(
        self, arguments: dict[str, Any], connection: socket.socket, started: Started
    ) -> dict[str, Any]:
        """`{path, overwrite}`: unpack a tar or tar.gz; gives `{files: [entry]}` of its files.

        Entries before one that is refused stay. Raises `InvalidRequest`, `Conflict`,
        `StorageFull`, `PayloadTooLarge`.
        """
        path, overwrite = str(arguments.get("path", "")), bool(arguments.get("overwrite"))
        place = self._tree.locate(path)
        if place is not None and place.exists() and not place.is_dir():
            raise Conflict(f"'{path}' is a file.")
        await started({})
        unpacker = Unpacker(connection, self._tree.workspace, place, self._limits)

        def unpack() -> list[Path]:
            files = unpacker.unpack(overwrite=overwrite)
            check_not_broken(connection)
            return files

        try:
            files = await over(connection, unpack)
        except OSError as error:
            raise error_of(path, error) from error
        return {"files": self._entries(files)}

    def _entries(self, files: list[Path]) -> list[dict[str, Any]]:
        return [self._tree.entry(file) for file in files if os.path.lexists(file)]

    def _receive(self, connection: socket.socket, place: Path, overwrite: bool) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name[:100]}.{secrets.token_hex(6)}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o644), "wb", buffering=0) as file:
                self._copy(connection, file.fileno())
            check_not_broken(connection)
            if overwrite:
                temporary.replace(place)
            else:
                os.link(temporary, place, follow_symlinks=False)
        finally:
            temporary.unlink(missing_ok=True)

    def _copy(self, connection: socket.socket, target: int) -> None:
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        room = self._max_file_bytes
        while count := connection.recv_into(buffer):
            room -= count
            if room < 0:
                raise PayloadTooLarge(f"A file may have {self._max_file_bytes:,} bytes.")
            written = 0
            while written < count:
                written += os.write(target, buffer[written:count])


def _is_in_the_way(place: Path, *, overwrite: bool) -> bool:
    return place.is_dir() or (not overwrite and os.path.lexists(place))


def check_not_broken(connection: socket.socket) -> None:
    """Tell an end that the sender meant from one that befell it: it still listens.

    Only by sending is that found out everywhere: gVisor does not poll what hangs up outside of it.
    Raises `ConnectionResetError`.
    """
    try:
        connection.sendall(encode_frame(StreamWhole().model_dump()))
    except ConnectionError as error:
        raise ConnectionResetError("it broke off before the end") from error


async def over(connection: socket.socket, work: Callable[[], T]) -> T:
    """Do blocking work on a connection in a thread; cancelling breaks the connection.

    Raises what the work raises, and `SandboxLost` when the peer went away or stalled.
    """
    # A timeout keeps the descriptor non-blocking, as the other process that shares it needs it.
    connection.settimeout(STALL_SECONDS)
    outcome: list[T] = []
    problem: list[SandlotError | OSError] = []
    finished = anyio.Event()

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            try:
                outcome.append(await anyio.to_thread.run_sync(work))
            except (SandlotError, OSError) as error:
                problem.append(error)
            finished.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            await finished.wait()
        except anyio.get_cancelled_exc_class():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            raise
    if problem:
        raise _translated(problem[0])
    return outcome[0]


def _translated(error: SandlotError | OSError) -> SandlotError | OSError:
    if isinstance(error, ConnectionError | TimeoutError):
        return SandboxLost(f"The other side of the stream is gone: {error}.")
    return error
