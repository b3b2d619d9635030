"""What keeps one guest from taking the controller's memory."""

from __future__ import annotations

import anyio
from anyio.abc import ByteReceiveStream
from anyio.streams.buffered import BufferedByteReceiveStream


class ByteBudget:
    """Bytes that may wait at once; one message larger than all of it may wait alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._given_back = anyio.Event()

    async def take(self, size: int) -> None:
        """Wait until there is room for `size` bytes, and take it."""
        while self._used and self._used + size > self._limit:
            await self._given_back.wait()
        self._used += size

    def give_back(self, size: int) -> None:
        """The message waits no longer."""
        self._used -= size
        self._given_back.set()
        self._given_back = anyio.Event()


class CountingReader:
    """Reads exact lengths, and knows how much was read since it was asked."""

    def __init__(self, stream: ByteReceiveStream) -> None:
        self._stream = BufferedByteReceiveStream(stream)
        self._bytes = 0

    async def receive_exactly(self, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes. Raises `anyio.IncompleteRead`."""
        data = await self._stream.receive_exactly(nbytes)
        self._bytes += len(data)
        return data

    def taken(self) -> int:
        """How many bytes were read since the last call."""
        taken, self._bytes = self._bytes, 0
        return taken
