"""Compacts a conversation that becomes too long for its model, in a step that everybody sees."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from runtime.errors import ModelFault
from runtime.loop.compaction import SUMMARY_REQUEST, cut_plan, shortened, summary_plan
from runtime.loop.context import ContextMeter
from runtime.loop.history import repair
from runtime.loop.ports import ModelPort
from runtime.loop.writer import StepWriter
from runtime.schema.compaction import FIELD, Compaction, apply
from runtime.schema.content import TextContent
from runtime.schema.model import ModelDone, ModelRequest, TextPart, ToolChoice
from runtime.schema.steps import Step, UserInputStep
from runtime.schema.usage import Usage

CUT_TEXT = (
    "The conversation became too long for the model's context, and no summary of it could be made: "
    "older results of tools were shortened."
)
RETRY_GROWTH = 1.1
"""What could not be made shorter is tried again once it has grown by so much."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What came of it."""

    history: list[Step]
    usage: Usage


class Compactor:
    """Shortens the history of one run."""

    def __init__(self, model: ModelPort, writer: StepWriter, meter: ContextMeter) -> None:
        self._model = model
        self._writer = writer
        self._meter = meter
        self._hopeless_tokens = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the conversation takes more than it may."""
        used = self._meter.used_tokens
        return used >= self._meter.room_tokens and used > self._hopeless_tokens

    async def compact(
        self, request: ModelRequest, history: list[Step], before: Usage, *, refused: bool
    ) -> Compacted | None:
        """A shorter history, and what making it used; None when it cannot be made shorter.

        `request` is the call that is due, `before` the usage so far. `refused` says that the
        provider took the conversation no more.
        """
        if refused:
            self._meter.refused()
        scale = self._meter.scale(history)
        spent = Usage()
        plan = summary_plan(history, self._meter.room_tokens, scale)
        text = ""
        if plan is not None:
            # What does not fit for the call that is due does not fit for a summary either.
            shorten = self._meter.is_over
            text, spent = await self._summary(request, history, scale, shorten=shorten)
        if plan is None or not text:
            plan, text = cut_plan(history), CUT_TEXT
        if plan is None:
            self._hopeless_tokens = self._meter.used_tokens * RETRY_GROWTH
            return None
        made = apply(history, await self._write(plan, text, before + spent, spent), plan)
        self._meter.recount(made, scale)
        self._hopeless_tokens = self._meter.used_tokens * RETRY_GROWTH
        return Compacted(made, spent)

    async def _summary(
        self, request: ModelRequest, history: list[Step], scale: float, *, shorten: bool
    ) -> tuple[str, Usage]:
        """The model's summary, empty when it made none."""
        # As the next call would be, so that the provider has most of it in its cache.
        room = self._meter.room_tokens / 2
        told = shortened(history, room, scale) if shorten else history
        question = UserInputStep(content=[TextContent(text=SUMMARY_REQUEST)])
        asked = request.model_copy(
            update={
                "history": [*repair(told), question],
                "tool_choice": ToolChoice(mode="none"),
                "generation": request.generation.model_copy(
                    update={"max_output_tokens": None, "stop_sequences": None}
                ),
                "response_schema": None,
                "purpose": "summary",
            }
        )
        try:
            return await self._ask(asked)
        except ModelFault as fault:
            if fault.code != "context_length_exceeded" or shorten:
                return "", Usage()
        return await self._summary(request, history, scale, shorten=True)

    async def _ask(self, request: ModelRequest) -> tuple[str, Usage]:
        text, usage = "", Usage()
        async with aclosing(self._model.stream(request)) as parts:
            async for part in parts:
                if isinstance(part, TextPart):
                    text += part.text
                elif isinstance(part, ModelDone):
                    usage = part.usage
                    text = "" if part.reason == "refused" else text
        return text.strip(), usage

    async def _write(self, plan: Compaction, text: str, total: Usage, spent: Usage) -> Step:
        value: dict[str, Any] = plan.model_dump(exclude_defaults=True)
        value |= {"kind": plan.kind, "kept_steps": plan.kept_steps}
        await self._writer.start({"type": "thought", FIELD: value})
        await self._writer.delta(
            {"type": "thought_summary", "content": {"type": "text", "text": text}}
        )
        return await self._writer.stop(total, spent)
