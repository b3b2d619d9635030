"""A model that plays given turns, a toolbox of plain functions, a sink that keeps events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from runtime.errors import ToolFault
from runtime.loop.ports import Emit
from runtime.schema.events import StepEvent, fold
from runtime.schema.model import FunctionDeclaration, ModelPart, ModelRequest
from runtime.schema.steps import ToolCall, ToolResult


class PlayedModel:
    def __init__(self, *turns: list[ModelPart] | Exception) -> None:
        self._turns = list(turns)
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        self.requests.append(request)
        turn = self._turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        for part in turn:
            yield part


class FunctionToolbox:
    def __init__(self, **tools: Callable[..., Any]) -> None:
        self._tools = tools
        self.ran: list[ToolCall] = []

    @property
    def declarations(self) -> Sequence[FunctionDeclaration]:
        return [FunctionDeclaration(name=name) for name in self._tools]

    def locate(self, call: ToolCall) -> ToolCall:
        return call

    async def run(self, call: ToolCall, emit: Emit) -> ToolResult:
        self.ran.append(call)
        if call.name not in self._tools:
            raise ToolFault(f"There is no tool {call.name}.")
        return await self._tools[call.name](emit, **call.arguments)


class KeptEvents:
    def __init__(self) -> None:
        self.events: list[StepEvent] = []
        self.flushed_at: list[int] = []

    async def emit(self, event: StepEvent) -> None:
        self.events.append(event)

    async def flush(self) -> None:
        self.flushed_at.append(len(self.events))

    def steps(self) -> list[dict[str, Any]]:
        return fold([event.model_dump(exclude_none=True) for event in self.events])
