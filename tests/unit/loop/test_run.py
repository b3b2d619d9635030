from __future__ import annotations

from typing import Any

import anyio
import pytest

from runtime.errors import ModelUnavailable, ToolFault
from runtime.loop.history import LOST, repair
from runtime.loop.run import Run
from runtime.schema.content import ImageContent, TextContent
from runtime.schema.model import (
    CallArguments,
    CallEnd,
    CallStart,
    FunctionDeclaration,
    ModelDone,
    ModelPart,
    SignaturePart,
    TextPart,
    ThoughtPart,
    ToolChoice,
)
from runtime.schema.protocol import RunLimits, RunOutcome, RunSpec
from runtime.schema.steps import STEPS, ToolResult, as_result, text_result
from runtime.schema.usage import Usage
from tests.unit.loop.doubles import FunctionToolbox, KeptEvents, PlayedModel

pytestmark = pytest.mark.anyio

ANSWER: list[ModelPart] = [TextPart(text="do"), TextPart(text="ne"), ModelDone()]


def call(name: str, arguments: str = "{}", call_id: str = "c1") -> list[ModelPart]:
    return [CallStart(id=call_id, name=name), CallArguments(fragment=arguments), CallEnd()]


def spec(**more: Any) -> RunSpec:
    history = STEPS.validate_python(
        [{"type": "user_input", "content": [{"type": "text", "text": "hi"}]}]
    )
    return RunSpec(run_id="run_1", model="m", history=history, **more)


async def execute(
    model: PlayedModel, toolbox: FunctionToolbox | None = None, **more: Any
) -> tuple[RunOutcome, KeptEvents]:
    sink = KeptEvents()
    outcome = await Run(spec(**more), model, toolbox or FunctionToolbox(), sink).execute()
    return outcome, sink


async def echo(emit: Any, **arguments: Any) -> ToolResult:
    return text_result(f"got {sorted(arguments.items())}")


async def test_an_answer_ends_the_run() -> None:
    outcome, sink = await execute(PlayedModel(ANSWER))
    assert outcome.status == "completed"
    assert sink.steps() == [{"type": "model_output", "content": [{"type": "text", "text": "done"}]}]


async def test_several_calls_of_a_turn_run_in_order_and_reach_the_model() -> None:
    toolbox = FunctionToolbox(echo=echo)
    first = [*call("echo", '{"a": 1}', "c1"), *call("echo", '{"a": 2}', "c2"), ModelDone()]
    model = PlayedModel(first, ANSWER)
    outcome, sink = await execute(model, toolbox)
    assert outcome.status == "completed"
    assert [ran.arguments for ran in toolbox.ran] == [{"a": 1}, {"a": 2}]
    kinds = [step["type"] for step in sink.steps()]
    assert kinds == ["function_call"] * 2 + ["function_result"] * 2 + ["model_output"]
    assert [step.type for step in model.requests[1].history] == ["user_input", *kinds[:4]]


async def test_calls_are_stored_before_their_tools_run() -> None:
    seen: list[int] = []
    sink = KeptEvents()

    async def look(emit: Any) -> ToolResult:
        seen.append(sink.flushed_at[-1])
        return text_result("ok")

    model = PlayedModel([*call("look"), ModelDone()], ANSWER)
    await Run(spec(), model, FunctionToolbox(look=look), sink).execute()
    assert seen == [3], "start, arguments and stop of the call were flushed"


async def test_a_tool_error_goes_back_to_the_model() -> None:
    async def broken(emit: Any) -> ToolResult:
        raise ToolFault("no such file")

    model = PlayedModel([*call("broken"), *call("nothing", "{}", "c2"), ModelDone()], ANSWER)
    outcome, _ = await execute(model, FunctionToolbox(broken=broken))
    assert outcome.status == "completed"
    results = [found[1] for step in model.requests[1].history if (found := as_result(step))]
    assert [(one.is_error, one.text) for one in results] == [
        (True, "no such file"),
        (True, "There is no tool `nothing`. The tools are: broken."),
    ]


async def test_arguments_that_are_not_json_are_answered_not_run() -> None:
    toolbox = FunctionToolbox(echo=echo)
    model = PlayedModel([*call("echo", '{"a": '), ModelDone()], ANSWER)
    outcome, _ = await execute(model, toolbox)
    assert outcome.status == "completed" and toolbox.ran == []
    (result,) = [found[1] for step in model.requests[1].history if (found := as_result(step))]
    assert result.is_error and "not valid JSON" in result.text


async def test_code_output_streams_and_its_rest_follows() -> None:
    async def code(emit: Any, code: str) -> ToolResult:
        await emit("one\n")
        picture = ImageContent(data="aGk=", mime_type="image/png")
        return ToolResult([TextContent(text="one\ntwo\n"), picture])

    model = PlayedModel([*call("code_execution", '{"code": "x"}'), ModelDone()], ANSWER)
    _, sink = await execute(model, FunctionToolbox(code_execution=code))
    call_step, result, _ = sink.steps()
    assert call_step["type"] == "code_execution_call" and call_step["arguments"] == {"code": "x"}
    assert result["result"] == [
        {"type": "text", "text": "one\ntwo\n"},
        {"type": "image", "data": "aGk=", "mime_type": "image/png"},
    ]


async def test_a_call_of_the_callers_function_waits_for_the_caller() -> None:
    toolbox = FunctionToolbox(echo=echo)
    turn = [*call("weather", '{"city": "Lima"}', "c1"), *call("echo", "{}", "c2"), ModelDone()]
    outcome, sink = await execute(
        PlayedModel(turn), toolbox, client_functions=[FunctionDeclaration(name="weather")]
    )
    assert outcome.status == "requires_action"
    steps = sink.steps()
    assert [step["type"] for step in steps] == ["function_call", "function_call", "function_result"]
    assert steps[0]["arguments"] == {"city": "Lima"} and steps[2]["call_id"] == "c2"


