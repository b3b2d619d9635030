from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from runtime.controller.budgets import MAX_ANSWER_CHARS
from runtime.controller.model_calls import ModelCalls
from runtime.controller.plan import RunPlan
from runtime.errors import LimitExceeded, ModelFault, ResponseFormatMismatch, ToolChoiceIgnored
from runtime.models.port import ModelInfo
from runtime.schema.content import TextContent
from runtime.schema.model import (
    CallEnd,
    CallStart,
    FunctionDeclaration,
    ModelDone,
    ModelPart,
    ModelRequest,
    SignaturePart,
    TextPart,
    ThoughtPart,
    ToolChoice,
)
from runtime.schema.protocol import RunLimits, RunSpec
from runtime.schema.steps import CorrectionStep, ModelOutputStep, Step, UserInputStep
from runtime.schema.usage import Usage
from tests.unit.loop.doubles import PlayedModel

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
GOOD = '{"n": 1}'
HISTORY: list[Step] = [UserInputStep(content=[TextContent(text="How many?")])]


def says(*texts: str, tokens: int = 10, reason: Any = "stop") -> list[ModelPart]:
    done = ModelDone(reason=reason, usage=Usage(total_tokens=tokens))
    return [*(TextPart(text=text) for text in texts), done]


class OneModel:
    """A directory in which every name leads to the same model."""

    def __init__(self, model: PlayedModel) -> None:
        self._model = model

    def resolve(self, name: str) -> tuple[PlayedModel, str]:
        return self._model, f"played/{name}"


class Asked:
    """A model that plays turns, asked through `ModelCalls`."""

    def __init__(
        self, *turns: list[ModelPart], schema: Any = SCHEMA, tokens: int | None = None
    ) -> None:
        self.model = PlayedModel(*turns)
        spec = RunSpec(
            run_id="r",
            model="m",
            history=HISTORY,
            response_schema=schema,
            limits=RunLimits(max_total_tokens=tokens),
        )
        self.calls = ModelCalls(RunPlan(interaction_id="r", spec=spec), OneModel(self.model))
        self._schema = schema

    async def parts(self, **more: Any) -> list[ModelPart]:
        request = ModelRequest(
            model="hers", history=HISTORY, **{"response_schema": self._schema, **more}
        )
        return [part async for part in self.calls.stream(request)]


def text_of(parts: list[ModelPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


async def test_a_valid_answer_comes_as_the_model_gave_it() -> None:
    asked = Asked([ThoughtPart(text="hm"), SignaturePart(signature="a:b"), *says('{"n"', ": 1}")])
    parts = await asked.parts()
    assert [part.type for part in parts] == ["thought", "signature", "text", "text", "done"]
    assert text_of(parts) == GOOD
    assert asked.model.requests[0].model == "played/m", "the plan's model, not the loop's"


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"\n```\n{GOOD}\n```\n",
        f"Here it is:\n\n```json\n{GOOD}\n```\nAnything else?",
        f"  {GOOD}\n",
    ],
)
async def test_fences_are_left_out(text: str) -> None:
    parts = await Asked(says(text)).parts()
    assert json.loads(text_of(parts)) == {"n": 1}
    assert "`" not in text_of(parts)


async def test_a_fence_inside_of_a_json_text_is_the_models() -> None:
    answer = json.dumps({"md": "```json\n1\n```"})
    assert text_of(await Asked(says(answer), schema={"type": "object"}).parts()) == answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("about one", "$: is not JSON"),
        ("", "$: is not JSON: it is empty"),
        ('{"n": NaN}', "NaN is no JSON number"),
        ('{"n": 1e999}', "too large"),
        ('{"n": "1"}', "$.n: '1' is not of type 'integer'"),
        (f"```json\n{GOOD}\n```\n```json\n{GOOD}\n```", "$: is not JSON"),
        ("[" * 100_000, "$: is not JSON: it is nested too deeply"),
    ],
)
async def test_a_rejected_answer_is_asked_for_again_and_never_shown(answer: str, told: str) -> None:
    asked = Asked(says(answer), says(GOOD, tokens=5))
    parts = await asked.parts()
    assert text_of(parts) == GOOD
    _, again = asked.model.requests
    assert again.history[: len(HISTORY)] == HISTORY
    correction = again.history[-1]
    assert isinstance(correction, CorrectionStep) and told in str(correction.content)
    said = [step for step in again.history if isinstance(step, ModelOutputStep)]
    assert [step.content for step in said] == ([[TextContent(text=answer)]] if answer else [])
    done = parts[-1]
    assert isinstance(done, ModelDone) and done.usage.total_tokens == 15
    assert asked.calls.usage.total_tokens == 15


async def test_after_two_repairs_it_fails_and_says_where() -> None:
    asked = Asked(says("1"), says("2"), says('{"n": 1.5}'))
    with pytest.raises(ResponseFormatMismatch, match=r"\$\.n: 1\.5 is not of type 'integer'"):
        await asked.parts()
    assert len(asked.model.requests) == 3
    assert asked.calls.usage.total_tokens == 30


