"""Frames over a unix socket, some of which carry a file descriptor."""

from __future__ import annotations

import socket
from collections import deque
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import UNIXSocketStream

from runtime.schema.framing import encode_frame, read_frame

_RECEIVE_BYTES = 64 * 1024
_MAX_DESCRIPTORS = 4


class Channel:
    """One end of a socket pair. Raises `anyio.EndOfStream`, `anyio.BrokenResourceError`."""

    def __init__(self, stream: UNIXSocketStream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._sending = anyio.Lock()

    @classmethod
    async def of(cls, end: socket.socket, max_bytes: int) -> Channel:
        """The channel over `end`, which it owns from now on."""
        return cls(await UNIXSocketStream.from_socket(end), max_bytes)

    async def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        """Send one message, with a copy of `descriptor`."""
        frame = encode_frame(message)
        async with self._sending:
            if descriptor is None:
                await self._stream.send(frame)
                return
            # A descriptor travels with the first bytes; those few are never sent in part.
            await self._stream.send_fds(frame[:1], [descriptor])
            await self._stream.send(frame[1:])

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises `FrameError`, `anyio.IncompleteRead` at the end."""
        return await read_frame(self, self._max_bytes)

    def descriptor(self) -> int:
        """The next descriptor, in the order of the messages that carry one.

        It must be taken for every such message, or later ones get the wrong one. Raises
        `LookupError` when none came.
        """
        return self._descriptors.popleft()

    async def receive_exactly(self, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes."""
        while len(self._received) < nbytes:
            try:
                data, descriptors = await self._stream.receive_fds(_RECEIVE_BYTES, _MAX_DESCRIPTORS)
            except anyio.EndOfStream:
                data, descriptors = b"", []
            if not data:
                raise anyio.IncompleteRead
            self._received += data
            self._descriptors.extend(descriptors)
        taken = bytes(self._received[:nbytes])
        del self._received[:nbytes]
        return taken

    async def finish(self) -> None:
        """Say that no more messages come."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()