async def test_thoughts_keep_their_signature() -> None:
    turn: list[ModelPart] = [
        ThoughtPart(text="hm"),
        ThoughtPart(text="m"),
        SignaturePart(signature="google:abc"),
        *ANSWER,
    ]
    _, sink = await execute(PlayedModel(turn))
    assert sink.steps()[0] == {
        "type": "thought",
        "summary": [{"type": "text", "text": "hmm"}],
        "signature": "google:abc",
    }


async def test_usage_adds_up_and_closes_the_last_step_of_a_turn() -> None:
    usage = Usage(total_input_tokens=3, total_output_tokens=2, total_tokens=5)
    first = [*call("echo"), ModelDone(usage=usage)]
    second: list[ModelPart] = [TextPart(text="x"), ModelDone(usage=usage)]
    outcome, sink = await execute(PlayedModel(first, second), FunctionToolbox(echo=echo))
    assert outcome.usage.total_tokens == 10
    stops = [event for event in sink.events if event.event_type == "step.stop" and event.usage]
    assert [event.usage.total_tokens for event in stops] == [5, 10]


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (RunLimits(max_steps=2), "step_limit"),
        (RunLimits(max_total_tokens=6), "token_limit"),
    ],
)
async def test_limits_end_a_run_as_incomplete(limits: RunLimits, code: str) -> None:
    turn = [*call("echo"), ModelDone(usage=Usage(total_tokens=3))]
    model = PlayedModel(*[list(turn) for _ in range(5)])
    outcome, _ = await execute(model, FunctionToolbox(echo=echo), limits=limits)
    assert outcome.status == "incomplete" and outcome.error is not None
    assert outcome.error.code == code and len(model.requests) == 2


async def test_the_time_limit_holds_in_the_middle_of_a_tool() -> None:
    async def forever(emit: Any) -> ToolResult:
        await anyio.sleep_forever()
        raise AssertionError

    model = PlayedModel([*call("forever"), ModelDone()])
    outcome, sink = await execute(
        model, FunctionToolbox(forever=forever), limits=RunLimits(timeout_seconds=0.05)
    )
    assert outcome.status == "incomplete" and outcome.error is not None
    assert outcome.error.code == "time_limit"
    assert sink.events[-1].event_type == "step.stop"


async def test_a_model_that_fails_in_the_middle_leaves_whole_steps() -> None:
    class Breaks(PlayedModel):
        async def stream(self, request: Any) -> Any:
            yield TextPart(text="half")
            raise ModelUnavailable("gone")

    outcome, sink = await execute(Breaks())
    assert outcome.status == "failed" and outcome.error is not None
    assert outcome.error.code == "model_unavailable"
    assert sink.steps()[0]["content"][0]["text"] == "half"
    assert sink.events[-1].event_type == "step.stop"


async def test_output_cut_by_the_model_is_incomplete() -> None:
    outcome, _ = await execute(PlayedModel([TextPart(text="x"), ModelDone(reason="length")]))
    assert outcome.status == "incomplete"


async def test_a_forced_call_is_forced_once() -> None:
    model = PlayedModel([*call("echo"), ModelDone()], ANSWER)
    await execute(model, FunctionToolbox(echo=echo), tool_choice=ToolChoice(mode="any"))
    assert [request.tool_choice.mode for request in model.requests] == ["any", "auto"]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (ToolChoice(mode="none"), "No tool may be called here"),
        (ToolChoice(names=[]), "No tool may be called here"),
        (ToolChoice(names=["weather"]), "echo may not be called here. What may be called: weather"),
    ],
)
async def test_a_call_against_the_tool_choice_is_answered_not_run(
    choice: ToolChoice, told: str
) -> None:
    toolbox = FunctionToolbox(echo=echo)
    model = PlayedModel([*call("echo"), ModelDone()], ANSWER)
    weather = [FunctionDeclaration(name="weather")]
    outcome, _ = await execute(model, toolbox, tool_choice=choice, client_functions=weather)
    assert outcome.status == "completed" and toolbox.ran == []
    (result,) = [found[1] for step in model.requests[1].history if (found := as_result(step))]
    assert result.is_error and told in result.text
    assert bool(model.requests[0].tools) is bool(choice.names)


async def test_a_forbidden_function_of_the_caller_is_not_waited_for() -> None:
    model = PlayedModel([*call("weather"), ModelDone()], ANSWER)
    outcome, _ = await execute(
        model,
        client_functions=[FunctionDeclaration(name="weather")],
        tool_choice=ToolChoice(mode="none"),
    )
    assert outcome.status == "completed"


def test_repair_puts_results_behind_their_calls_and_fills_in_lost_ones() -> None:
    history = STEPS.validate_python(
        [
            {"type": "user_input", "content": []},
            {"type": "function_call", "id": "a", "name": "x"},
            {"type": "function_call", "id": "b", "name": "weather"},
            {"type": "function_result", "call_id": "a", "result": "A"},
            {"type": "function_result", "call_id": "ghost", "result": "?"},
            {"type": "function_result", "call_id": "b", "result": "B"},
            {"type": "function_call", "id": "c", "name": "x"},
            {"type": "user_input", "content": []},
        ]
    )
    repaired = repair(history)
    ids = [getattr(step, "id", None) or getattr(step, "call_id", "-") for step in repaired]
    assert ids == ["-", "a", "b", "a", "b", "c", "c", "-"]
    assert as_result(repaired[6]) is not None and as_result(repaired[6])[1].text == LOST
