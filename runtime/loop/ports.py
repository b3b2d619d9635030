"""The three things a loop needs; whoever runs one brings them along."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol

from runtime.schema.events import StepEvent
from runtime.schema.model import FunctionDeclaration, ModelPart, ModelRequest
from runtime.schema.steps import ToolCall, ToolResult

Emit = Callable[[str], Awaitable[None]]
"""Takes live text output of a tool; all of it together starts the text of the tool's result."""


class ModelPort(Protocol):
    """Something that answers model requests."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """The parts of one answer, the last one a `ModelDone`. Raises `ModelFault`."""
        ...


class Toolbox(Protocol):
    """The tools that a run may use."""

    @property
    def declarations(self) -> Sequence[FunctionDeclaration]:
        """Every tool, as the model is told of it; always in the same order."""
        ...

    def locate(self, call: ToolCall) -> ToolCall:
        """The call with its MCP server filled in, where the tool belongs to one."""
        ...

    async def run(self, call: ToolCall, emit: Emit) -> ToolResult:
        """Run one tool. Raises `ToolFault` for what the model should hear of as an error."""
        ...


class EventSink(Protocol):
    """Where the events of a run go."""

    async def emit(self, event: StepEvent) -> None:
        """Take one event; may hold it back shortly, to join small deltas."""
        ...

    async def flush(self) -> None:
        """Return when everything emitted so far is stored for good."""
        ...
