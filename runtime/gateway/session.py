"""One guest's control connection, seen from the controller. Nothing that comes in is trusted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Literal

import anyio
import structlog
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectSendStream
from pydantic import ValidationError

from runtime.errors import SandboxLost, SandlotError
from runtime.gateway.bounds import ByteBudget, Pace
from runtime.schema.framing import FrameError, decode_frame, encode_frame, read_body, read_frame
from runtime.schema.protocol import (
    GUEST_FRAME_BYTES,
    GUEST_MESSAGE,
    Bound,
    ControllerMessage,
    Fault,
    GuestMessage,
    GuestReport,
    Hello,
    OpenStream,
    Reply,
    Request,
    StreamEnd,
    StreamHello,
    StreamWhole,
)

REQUEST_SECONDS = 60.0
STREAM_OPEN_SECONDS = 60.0
STALL_SECONDS = 120.0
"""A guest that neither sends nor takes a byte of a stream for that long is given up."""
MAX_FRAME_VALUES = 250_000
MAX_END_BYTES = 1024 * 1024
_WORK_PER_MESSAGE = 2.0
"""What comes after reading a message, such as storing it, as a multiple of the time for that."""
MAX_QUEUED_MESSAGES = 256
MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""Messages of a run that wait to be handled; when there are so many the guest has to wait."""

