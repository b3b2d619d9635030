"""What the guest has done by the controller: model calls and relayed tools."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from itertools import count

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from runtime.errors import ContextExceeded, LimitExceeded, ModelFault
from runtime.guest.link import Link
from runtime.schema.framing import FrameError
from runtime.schema.model import ModelDone, ModelPart, ModelRequest
from runtime.schema.protocol import (
    GUEST_FRAME_BYTES,
    Fault,
    ModelCall,
    ModelCallCancel,
    ModelCallFailed,
    ModelParts,
    RelayCall,
    RelayResult,
)
from runtime.schema.steps import CONTENTS, ToolResult


class RemoteModel:
    """A model behind the gateway; keys and providers stay there."""

    def __init__(self, link: Link, run_id: str) -> None:
        self._link = link
        self._run_id = run_id
        self._numbers = count(1)
        self._waiting: dict[str, MemoryObjectSendStream[ModelParts | ModelCallFailed]] = {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """The parts of the answer. Raises `ModelFault` and `LimitExceeded` as it is told to."""
        call_id = f"{self._run_id}.m{next(self._numbers)}"
        send, receive = anyio.create_memory_object_stream[ModelParts | ModelCallFailed](math.inf)
        self._waiting[call_id] = send
        finished = False
        try:
            await self._ask(ModelCall(run_id=self._run_id, call_id=call_id, request=request))
            async for message in receive:
                if isinstance(message, ModelCallFailed):
                    finished = True
                    raise _model_fault(message.error)
                for part in message.parts:
                    yield part
                    if isinstance(part, ModelDone):
                        finished = True
                        return
        finally:
            del self._waiting[call_id]
            send.close()
            receive.close()
            if not finished:
                with anyio.CancelScope(shield=True):
                    await self._link.send(ModelCallCancel(call_id=call_id))

    async def _ask(self, call: ModelCall) -> None:
        try:
            await self._link.send(call)
        except FrameError as error:
            size = GUEST_FRAME_BYTES // 1024**2
            raise ContextExceeded(
                f"The conversation, with the pictures in it, takes more than {size} MiB."
            ) from error

    async def deliver(self, message: ModelParts | ModelCallFailed) -> None:
        """Hand an answer to the call that waits for it; a late one is dropped."""
        waiting = self._waiting.get(message.call_id)
        if waiting is not None:
            await waiting.send(message)

    async def connection_lost(self) -> None:
        """Fail every call that waits: its answer went down with the connection."""
        fault = Fault(code="model_unavailable", message="The controller restarted.")
        for call_id, waiting in list(self._waiting.items()):
            await waiting.send(ModelCallFailed(call_id=call_id, error=fault))


class Relay:
    """Tools that the controller runs."""

    def __init__(self, link: Link, run_id: str) -> None:
        self._link = link
        self._run_id = run_id
        self._numbers = count(1)
        self._waiting: dict[str, MemoryObjectSendStream[RelayResult]] = {}

    async def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        """Run the tool and wait for its result."""
        call_id = f"{self._run_id}.t{next(self._numbers)}"
        send, receive = anyio.create_memory_object_stream[RelayResult](1)
        self._waiting[call_id] = send
        try:
            message = RelayCall(
                run_id=self._run_id, call_id=call_id, name=name, arguments=arguments
            )
            await self._link.send(message)
            result = await receive.receive()
        finally:
            del self._waiting[call_id]
            send.close()
            receive.close()
        content = CONTENTS.validate_python(result.content)
        return ToolResult(content, result.is_error, result.value)

    async def deliver(self, message: RelayResult) -> None:
        """Hand a result to the call that waits for it; a late one is dropped."""
        waiting = self._waiting.get(message.call_id)
        if waiting is not None:
            await waiting.send(message)


def _model_fault(error: Fault) -> ModelFault | LimitExceeded:
    is_limit = error.code.endswith("_limit")
    fault = LimitExceeded(error.message) if is_limit else ModelFault(error.message)
    fault.code = error.code
    return fault
