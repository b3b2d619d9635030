from __future__ import annotations

import pytest

from runtime.errors import ModelAuthFailed, ModelRefused
from runtime.schema.model import (
    CallArguments,
    CallEnd,
    CallStart,
    Generation,
    ModelDone,
    SignaturePart,
    TextPart,
    ThoughtPart,
    ToolChoice,
)
from tests.contract.model_servers import model_server, sse
from tests.contract.model_stories import PNG, TOOLS, two_calls_and_their_results
from tests.contract.model_wires import (
    WIRES,
    Event,
    ask,
    parts_of,
    remote_model,
    response_done,
    response_event,
    response_text,
)

pytestmark = pytest.mark.anyio
WIRE = WIRES["openai"]


def item(kind: str, index: int, **fields: object) -> Event:
    return response_event(f"output_item.{kind}", output_index=index, item=fields)


def call_events(index: int, call_id: str, name: str, *fragments: str) -> list[Event]:
    call = {"type": "function_call", "id": f"fc_{index}", "call_id": call_id, "name": name}
    return [
        item("added", index, **call, arguments="", status="in_progress"),
        *(
            response_event(
                "function_call_arguments.delta",
                item_id=f"fc_{index}",
                output_index=index,
                delta=fragment,
            )
            for fragment in fragments
        ),
        item("done", index, **call, arguments="".join(fragments), status="completed"),
    ]


def summary(index: int, part: int, text: str) -> Event:
    return response_event(
        "reasoning_summary_text.delta",
        item_id="rs_1",
        output_index=index,
        summary_index=part,
        delta=text,
    )


async def test_reasoning_and_two_calls_at_once() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA=="}
    answer = [
        item("added", 0, **{**reasoning, "encrypted_content": "gA"}),
        summary(0, 0, "First."),
        summary(0, 1, "Second."),
        item("done", 0, **reasoning),
        *call_events(1, "call_a", "code_execution", '{"code":', '"1"}'),
        *call_events(2, "call_b", "view_file", "{}"),
        response_done(),
    ]
    async with (
        model_server(sse(*answer, named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        *parts, done = await parts_of(model, ask(tools=TOOLS))

    assert parts == [
        ThoughtPart(text="First."),
        ThoughtPart(text="\n\nSecond."),
        SignaturePart(signature="openai:rs_1:gAAA=="),
        CallStart(id="call_a", name="code_execution"),
        CallArguments(fragment='{"code":'),
        CallArguments(fragment='"1"}'),
        CallEnd(),
        CallStart(id="call_b", name="view_file"),
        CallArguments(fragment="{}"),
        CallEnd(),
    ]
    assert isinstance(done, ModelDone)
    assert done.reason == "calls"


async def test_what_is_sent() -> None:
    request = ask(
        two_calls_and_their_results("openai:rs_1:gAAA=="),
        system_instruction="Be brief.",
        tools=TOOLS,
        tool_choice=ToolChoice(names=["view_file"]),
        generation=Generation(
            thinking_level="high",
            thinking_summaries="auto",
            max_output_tokens=5000,
            temperature=0.5,
            top_p=0.9,
        ),
        response_schema={"type": "object", "properties": {}, "additionalProperties": False},
    )
    async with (
        model_server(sse(*response_text("ok"), named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        await parts_of(model, request)

    body = server.asked[0].body
    assert len(body.pop("prompt_cache_key")) == 32
    assert body == {
        "model": "gpt-5.6",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "instructions": "Be brief.",
        "max_output_tokens": 5000,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "high", "summary": "auto"},
        "text": {
            "format": {
                "type": "json_schema",
                "name": "answer",
                "schema": request.response_schema,
                "strict": True,
            }
        },
        "tools": [{"type": "function", **tool.model_dump(), "strict": False} for tool in TOOLS],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "view_file"}],
        },
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Look at the file."}],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Two things at once."}],
                "encrypted_content": "gAAA==",
            },
            {"type": "message", "role": "assistant", "content": "I look."},
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "code_execution",
                "arguments": '{"code": "1/0", "language": "python"}',
            },
            {
                "type": "function_call",
                "call_id": "call_2",
                "name": "view_file",
                "arguments": '{"AbsolutePath": "/x.png"}',
            },
            {
                "type": "function_call_output",
                "call_id": "call_1",
                "output": "ZeroDivisionError",
            },
            {
                "type": "function_call_output",
                "call_id": "call_2",
                "output": [
                    {"type": "input_text", "text": "a picture"},
                    {
                        "type": "input_image",
                        "detail": "auto",
                        "image_url": f"data:image/png;base64,{PNG}",
                    },
                ],
            },
        ],
    }


async def test_running_into_the_output_limit() -> None:
    cut = response_done(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    answer = [*response_text("begi")[:-1], {**cut, "type": "response.incomplete"}]
    async with (
        model_server(sse(*answer, named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        said, done = await parts_of(model, ask())

    assert said == TextPart(text="begi")
    assert isinstance(done, ModelDone)
    assert done.reason == "length"


async def test_a_refusal() -> None:
    refusal = response_event(
        "refusal.delta", item_id="msg_1", output_index=0, content_index=0, delta="I cannot."
    )
    async with (
        model_server(sse(refusal, response_done(), named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        said, done = await parts_of(model, ask())

    assert said == TextPart(text="I cannot.")
    assert isinstance(done, ModelDone)
    assert done.reason == "refused"


async def test_a_failure_inside_the_stream_is_tried_again() -> None:
    failed = response_event(
        "failed", response={"error": {"code": "server_error", "message": "try again"}}
    )
    async with (
        model_server(sse(failed, named=True), sse(*response_text("ok"), named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        said, _ = await parts_of(model, ask())

    assert said == TextPart(text="ok")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("code", "fault"), [("invalid_prompt", ModelRefused), ("insufficient_quota", ModelAuthFailed)]
)
async def test_an_error_event_that_a_retry_cannot_help(code: str, fault: type[Exception]) -> None:
    error = {"type": "error", "code": code, "message": "that was wrong", "sequence_number": 1}
    async with (
        model_server(sse(error, named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        with pytest.raises(fault, match="that was wrong"):
            await parts_of(model, ask())

    assert len(server.asked) == 1