_ENDED = (
    anyio.IncompleteRead,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


log = structlog.get_logger(__name__)
_STATUSES = {"not_found": 404, "aborted": 409, "request_too_large": 413}


class RemoteError(SandlotError):
    """The guest could not do what it was asked to."""

    http_status = 400


class GuestSession:
    """The connection to one guest: send commands, read what its run says, move bytes."""

    def __init__(self, hello: Hello, stream: SocketStream, pace: Pace | None = None) -> None:
        """`pace` is that of the sandbox, whatever number of connections it makes."""
        self.hello = hello
        self._pace = pace or Pace()
        self._stream = stream
        self._send_lock = anyio.Lock()
        self._numbers = count(1)
        self._replies: dict[str, MemoryObjectSendStream[Reply]] = {}
        self._streams: dict[str, MemoryObjectSendStream[tuple[StreamHello, SocketStream]]] = {}
        self._bound = anyio.Event()
        self._closed = anyio.Event()
        self._incoming, self._outgoing = anyio.create_memory_object_stream[
            tuple[GuestMessage, int]
        ](MAX_QUEUED_MESSAGES)
        self._queued = ByteBudget(MAX_QUEUED_BYTES)

    @property
    def is_closed(self) -> bool:
        """Whether the guest hung up or broke the protocol."""
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Return when the connection is gone."""
        await self._closed.wait()

    async def wait_bound(self) -> None:
        """Return when the guest took its identity. Raises `SandboxLost`."""
        await self._first_of(self._bound)
        if not self._bound.is_set():
            raise SandboxLost("The sandbox went away before it was ready.")

    async def _first_of(self, event: anyio.Event) -> None:
        async with anyio.create_task_group() as tasks:

            async def wait(waited: anyio.Event) -> None:
                await waited.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wait, event)
            tasks.start_soon(wait, self._closed)

    async def send(self, message: ControllerMessage) -> None:
        """Send a command. Raises `SandboxLost` when the connection is gone."""
        frame = encode_frame(message.model_dump(mode="json", exclude_none=True))
        try:
            async with self._send_lock:
                await self._stream.send(frame)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise SandboxLost("The sandbox is gone.") from error

    async def messages(self) -> AsyncIterator[GuestMessage]:
        """What the guest says about its run, in order, until the connection ends."""
        with contextlib.suppress(anyio.ClosedResourceError):  # it was dropped
            async for message, size in self._outgoing:
                self._queued.give_back(size)
                yield message

    async def read(self) -> None:
        """Read frames until the connection ends or breaks the protocol; for a task of its own."""
        reader = BufferedByteReceiveStream(self._stream)
        try:
            while True:
                body = await read_body(reader, GUEST_FRAME_BYTES)
                await self._take(self._decoded(body), len(body))
                await self._pace.rest()
        except _ENDED:
            return
        except (FrameError, ValidationError) as error:
            log.warning("a guest broke the protocol", reason=str(error)[:300])
        finally:
            self._closed.set()
            self._incoming.close()
            for waiting in [*self._replies.values(), *self._streams.values()]:
                waiting.close()
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()

    def _decoded(self, body: bytes) -> GuestMessage:
        with self._pace.work(_WORK_PER_MESSAGE):
            return GUEST_MESSAGE.validate_python(decode_frame(body, MAX_FRAME_VALUES))

    async def _take(self, message: GuestMessage, size: int) -> None:
        match message:
            case Hello():
                raise FrameError("a second hello")
            case Bound():
                self._bound.set()
            case GuestReport():
                return
            case Reply():
                waiting = self._replies.pop(message.request_id, None)
                if waiting is not None:
                    waiting.send_nowait(message)
            case _:
                await self._queued.take(size)
                await self._incoming.send((message, size))

    async def request(
        self, operation: str, arguments: dict[str, Any], *, seconds: float = REQUEST_SECONDS
    ) -> Any:
        """Ask for a small thing, or for one that takes `seconds` at most.

        Raises `RemoteError`, `SandboxLost` when there is no answer in that time.
        """
        request_id = f"r{next(self._numbers)}"
        send, receive = anyio.create_memory_object_stream[Reply](1)
        self._replies[request_id] = send
        question = Request(request_id=request_id, operation=operation, arguments=arguments)
        try:
            with anyio.fail_after(seconds):
                await self.send(question)
                reply = await receive.receive()
        except (anyio.EndOfStream, TimeoutError) as error:
            raise SandboxLost("The sandbox did not answer.") from error
        finally:
            self._replies.pop(request_id, None)
            send.close()
            receive.close()
        if reply.error is not None:
            raise remote_error(reply.error)
        return reply.value

    async def write(
        self, operation: str, arguments: dict[str, Any], chunks: AsyncIterable[bytes]
    ) -> Any:
        """Send bytes to `operation` and return its value. Raises as `open_stream` does."""
        async with self.open_stream(operation, arguments, "to_guest") as (_, stream):
            end = await _pour(stream, chunks)
        if end.error is not None:
            raise remote_error(end.error)
        return end.value

    @asynccontextmanager
    async def open_stream(
        self,
        operation: str,
        arguments: dict[str, Any],
        direction: Literal["from_guest", "to_guest", "both"],
    ) -> AsyncGenerator[tuple[dict[str, Any], SocketStream]]:
        """A byte-stream connection for `operation`, and what is known before the first byte.

        Raises `RemoteError` when the guest declines, `SandboxLost` when it does not dial.
        """
        stream_id = f"s{next(self._numbers)}"
        send, receive = anyio.create_memory_object_stream[tuple[StreamHello, SocketStream]](1)
        self._streams[stream_id] = send
        wanted = OpenStream(
            stream_id=stream_id, direction=direction, operation=operation, arguments=arguments
        )
        try:
            with anyio.fail_after(STREAM_OPEN_SECONDS):
                await self.send(wanted)
                hello, stream = await receive.receive()
        except (anyio.EndOfStream, TimeoutError) as error:
            raise SandboxLost("The sandbox did not open the stream.") from error
        finally:
            self._streams.pop(stream_id, None)
            send.close()
            receive.close()
        async with stream:
            if hello.error is not None:
                raise remote_error(hello.error)
            yield hello.info, stream

    async def accept_stream(self, hello: StreamHello, stream: SocketStream) -> bool:
        """Hand a dialled connection to the one who waits for it; False when nobody does."""
        waiting = self._streams.pop(hello.stream_id, None)
        if waiting is None:
            return False
        waiting.send_nowait((hello, stream))
        return True

    def drop(self) -> None:
        """Forget what the guest said and nobody read; the session is of no use afterwards."""
        self._incoming.close()
        self._outgoing.close()

    async def aclose(self) -> None:
        """Hang up."""
        await self._stream.aclose()


async def _pour(stream: SocketStream, chunks: AsyncIterable[bytes]) -> StreamEnd:
    """Send all chunks, then read the guest's verdict, which may also come before the end."""
    try:
        async for chunk in chunks:
            with anyio.fail_after(STALL_SECONDS):
                await stream.send(chunk)
        await stream.send_eof()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # the guest stopped reading: its verdict says why
    except TimeoutError as error:
        raise SandboxLost(f"The sandbox took no bytes for {STALL_SECONDS:g} s.") from error
    try:
        with anyio.fail_after(STREAM_OPEN_SECONDS):
            reader = BufferedByteReceiveStream(stream)
            frame = await read_frame(reader, MAX_END_BYTES)
            if frame == StreamWhole().model_dump():
                frame = await read_frame(reader, MAX_END_BYTES)
        return StreamEnd.model_validate(frame)
    except (*_ENDED, FrameError, ValidationError, TimeoutError) as error:
        raise SandboxLost("The sandbox did not confirm what it was sent.") from error


def remote_error(fault: Fault) -> RemoteError:
    """The guest's fault as an error of ours; only its code and sentence are taken over."""
    error = RemoteError(fault.message[:2000])
    error.code = fault.code[:64]
    error.http_status = _STATUSES.get(error.code, RemoteError.http_status)
    return error
