"""Calls between the supervisor and a service process (hands, browser) over a pair of sockets.

One socket carries frames both ways, the other passes file descriptors for byte streams. Requests
are `{id, kind, name, arguments}` with kind `call`, `operate`, `stream` or `cancel`; answers are
any number of `{id, text}` and one of `{id, result}`, `{id, value}` or `{id, error}`.
The service may ask back, `{ask, name, arguments}`, and gets `{answer, value}` or `{answer, error}`.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import anyio
from anyio.abc import TaskGroup, UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectSendStream

from runtime.errors import SandboxLost, SandlotError, ToolFault
from runtime.schema.content import Content
from runtime.schema.framing import FrameError, encode_frame, read_frame
from runtime.schema.steps import CONTENTS, ToolResult

STREAM_ENDED = (
    anyio.IncompleteRead,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""What reading raises when the other side is gone, or when we hung up ourselves."""

CANCEL_GRACE_SECONDS = 1.5
"""How long a cancelled call may take to stop before its process is given up."""

Emit = Callable[[str], Awaitable[None]]
Asked = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Answers what the service asks back: name and arguments to a value. Raises `SandlotError`."""


@dataclass(frozen=True, slots=True)
class Ends:
    """One side of a channel: the socket for frames and the one for descriptors."""

    frames: socket.socket
    descriptors: socket.socket


def open_ends() -> tuple[Ends, Ends]:
    """A connected pair of sides."""
    frames, descriptors = socket.socketpair(), socket.socketpair()
    return Ends(frames[0], descriptors[0]), Ends(frames[1], descriptors[1])


@dataclass(frozen=True, slots=True)
class Handed:
    """A byte-stream connection that is handed to a service."""

    descriptor: int
    stream_id: str


class ChannelClosed(SandboxLost):
    """The service process is gone."""

    code = "sandbox_process_lost"


class Channel:
    """The supervisor's side. `run` must be running in a task while calls are made."""

    def __init__(
        self, frames: UNIXSocketStream, descriptors: UNIXSocketStream, asked: Asked
    ) -> None:
        self._frames = frames
        self._descriptors = descriptors
        self._asked = asked
        self._ids = count(1)
        self._waiting: dict[int, MemoryObjectSendStream[dict[str, Any]]] = {}
        self._send_lock = anyio.Lock()
        self._closed = False

    @classmethod
    async def over(cls, ends: Ends, asked: Asked) -> Channel:
        """The channel over one side of a pair."""
        frames = await UNIXSocketStream.from_socket(ends.frames)
        return cls(frames, await UNIXSocketStream.from_socket(ends.descriptors), asked)

    @property
    def is_closed(self) -> bool:
        """Whether the service is gone."""
        return self._closed

    async def run(self) -> None:
        """Hand answers to those who wait, until the service ends."""
        async with anyio.create_task_group() as tasks:
            try:
                await self._read(tasks)
            except (*STREAM_ENDED, FrameError):
                tasks.cancel_scope.cancel()
            finally:
                self._closed = True
                for waiting in list(self._waiting.values()):
                    waiting.close()

    async def _read(self, tasks: TaskGroup) -> None:
        reader = BufferedByteReceiveStream(self._frames)
        while True:
            message = await read_frame(reader)
            if "ask" in message:
                tasks.start_soon(self._answer, message)
                continue
            waiting = self._waiting.get(message.get("id", 0))
            if waiting is not None:
                await waiting.send(message)

    async def _answer(self, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"answer": message["ask"]}
        try:
            answer["value"] = await self._asked(message["name"], message["arguments"])
        except SandlotError as error:
            answer["error"] = {"code": error.code, "message": error.message}
        await self._send(answer)

    async def call(self, name: str, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Run a tool. Raises `ToolFault` for its errors, `ChannelClosed` when the process died.

        When cancelled, the tool is told and given `CANCEL_GRACE_SECONDS` to stop.
        """
        answer = await self._ask("call", {"name": name, "arguments": arguments}, emit)
        content: list[Content] = CONTENTS.validate_python(answer["result"]["content"])
        return ToolResult(content, bool(answer["result"]["is_error"]))

    async def operate(self, name: str, arguments: dict[str, Any]) -> Any:
        """Do a small thing and return its value. Raises as `call` does."""
        call = {"name": name, "arguments": arguments}
        return (await self._ask("operate", call, _ignore))["value"]

    async def stream(
        self, name: str, arguments: dict[str, Any], handed: Handed, introduced: Emit
    ) -> Any:
        """Hand over a connection and let the service fill or read it; returns at its end.

        The service writes the hello frame itself, so that no byte can overtake it; `introduced`
        is called when it has.
        """
        request_id = next(self._ids)
        await self._descriptors.send_fds(request_id.to_bytes(8, "big"), [handed.descriptor])
        call = {"name": name, "arguments": arguments, "stream_id": handed.stream_id}
        answer = await self._ask("stream", call, introduced, request_id)
        return answer["value"]

    async def _ask(
        self,
        kind: str,
        call: dict[str, Any],
        emit: Emit,
        request_id: int | None = None,
    ) -> dict[str, Any]:
        request_id = request_id or next(self._ids)
        send, receive = anyio.create_memory_object_stream[dict[str, Any]](math.inf)
        self._waiting[request_id] = send
        try:
            await self._send({"id": request_id, "kind": kind, **call})
            async for message in receive:
                if "text" in message:
                    await emit(message["text"])
                elif "error" in message:
                    raise fault_from(message["error"])
                else:
                    return message
        except anyio.get_cancelled_exc_class():
            await self._cancel(request_id, receive)
            raise
        finally:
            del self._waiting[request_id]
            send.close()
            receive.close()
        raise ChannelClosed("The process that runs the tools died in the middle of a call.")

    async def _cancel(self, request_id: int, receive: Any) -> None:
        with anyio.move_on_after(CANCEL_GRACE_SECONDS, shield=True) as scope:
            await self._send({"id": request_id, "kind": "cancel"})
            async for message in receive:
                if "text" not in message:
                    return
        if scope.cancelled_caught:
            await self._frames.aclose()

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with self._send_lock:
                await self._frames.send(encode_frame(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ChannelClosed("The process that runs the tools is gone.") from error

    async def aclose(self) -> None:
        """Hang up; the service ends."""
        self._closed = True
        await self._frames.aclose()
        await self._descriptors.aclose()


async def _ignore(text: str) -> None:
    return None


def fault_from(error: dict[str, Any]) -> SandlotError:
    """The error that a `{code, message}` object describes."""
    fault = ToolFault(str(error.get("message", "")))
    fault.code = str(error.get("code", fault.code))
    return fault
