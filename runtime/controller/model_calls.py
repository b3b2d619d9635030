"""The model calls of one run, wherever its loop runs.

Which model is called is the plan's choice, never the loop's. When the caller asked for an answer
of a certain form, or for a tool to be called, an answer that is not like that is asked for again,
at most `MAX_REPAIRS` times in a run. Nothing of such an answer is shown before it is accepted, so
that what was rejected is in no stream, no history and no `output_text`; only its tokens count.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import anyio.to_thread

from runtime.controller.answers import HeldAnswer, Objection, check_format, corrected, no_call
from runtime.controller.budgets import TokenBudget, estimated, said
from runtime.controller.delivery import references
from runtime.controller.plan import RunPlan
from runtime.controller.ports import Delivery, Model, ModelDirectory, NoDelivery
from runtime.schema.model import ModelDone, ModelPart, ModelRequest
from runtime.schema.usage import Usage

MAX_REPAIRS = 2


class ModelCalls:
    """Calls the model of a plan, and counts what that uses."""

    def __init__(
        self, plan: RunPlan, models: ModelDirectory, delivery: Delivery | None = None
    ) -> None:
        self._plan = plan
        self._models = models
        self._delivery = delivery or NoDelivery()
        self._granted = references(plan.spec.history)
        self._repairs_left = MAX_REPAIRS
        self._budget = TokenBudget(plan.spec.limits.max_total_tokens)
        self._one_at_a_time = anyio.Lock()
        self.usage = Usage()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """The parts of one answer, the last one a `ModelDone`.

        Calls wait for each other, so that no more than one can go beyond the budget of tokens.
        Raises `ModelFault`, and `LimitExceeded` when the budget is used up.
        """
        async with self._one_at_a_time, aclosing(self._stream(request)) as parts:
            async for part in parts:
                yield part

    async def _stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        model, name = self._models.resolve(self._plan.spec.model)
        update: dict[str, object] = {"model": name}
        if request.response_schema is not None:
            update["response_schema"] = self._plan.spec.response_schema
        asked = request.model_copy(update=update)
        asked = await self._delivery.deliver(asked, model, self._granted)
        parts = self._accepted if _demands(asked) else self._counted
        async with aclosing(parts(model, asked)) as stream:
            async for part in stream:
                yield part

    async def _counted(self, model: Model, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        self._budget.check(self.usage)
        characters = 0
        try:
            async with aclosing(model.stream(request)) as parts:
                async for part in parts:
                    characters += said(part)
                    self._budget.check_answer(self.usage, characters)
                    if isinstance(part, ModelDone):
                        part = part.model_copy(update={"usage": _with_context(part.usage)})
                        self.usage = self.usage + part.usage
                        characters = 0
                    yield part
        finally:
            # What was broken off is counted by nobody else.
            self.usage = self.usage + estimated(characters)

    async def _accepted(self, model: Model, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        asked, spent = request, Usage()
        while True:
            answer = HeldAnswer()
            async with aclosing(self._counted(model, asked)) as parts:
                async for part in parts:
                    for given in answer.take(part):
                        yield given
            spent = spent + answer.done.usage
            verdict = await _verdict(request, answer)
            if isinstance(verdict, str):
                for part in answer.release_as(verdict):
                    yield part
                yield answer.done.model_copy(update={"usage": spent})
                return
            if not self._repairs_left or not verdict.can_improve:
                raise verdict.fault
            self._repairs_left -= 1
            asked = corrected(asked, answer, verdict.correction)


def _with_context(usage: Usage) -> Usage:
    """The usage of one call; added up, only the last call says how full the context is."""
    told = usage.total_input_tokens + usage.total_output_tokens + usage.total_thought_tokens
    return usage.model_copy(update={"context_tokens": told or None})


def _demands(request: ModelRequest) -> bool:
    return request.response_schema is not None or _must_call(request)


def _must_call(request: ModelRequest) -> bool:
    return request.tool_choice.mode == "any" and bool(request.tools)


async def _verdict(request: ModelRequest, answer: HeldAnswer) -> str | Objection:
    """The text to give on, or why the answer is not accepted."""
    if not answer.is_whole:
        return answer.text
    if _must_call(request):
        return no_call(request)
    schema = request.response_schema
    assert schema is not None
    return await anyio.to_thread.run_sync(check_format, schema, answer.text)
