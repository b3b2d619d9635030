"""The guest's connection to the gateway: dials, says hello, and dials again when it breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from anyio.abc import UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from pydantic import ValidationError

from runtime import __version__, clock
from runtime.errors import SandboxLost
from runtime.schema.framing import FrameError, encode_frame, read_frame
from runtime.schema.protocol import (
    CONTROLLER_MESSAGE,
    GUEST_FRAME_BYTES,
    PROTOCOL_VERSION,
    ControllerMessage,
    GuestMessage,
    Hello,
)

RETRY_SECONDS = 0.2
ORPHAN_SECONDS = 900.0
"""Without a controller for this long the guest ends, so that nothing is left running for ever."""

Handle = Callable[[ControllerMessage], Awaitable[None]]
Connected = Callable[[], Awaitable[None]]


class Link:
    """One control connection at a time to the socket at `path`."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._stream: UNIXSocketStream | None = None
        self._changed = anyio.Condition()
        self._send_lock = anyio.Lock()

    async def run(self, handle: Handle, connected: Connected) -> None:
        """Keep connected and pass on every message. Raises `SandboxLost` for an orphan."""
        while True:
            async with await self._dial() as stream:
                await stream.send(encode_frame(self._hello().model_dump()))
                async with self._changed:
                    self._stream = stream
                    self._changed.notify_all()
                await connected()
                await self._read(stream, handle)
            async with self._changed:
                self._stream = None

    async def send(self, message: GuestMessage) -> None:
        """Send a message; waits for a connection. One that breaks meanwhile loses the message.

        Raises `FrameError` for a message that is too large to be taken.
        """
        async with self._changed:
            while self._stream is None:
                await self._changed.wait()
            stream = self._stream
        frame = encode_frame(message.model_dump(mode="json", exclude_none=True), GUEST_FRAME_BYTES)
        try:
            async with self._send_lock:
                await stream.send(frame)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # `run` notices too, reconnects, and what matters is sent again

    async def dial(self) -> UNIXSocketStream:
        """A further connection, for a byte stream. Raises `OSError`."""
        return await anyio.connect_unix(self._path)

    async def _dial(self) -> UNIXSocketStream:
        deadline = clock.monotonic() + ORPHAN_SECONDS
        while clock.monotonic() < deadline:
            try:
                return await anyio.connect_unix(self._path)
            except OSError:
                await anyio.sleep(RETRY_SECONDS)
        raise SandboxLost("No controller answered for too long.")

    async def _read(self, stream: UNIXSocketStream, handle: Handle) -> None:
        reader = BufferedByteReceiveStream(stream)
        try:
            while True:
                frame = await read_frame(reader)
                await handle(CONTROLLER_MESSAGE.validate_python(frame))
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
            return
        except (FrameError, ValidationError):
            await stream.aclose()

    def _hello(self) -> Hello:
        return Hello(protocol=PROTOCOL_VERSION, guest_version=__version__, boot_id=self._boot_id)
