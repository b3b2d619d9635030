"""The socket of one sandbox: accepts its guest and its byte streams. The socket says who calls."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

import anyio
import structlog
from anyio.abc import SocketListener, SocketStream
from pydantic import ValidationError

from runtime.errors import ProtocolMismatch, SandboxUnavailable, SandlotError, StorageFull
from runtime.gateway.bounds import Pace
from runtime.gateway.session import GuestSession
from runtime.schema.framing import FrameError, read_frame
from runtime.schema.protocol import (
    GATEWAY_SOCKET,
    PROTOCOL_VERSION,
    Hello,
    StreamHello,
)
from runtime.socket_paths import address_of

HELLO_SECONDS = 10.0
MAX_HELLO_BYTES = 64 * 1024
MAX_CONNECTIONS = 64
CONNECTION_SECONDS = 0.001
"""What a connection costs the controller, about."""
RETRY_SECONDS = 0.5

log = structlog.get_logger(__name__)


class SandboxListener:
    """Listens in `directory`, which is bind-mounted into one sandbox and no other."""

    def __init__(self, directory: Path, pace: Pace | None = None) -> None:
        self.directory = directory
        self._listener: SocketListener
        self._session: GuestSession | None = None
        self._problem: SandlotError | None = None
        self._changed = anyio.Condition()
        self._connections = 0
        self._pace = pace or Pace()

    async def bind(self, guest_uid: int) -> None:
        """Make the directory and the socket. Raises `StorageFull`, `SandboxUnavailable`."""
        path = self.directory / GATEWAY_SOCKET
        try:
            prepare_directory(self.directory)
            with address_of(path) as address:
                self._listener = await anyio.create_unix_listener(address, mode=0o666)
            restrict(self.directory, path, guest_uid)
        except OSError as error:
            raise _socket_error(error) from error

    async def serve(self) -> None:
        """Accept connections until cancelled, no faster than the sandbox's share of time allows."""
        async with self._listener, anyio.create_task_group() as tasks:
            while True:
                try:
                    stream = await self._listener.accept()
                except (OSError, anyio.BrokenResourceError) as error:
                    log.warning("a guest cannot be let in", reason=str(error.__cause__ or error))
                    await anyio.sleep(RETRY_SECONDS)
                    continue
                tasks.start_soon(self._accept, stream)
                self._pace.spend(CONNECTION_SECONDS)
                await self._pace.rest()

    async def session(self) -> GuestSession:
        """The connected guest; waits for it. Raises `ProtocolMismatch`."""
        async with self._changed:
            while self._session is None or self._session.is_closed:
                if self._problem is not None:
                    raise self._problem
                await self._changed.wait()
            return self._session

    @property
    def is_connected(self) -> bool:
        """Whether a guest is connected now."""
        return self._session is not None and not self._session.is_closed

    def remove(self) -> None:
        """Delete the directory, and what was left of the guest."""
        if self._session is not None:
            self._session.drop()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def _accept(self, stream: SocketStream) -> None:
        # Who waits here holds a descriptor of the controller's: too many are turned away.
        if self._connections >= MAX_CONNECTIONS:
            await stream.aclose()
            return
        self._connections += 1
        try:
            await self._greet(stream)
        except (
            anyio.IncompleteRead,
            anyio.EndOfStream,
            anyio.BrokenResourceError,
            FrameError,
            ValidationError,
            TimeoutError,
        ):
            await stream.aclose()
        except Exception:
            # Whatever a guest sends must not take the other sandboxes down with it.
            log.exception("connection of a guest failed", directory=self.directory.name)
            await stream.aclose()
        finally:
            self._connections -= 1

    async def _greet(self, stream: SocketStream) -> None:
        # A buffered reader could swallow the first raw bytes behind the hello of a byte stream.
        with anyio.fail_after(HELLO_SECONDS):
            frame = await read_frame(_Exact(stream), MAX_HELLO_BYTES)
        if frame.get("type") == "stream_hello":
            session = self._session
            hello = StreamHello.model_validate(frame)
            if session is None or not await session.accept_stream(hello, stream):
                await stream.aclose()
            return
        await self._welcome(Hello.model_validate(frame), stream)

    async def _welcome(self, hello: Hello, stream: SocketStream) -> None:
        async with self._changed:
            if hello.protocol != PROTOCOL_VERSION:
                self._problem = ProtocolMismatch(
                    f"The guest in the sandbox image speaks protocol {hello.protocol}, this "
                    f"controller {PROTOCOL_VERSION}. Build the image again: `sandlot image build`."
                )
            elif self._session is not None and not self._session.is_closed:
                raise FrameError("a second guest on one socket")
            else:
                self._session = GuestSession(hello, stream, self._pace)
            self._changed.notify_all()
        if self._problem is not None or self._session is None:
            await stream.aclose()
            return
        await self._session.read()


class _Exact:
    """Reads exact lengths from a socket without reading ahead."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    async def receive_exactly(self, nbytes: int) -> bytes:
        received = bytearray()
        while len(received) < nbytes:
            received += await self._stream.receive(nbytes - len(received))
        return bytes(received)


def _socket_error(error: OSError) -> SandlotError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"The disk is full: {error}.")
    return SandboxUnavailable(f"The sandbox's socket cannot be made: {error}.")


def prepare_directory(directory: Path) -> None:
    """An empty directory of ours, whatever lay there before, in a folder that is closed to others.

    Docker mounts it into the sandbox all the same, and other users of this host cannot connect.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.parent.chmod(0o700)
    if directory.is_symlink():
        directory.unlink()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o711)


def restrict(directory: Path, socket_path: Path, guest_uid: int) -> None:
    """Let only the supervisor's user id connect, where we have the right to arrange that."""
    if os.geteuid() == 0:
        os.chown(socket_path, guest_uid, guest_uid)
        socket_path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    directory.chmod(0o711)
