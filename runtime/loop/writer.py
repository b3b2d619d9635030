"""Turns what happens in a run into step events, and the same into history steps."""

from __future__ import annotations

from typing import Any

from runtime.loop.ports import EventSink
from runtime.schema.content import TextContent
from runtime.schema.events import StepDelta, StepStart, StepStop, fold
from runtime.schema.steps import STEP, Step, ToolCall, ToolResult, call_step, result_step
from runtime.schema.usage import Usage

_WHOLE_ARGUMENTS = frozenset({"code_execution", "google_search", "url_context"})


class StepWriter:
    """Writes one step after another: `start`, deltas, `stop`. Indexes are dense from 0."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._next_index = 0
        self._open: list[dict[str, Any]] = []

    @property
    def is_open(self) -> bool:
        """Whether a step was started and not stopped."""
        return bool(self._open)

    @property
    def begun(self) -> int:
        """How many steps were started."""
        return self._next_index

    @property
    def open_type(self) -> str | None:
        """The type of the open step."""
        return self._open[0]["step"]["type"] if self._open else None

    async def start(self, step: dict[str, Any]) -> None:
        """Begin a step, with what is known of it before its content."""
        event = StepStart(index=self._next_index, step=step)
        self._next_index += 1
        self._open = [event.model_dump()]
        await self._sink.emit(event)

    async def delta(self, delta: dict[str, Any]) -> None:
        """Add to the open step."""
        event = StepDelta(index=self._next_index - 1, delta=delta)
        self._open.append(event.model_dump())
        await self._sink.emit(event)

    async def stop(self, usage: Usage | None = None, step_usage: Usage | None = None) -> Step:
        """End the open step and return it as a piece of history."""
        event = StepStop(index=self._next_index - 1, usage=usage, step_usage=step_usage)
        await self._sink.emit(event)
        (step,) = fold(self._open)
        self._open = []
        return STEP.validate_python(step)

    async def start_call(self, call_id: str, name: str, server: str | None) -> None:
        """Begin the step of a tool call; its arguments follow as deltas."""
        bare = call_step(ToolCall(call_id, name, {}, server))
        await self.start(bare.model_dump(exclude_none=True))

    async def call_arguments(self, call: ToolCall) -> None:
        """Give the arguments of the open call whole, for kinds of call that do not stream them."""
        if call.server is not None:
            await self.delta(
                {
                    "type": "mcp_server_tool_call",
                    "name": call.name,
                    "server_name": call.server,
                    "arguments": call.arguments,
                }
            )
        elif call.name in _WHOLE_ARGUMENTS:
            await self.delta({"type": f"{call.name}_call", "arguments": call.arguments})

    @staticmethod
    def streams_arguments(name: str, server: str | None) -> bool:
        """Whether fragments of the arguments are shown as they come."""
        return server is None and name not in _WHOLE_ARGUMENTS


class ResultWriter:
    """Writes the result of one tool call: live text first, then the rest of the result."""

    def __init__(self, writer: StepWriter, call: ToolCall) -> None:
        self._writer = writer
        self._call = call
        self._emitted = ""

    async def emit(self, text: str) -> None:
        """Live output. Only code execution shows it; other results come whole."""
        if not text or self._call.name != "code_execution" or self._call.server:
            return
        await self._begin()
        self._emitted += text
        await self._writer.delta(
            {"type": "code_execution_result", "result": text, "is_error": False}
        )

    async def finish(self, result: ToolResult) -> Step:
        """The rest of the result; returns the step for the history."""
        await self._begin()
        whole = result_step(self._call, result)
        if whole.type == "code_execution_result":
            await self._finish_code(result)
        else:
            await self._writer.delta(
                {
                    **whole.model_dump(exclude_none=True, exclude={"call_id"}),
                    "is_error": result.is_error,
                }
            )
        return await self._writer.stop()

    async def _finish_code(self, result: ToolResult) -> None:
        text = result.text
        rest = text[len(self._emitted) :] if text.startswith(self._emitted) else f"\n{text}"
        if rest or result.is_error or not self._emitted:
            await self._writer.delta(
                {"type": "code_execution_result", "result": rest, "is_error": result.is_error}
            )
        for part in result.content:
            if not isinstance(part, TextContent):
                await self._writer.delta(part.model_dump(exclude_none=True))

    async def _begin(self) -> None:
        if self._writer.is_open:
            return
        bare = result_step(self._call, ToolResult()).model_dump(
            exclude_none=True, exclude={"result"}
        )
        await self._writer.start(bare)
