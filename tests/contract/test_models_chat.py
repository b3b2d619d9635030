from __future__ import annotations

import pytest

from runtime.errors import ModelUnavailable
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
from tests.contract.model_servers import failure, model_server, sse
from tests.contract.model_stories import PNG, TOOLS, two_calls_and_their_results
from tests.contract.model_wires import (
    WIRES,
    ask,
    chat_chunk,
    chat_text,
    chat_usage,
    parts_of,
    remote_model,
)

pytestmark = pytest.mark.anyio
WIRE = WIRES["openai_compatible"]


async def test_reasoning_and_two_calls_at_once() -> None:
    answer = [
        chat_chunk({"role": "assistant", "content": None, "reasoning_content": "Hm, "}),
        chat_chunk({"reasoning_content": "two."}),
        chat_chunk({"content": "I look."}),
        chat_chunk(
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "a",
                        "type": "function",
                        "function": {"name": "code_execution", "arguments": ""},
                    }
                ]
            }
        ),
        chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"code":'}}]}),
        chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"1"}'}}]}),
        chat_chunk(
            {
                "tool_calls": [
                    {
                        "index": 1,
                        "id": "b",
                        "type": "function",
                        "function": {"name": "view_file", "arguments": "{}"},
                    }
                ]
            }
        ),
        chat_chunk({}, "tool_calls"),
        chat_usage(),
    ]
    async with (
        model_server(sse(*answer, done=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        *parts, done = await parts_of(model, ask(tools=TOOLS))

    assert parts == [
        ThoughtPart(text="Hm, "),
        ThoughtPart(text="two."),
        SignaturePart(signature="openai_compatible:reasoning_content"),
        TextPart(text="I look."),
        CallStart(id="a", name="code_execution"),
        CallArguments(fragment='{"code":'),
        CallArguments(fragment='"1"}'),
        CallEnd(),
        CallStart(id="b", name="view_file"),
        CallArguments(fragment="{}"),
        CallEnd(),
    ]
    assert isinstance(done, ModelDone)
    assert done.reason == "calls"


async def test_what_is_sent() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    request = ask(
        two_calls_and_their_results("openai_compatible:reasoning_content"),
        system_instruction="Be brief.",
        tools=TOOLS,
        tool_choice=ToolChoice(mode="any", names=["view_file"]),
        generation=Generation(
            thinking_level="xhigh",
            max_output_tokens=5000,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop_sequences=["END"],
        ),
        response_schema=schema,
    )
    async with (
        model_server(sse(*chat_text("ok"), done=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        await parts_of(model, request)

    assert server.asked[0].body == {
        "model": "qwen3",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "max_tokens": 5000,
        "stop": ["END"],
        "reasoning_effort": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": False},
        },
        "tools": [{"type": "function", "function": TOOLS[1].model_dump()}],
        "tool_choice": "required",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look at the file."},
            {
                "role": "assistant",
                "content": "I look.",
                "reasoning_content": "Two things at once.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {
                            "name": "code_execution",
                            "arguments": '{"code": "1/0", "language": "python"}',
                        },
                    },
                    {
                        "id": "call_2",
                        "type": "function",
                        "function": {
                            "name": "view_file",
                            "arguments": '{"AbsolutePath": "/x.png"}',
                        },
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "ZeroDivisionError"},
            {
                "role": "tool",
                "tool_call_id": "call_2",
                "content": "a picture\n[1 more in the next message]",
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "From the result of view_file:"},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{PNG}"},
                    },
                ],
            },
        ],
    }


async def test_a_model_that_cannot_see_is_told_so() -> None:
    async with (
        model_server(sse(*chat_text("ok"), done=True)) as server,
        remote_model(WIRE, server.address, vision=False) as model,
    ):
        await parts_of(model, ask(two_calls_and_their_results(None)))

    last = server.asked[0].body["messages"][-1]
    assert last["role"] == "user"
    assert "image (image/png) left out" in last["content"]
    assert PNG not in str(server.asked[0].body)


async def test_a_server_that_does_not_know_stream_options_is_asked_without() -> None:
    unknown = failure(400, {"error": {"message": "Unrecognized field: stream_options"}})
    without_usage = sse(*chat_text("ok")[:-1], done=True)
    async with (
        model_server(unknown, without_usage) as server,
        remote_model(WIRE, server.address) as model,
    ):
        for _ in range(2):
            said, done = await parts_of(model, ask())
            assert said == TextPart(text="ok")
            assert isinstance(done, ModelDone)
            assert done.usage.total_input_tokens > 0
            assert done.usage.total_output_tokens == 1

    assert ["stream_options" in asked.body for asked in server.asked] == [True, False, False]


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "length"), ("content_filter", "refused"), ("stop", "stop")]
)
async def test_why_it_stopped(finish: str, reason: str) -> None:
    answer = [chat_chunk({"content": "x"}), chat_chunk({}, finish)]
    async with (
        model_server(sse(*answer, done=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        _, done = await parts_of(model, ask())

    assert isinstance(done, ModelDone)
    assert done.reason == reason


async def test_no_tool_choice_is_sent_when_the_model_may_choose() -> None:
    async with (
        model_server(sse(*chat_text("ok"), done=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        await parts_of(model, ask(tools=TOOLS))
        await parts_of(model, ask(tools=TOOLS, tool_choice=ToolChoice(names=[])))

    assert "tool_choice" not in server.asked[0].body
    assert server.asked[1].body["tool_choice"] == "none"


async def test_an_error_inside_the_stream() -> None:
    answer = [chat_chunk({"content": "x"}), {"error": {"message": "out of memory", "code": 500}}]
    async with (
        model_server(sse(*answer)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        with pytest.raises(ModelUnavailable, match="out of memory"):
            await parts_of(model, ask())
