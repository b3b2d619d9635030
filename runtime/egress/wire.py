"""Byte streams: over a socket, without reading ahead or buffering, and over TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSStream

CHUNK_BYTES = 256 * 1024
PARTS_PER_TURN = 32
"""After so many parts of a message, which may all be here already, others have their turn."""
_SEND_BUFFER_BYTES = 1024 * 1024
"""Asked of the kernel for sockets to sandboxes: with less, bulk is passed on in small pieces."""


_GOODBYE_SECONDS = 1.0
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Wire(ByteStream):
    """One connected socket; several tasks may use it, one per direction.

    Raises `anyio.EndOfStream`, `anyio.BrokenResourceError`, `anyio.ClosedResourceError`.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        if connection.family == socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._socket = connection

    async def receive(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """The next bytes."""
        while True:
            try:
                data = self._socket.recv(max_bytes)
            except BlockingIOError:
                await self.readable()
            except OSError as error:
                raise self._problem() from error
            else:
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes | memoryview) -> None:
        """Send all of `item`."""
        left = memoryview(item)
        while left:
            left = left[self.send_some(left) :]
            if left:
                await self.writable()

    def send_some(self, data: memoryview) -> int:
        """Send what the socket takes at once; how much that was."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._problem() from error

    async def receive_into(self, buffer: memoryview) -> int:
        """Read into `buffer`, 0 at the end; nothing else runs between the read and the return."""
        while True:
            try:
                return self._socket.recv_into(buffer)
            except BlockingIOError:
                await self.readable()
            except OSError as error:
                raise self._problem() from error

    @property
    def is_quiet(self) -> bool:
        """Whether the connection is open and nothing waits to be read."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def send_eof(self) -> None:
        """Say that no more comes."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._problem() from error

    async def aclose(self) -> None:
        """Close; whoever waits for this socket is woken."""
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
            self._socket.close()
        await checkpoint()

    def fileno(self) -> int:
        """The file descriptor. Raises `anyio.ClosedResourceError`."""
        if self._socket.fileno() < 0:
            raise anyio.ClosedResourceError
        return self._socket.fileno()

    async def readable(self) -> None:
        """Wait until there is something to read, be it the end."""
        await anyio.wait_readable(self.fileno())

    async def writable(self) -> None:
        """Wait until something can be sent."""
        await anyio.wait_writable(self.fileno())

    def _problem(self) -> Exception:
        closed = self._socket.fileno() < 0
        return anyio.ClosedResourceError() if closed else anyio.BrokenResourceError()


class Rewound(ByteStream):
    """A stream whose first bytes were read already and are read again."""

    def __init__(self, first: bytes, stream: ByteStream) -> None:
        self._first = first
        self._stream = stream

    async def receive(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """The next bytes."""
        if not self._first:
            return await self._stream.receive(max_bytes)
        taken, self._first = self._first[:max_bytes], self._first[max_bytes:]
        await checkpoint()
        return taken

    async def send(self, item: bytes) -> None:
        """Send all of `item`."""
        await self._stream.send(item)

    async def send_eof(self) -> None:
        """Say that no more comes."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


class Secured(ByteStream):
    """TLS over a stream, with the errors of a stream."""

    def __init__(self, tls: TLSStream) -> None:
        self._tls = tls

    @classmethod
    async def serve(cls, stream: ByteStream, context: ssl.SSLContext) -> Secured:
        """TLS with a client. Raises `anyio.BrokenResourceError`, `ssl.SSLError`."""
        return cls(await TLSStream.wrap(stream, server_side=True, ssl_context=context))

    @classmethod
    async def connect(cls, stream: ByteStream, host: str, context: ssl.SSLContext) -> Secured:
        """TLS with a server whose certificate is for `host`. Raises the same."""
        return cls(
            await TLSStream.wrap(
                stream, hostname=host, ssl_context=context, standard_compatible=False
            )
        )

    async def receive(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """The next bytes."""
        try:
            return await self._tls.receive(max_bytes)
        except ssl.SSLError as error:
            raise anyio.BrokenResourceError from error

    async def send(self, item: bytes) -> None:
        """Send all of `item`."""
        try:
            await self._tls.send(item)
        except ssl.SSLError as error:
            raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        """Raises `NotImplementedError`: TLS here has no half-closed connections."""
        await self._tls.send_eof()

    async def say_goodbye(self) -> None:
        """Tell the peer that nothing was cut off; some clients take the answer for broken else."""
        with anyio.move_on_after(_GOODBYE_SECONDS), suppress(ssl.SSLError, *_GONE):
            await self._tls.unwrap()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._tls.transport_stream.aclose()