async def test_repairs_are_counted_over_the_whole_run() -> None:
    asked = Asked(says("1"), says(GOOD), says("2"), says("3"))
    assert text_of(await asked.parts()) == GOOD
    with pytest.raises(ResponseFormatMismatch):
        await asked.parts()
    assert len(asked.model.requests) == 4


async def test_a_turn_with_calls_is_not_the_answer() -> None:
    turn: list[ModelPart] = [
        TextPart(text="I look first."),
        CallStart(id="c", name="look"),
        CallEnd(),
        ModelDone(reason="calls"),
    ]
    parts = await Asked(turn).parts(tools=[FunctionDeclaration(name="look")])
    assert parts == turn


@pytest.mark.parametrize("reason", ["length", "refused"])
async def test_what_the_model_did_not_end_itself_is_not_judged(reason: str) -> None:
    assert text_of(await Asked(says('{"n', reason=reason)).parts()) == '{"n'


async def test_a_request_without_a_schema_is_not_held_to_the_plans() -> None:
    assert text_of(await Asked(says("a summary")).parts(response_schema=None)) == "a summary"


async def test_a_check_that_takes_too_long_fails_at_once() -> None:
    schema = {"type": "string", "pattern": "^(a|a)*$"}
    asked = Asked(says(json.dumps("a" * 40 + "!")), schema=schema)
    with pytest.raises(ResponseFormatMismatch, match="takes too long"):
        await asked.parts()
    assert len(asked.model.requests) == 1


TOOLS = [FunctionDeclaration(name="look"), FunctionDeclaration(name="listen")]
CALL: list[ModelPart] = [CallStart(id="c", name="look"), CallEnd(), ModelDone(reason="calls")]


async def test_a_model_that_must_call_and_only_talks_is_asked_again() -> None:
    asked = Asked(says("no"), CALL, schema=None)
    parts = await asked.parts(tools=TOOLS, tool_choice=ToolChoice(mode="any", names=["look"]))
    assert [part.type for part in parts] == ["call_start", "call_end", "done"]
    told = str(asked.model.requests[1].history[-1])
    assert "look" in told and "listen" not in told


async def test_a_model_that_never_calls_fails_the_run() -> None:
    asked = Asked(says("no"), says("no"), says("no"), schema=None)
    with pytest.raises(ToolChoiceIgnored, match="tool_choice is 'any'"):
        await asked.parts(tools=TOOLS, tool_choice=ToolChoice(mode="any"))


class Endless:
    """A model that never stops; it can be asked how much of it was taken."""

    def __init__(self) -> None:
        self.given = 0

    def resolve(self, name: str) -> tuple[Endless, str]:
        return self, name

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("m", "endless/m", "endless")

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        while True:
            self.given += 1
            await anyio.lowlevel.checkpoint()
            yield TextPart(text="x" * 1000)


def endless(tokens: int | None) -> tuple[Endless, ModelCalls]:
    model = Endless()
    limits = RunLimits(max_total_tokens=tokens)
    spec = RunSpec(run_id="r", model="m", history=HISTORY, limits=limits)
    return model, ModelCalls(RunPlan(interaction_id="r", spec=spec), model)


async def taken(calls: ModelCalls) -> list[ModelPart]:
    return [part async for part in calls.stream(ModelRequest(model="m", history=HISTORY))]


@pytest.mark.parametrize(("budget", "calls"), [(10, 1), (11, 2), (20, 2), (None, 3)])
async def test_a_budget_is_checked_before_each_call(budget: int | None, calls: int) -> None:
    asked = Asked(*[says("hi")] * 3, schema=None, tokens=budget)
    for _ in range(calls):
        await asked.parts()
    assert asked.calls.usage.total_tokens == 10 * calls
    if budget is not None:
        with pytest.raises(LimitExceeded, match=f"budget of {budget} tokens") as caught:
            await asked.parts()
        assert caught.value.code == "token_limit"
    assert len(asked.model.requests) == calls, "the model was not asked any more"


async def test_calls_at_once_go_beyond_the_budget_by_one_at_most() -> None:
    asked = Asked(*[says("hi")] * 8, schema=None, tokens=10)
    refused: list[str] = []

    async def ask() -> None:
        try:
            await asked.parts()
        except LimitExceeded as limit:
            refused.append(limit.code)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask)
    assert len(asked.model.requests) == 1 and len(refused) == 7


async def test_an_answer_without_an_end_ends_with_the_budget_and_is_counted() -> None:
    model, calls = endless(1000)
    with anyio.fail_after(30), pytest.raises(LimitExceeded, match="budget of 1000 tokens"):
        await taken(calls)
    assert model.given < 20
    assert calls.usage.total_tokens >= 1000


async def test_an_answer_without_an_end_ends_without_a_budget_too() -> None:
    model, calls = endless(None)
    with anyio.fail_after(30), pytest.raises(ModelFault, match="longer than"):
        await taken(calls)
    assert model.given == MAX_ANSWER_CHARS // 1000 + 1
