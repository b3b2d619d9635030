"""The other side of a channel: hosts tools and operations in a process of their own."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import anyio
from anyio.abc import TaskGroup, UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from runtime.errors import SandboxLost, SandlotError
from runtime.guest.channel import STREAM_ENDED, Emit, Ends, fault_from
from runtime.guest.tools import Tool
from runtime.schema.framing import FrameError, encode_frame, read_frame
from runtime.schema.protocol import StreamHello

Operation = Callable[[dict[str, Any]], Awaitable[Any]]
Started = Callable[[dict[str, Any]], Awaitable[None]]
StreamOperation = Callable[[dict[str, Any], socket.socket, Started], Awaitable[Any]]
"""Gets arguments, a connected socket, and `started(info)`, to be called before the first byte."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a service can do, by name."""

    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    operations: Mapping[str, Operation] = field(default_factory=dict[str, Operation])
    streams: Mapping[str, StreamOperation] = field(default_factory=dict[str, StreamOperation])


class Service:
    """Serves one channel until the supervisor hangs up."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._running: dict[int, anyio.CancelScope] = {}
        self._descriptors: dict[int, int] = {}
        self._arrived = anyio.Condition()
        self._send_lock = anyio.Lock()
        self._asks = count(1)
        self._answers: dict[int, MemoryObjectSendStream[dict[str, Any]]] = {}
        self._frames: UNIXSocketStream | None = None

    async def ask(self, name: str, arguments: dict[str, Any]) -> Any:
        """Ask the supervisor for something. Raises `SandlotError` when it declines."""
        assert self._frames is not None, "the service is not serving"
        number = next(self._asks)
        send, receive = anyio.create_memory_object_stream[dict[str, Any]](1)
        self._answers[number] = send
        try:
            request = {"ask": number, "name": name, "arguments": arguments}
            await self._send(self._frames, request)
            answer = await receive.receive()
        finally:
            del self._answers[number]
            send.close()
            receive.close()
        if "error" in answer:
            raise fault_from(answer["error"])
        return answer.get("value")

    async def serve(self, ends: Ends) -> None:
        """Answer requests; returns when the other side closes."""
        self._frames = frames = await UNIXSocketStream.from_socket(ends.frames)
        descriptors = await UNIXSocketStream.from_socket(ends.descriptors)
        reader = BufferedByteReceiveStream(frames)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive_descriptors, descriptors)
            try:
                while True:
                    self._dispatch(await read_frame(reader), frames, tasks)
            except (*STREAM_ENDED, FrameError):
                tasks.cancel_scope.cancel()

    def _dispatch(
        self, request: dict[str, Any], frames: UNIXSocketStream, tasks: TaskGroup
    ) -> None:
        if "answer" in request:
            waiting = self._answers.get(request["answer"])
            if waiting is not None:
                waiting.send_nowait(request)
            return
        request_id = request["id"]
        if request["kind"] != "cancel":
            # Its cancellation may be the next frame, before the task has begun.
            self._running[request_id] = anyio.CancelScope()
            tasks.start_soon(self._answer, request, frames)
        elif request_id in self._running:
            self._running[request_id].cancel()
        else:
            # Cancelled before it was sent, or answered by now: the other side waits for a word.
            tasks.start_soon(self._send, frames, _cancelled(request_id))

    async def _answer(self, request: dict[str, Any], frames: UNIXSocketStream) -> None:
        request_id = request["id"]
        answer = _cancelled(request_id)
        with self._running[request_id]:
            answer = {"id": request_id, **await self._outcome(request, frames)}
        del self._running[request_id]
        await self._send(frames, answer)

    async def _outcome(self, request: dict[str, Any], frames: UNIXSocketStream) -> dict[str, Any]:
        try:
            return await self._perform(request, frames)
        except SandlotError as error:
            return {"error": {"code": error.code, "message": error.message}}
        except Exception as error:  # noqa: BLE001 - the boundary between a tool and the loop
            name = type(error).__name__
            return {"error": {"code": "internal", "message": f"The tool failed: {name}: {error}"}}

    async def _perform(self, request: dict[str, Any], frames: UNIXSocketStream) -> dict[str, Any]:
        name, arguments = request["name"], request["arguments"]

        async def emit(text: str) -> None:
            await self._send(frames, {"id": request["id"], "text": text})

        match request["kind"]:
            case "call":
                result = await self._offer.tools[name](arguments, emit)
                content = [part.model_dump(exclude_none=True) for part in result.content]
                return {"result": {"content": content, "is_error": result.is_error}}
            case "operate":
                return {"value": await self._offer.operations[name](arguments)}
            case _:
                return {"value": await self._stream(request, emit)}

    async def _stream(self, request: dict[str, Any], emit: Emit) -> Any:
        request_id = request["id"]
        async with self._arrived:
            while request_id not in self._descriptors:
                await self._arrived.wait()
        connection = socket.socket(fileno=self._descriptors.pop(request_id))

        async def started(info: dict[str, Any]) -> None:
            hello = StreamHello(stream_id=request["stream_id"], info=info)
            await _send_all(connection, encode_frame(hello.model_dump(exclude_none=True)))
            await emit("introduced")

        with connection:
            operation = self._offer.streams[request["name"]]
            return await operation(request["arguments"], connection, started)

    async def _receive_descriptors(self, stream: UNIXSocketStream) -> None:
        while True:
            try:
                tag, descriptors = await stream.receive_fds(8, 1)
            except STREAM_ENDED:
                return
            async with self._arrived:
                self._descriptors[int.from_bytes(tag, "big")] = descriptors[0]
                self._arrived.notify_all()
            for extra in descriptors[1:]:
                os.close(extra)

    async def _send(self, frames: UNIXSocketStream, message: dict[str, Any]) -> None:
        async with self._send_lock:
            await frames.send(encode_frame(message))


def _cancelled(request_id: int) -> dict[str, Any]:
    return {
        "id": request_id,
        "error": {"code": "cancelled", "message": "The call was cancelled."},
    }


async def _send_all(connection: socket.socket, data: bytes) -> None:
    while data:
        await anyio.wait_writable(connection)
        try:
            data = data[connection.send(data) :]
        except BlockingIOError:
            continue
        except OSError as error:
            raise SandboxLost(f"The other side of the stream is gone: {error}.") from error
