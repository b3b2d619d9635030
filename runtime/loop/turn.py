"""One model turn: the streamed parts of an answer become steps, and the calls in it are found."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import dataclass, field

from runtime.loop.ports import ModelPort, Toolbox
from runtime.loop.writer import StepWriter
from runtime.schema.model import (
    CallArguments,
    CallEnd,
    CallStart,
    ModelDone,
    ModelPart,
    ModelRequest,
    SignaturePart,
    TextPart,
    ThoughtPart,
)
from runtime.schema.steps import Step, ToolCall
from runtime.schema.usage import Usage


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A tool call of the model; `problem` says why its arguments could not be read."""

    call: ToolCall
    problem: str | None = None


@dataclass(slots=True)
class Turn:
    """What one model call came to."""

    steps: list[Step] = field(default_factory=list[Step])
    calls: list[AskedCall] = field(default_factory=list[AskedCall])
    done: ModelDone = field(default_factory=ModelDone)


class TurnReader:
    """Reads the parts of one answer into a `Turn`, writing events on the way."""

    def __init__(self, writer: StepWriter, toolbox: Toolbox, usage_before: Usage) -> None:
        self._writer = writer
        self._toolbox = toolbox
        self._usage_before = usage_before
        self._turn = Turn()
        self._call = ToolCall("", "", {})
        self._arguments = ""

    async def read(self, model: ModelPort, request: ModelRequest) -> Turn:
        """Call the model and read the whole answer. Raises `ModelFault`."""
        async with aclosing(model.stream(request)) as parts:
            async for part in parts:
                await self._take(part)
        return self._turn

    async def _take(self, part: ModelPart) -> None:
        match part:
            case TextPart():
                await self._switch_to("model_output")
                await self._writer.delta({"type": "text", "text": part.text})
            case ThoughtPart():
                await self._switch_to("thought")
                await self._writer.delta(
                    {"type": "thought_summary", "content": {"type": "text", "text": part.text}}
                )
            case SignaturePart():
                await self._switch_to("thought")
                await self._writer.delta({"type": "thought_signature", "signature": part.signature})
                await self._close()
            case CallStart():
                await self._start_call(part)
            case CallArguments():
                await self._take_arguments(part.fragment)
            case CallEnd():
                await self._end_call()
            case ModelDone():
                await self._finish(part)

    async def _switch_to(self, kind: str) -> None:
        if self._writer.open_type != kind:
            await self._close()
            await self._writer.start({"type": kind})

    async def _close(self, usage: Usage | None = None, step_usage: Usage | None = None) -> None:
        if self._writer.is_open:
            self._turn.steps.append(await self._writer.stop(usage, step_usage))

    async def _start_call(self, part: CallStart) -> None:
        await self._close()
        self._call = self._toolbox.locate(ToolCall(part.id, part.name, {}))
        self._arguments = ""
        await self._writer.start_call(self._call.id, self._call.name, self._call.server)

    async def _take_arguments(self, fragment: str) -> None:
        self._arguments += fragment
        if fragment and self._writer.streams_arguments(self._call.name, self._call.server):
            await self._writer.delta({"type": "arguments_delta", "arguments": fragment})

    async def _end_call(self) -> None:
        arguments, problem = _parse_arguments(self._arguments)
        call = ToolCall(self._call.id, self._call.name, arguments, self._call.server)
        await self._writer.call_arguments(call)
        self._turn.calls.append(AskedCall(call, problem))

    async def _finish(self, done: ModelDone) -> None:
        self._turn.done = done
        await self._close(self._usage_before + done.usage, done.usage)


def _parse_arguments(text: str) -> tuple[dict[str, object], str | None]:
    if not text.strip():
        return {}, None
    try:
        value = json.loads(text)
    except ValueError as error:
        return {}, f"The arguments are not valid JSON ({error}). Send the call again."
    if not isinstance(value, dict):
        return {}, "The arguments must be a JSON object. Send the call again."
    return value, None
