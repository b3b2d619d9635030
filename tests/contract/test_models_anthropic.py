from __future__ import annotations

import pytest

from runtime.errors import ModelRefused, ModelUnavailable
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
    ask,
    block,
    message_end,
    message_start,
    message_text,
    parts_of,
    remote_model,
)

pytestmark = pytest.mark.anyio
WIRE = WIRES["anthropic"]
CACHED = {"cache_control": {"type": "ephemeral"}}


async def test_thinking_and_two_calls_at_once() -> None:
    answer = [
        message_start(),
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm, "},
            {"type": "thinking_delta", "thinking": "two."},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        *block(1, {"type": "redacted_thinking", "data": "aGlkZGVu"}),
        *block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "I look."}),
        *block(
            3,
            {"type": "tool_use", "id": "toolu_1", "name": "code_execution", "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"code": '},
            {"type": "input_json_delta", "partial_json": '"1"}'},
        ),
        *block(4, {"type": "tool_use", "id": "toolu_2", "name": "view_file", "input": {}}),
        *message_end("tool_use"),
    ]
    async with (
        model_server(sse(*answer, named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        *parts, done = await parts_of(model, ask(tools=TOOLS))

    assert parts == [
        ThoughtPart(text="Hm, "),
        ThoughtPart(text="two."),
        SignaturePart(signature="anthropic:c2ln"),
        SignaturePart(signature="anthropic:redacted:aGlkZGVu"),
        TextPart(text="I look."),
        CallStart(id="toolu_1", name="code_execution"),
        CallArguments(fragment='{"code": '),
        CallArguments(fragment='"1"}'),
        CallEnd(),
        CallStart(id="toolu_2", name="view_file"),
        CallArguments(fragment="{}"),
        CallEnd(),
    ]
    assert isinstance(done, ModelDone)
    assert done.reason == "calls"


async def test_what_is_sent() -> None:
    request = ask(
        two_calls_and_their_results("anthropic:c2ln"),
        system_instruction="Be brief.",
        tools=TOOLS,
        tool_choice=ToolChoice(mode="any", names=["view_file"]),
        generation=Generation(
            thinking_level="xhigh", max_output_tokens=5000, stop_sequences=["END"]
        ),
        response_schema={"type": "object", "properties": {"n": {"type": "integer"}}},
    )
    async with (
        model_server(sse(*message_text("ok"), named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        await parts_of(model, request)

    body = server.asked[0].body
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
    }
    first, second = (tool.model_dump() for tool in TOOLS)
    assert body == {
        "model": "claude-opus-5",
        "stream": True,
        "max_tokens": 5000,
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {
            "effort": "xhigh",
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "properties": {"n": {"type": "integer"}},
                    "additionalProperties": False,
                },
            },
        },
        "system": [{"type": "text", "text": "Be brief.", **CACHED}],
        "tools": [
            {
                "name": first["name"],
                "description": first["description"],
                "input_schema": first["parameters"],
            },
            {
                "name": second["name"],
                "description": second["description"],
                "input_schema": second["parameters"],
                **CACHED,
            },
        ],
        "tool_choice": {"type": "tool", "name": "view_file"},
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Look at the file.", **CACHED}],
            },
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "thinking",
                        "thinking": "Two things at once.",
                        "signature": "c2ln",
                    },
                    {"type": "text", "text": "I look."},
                    {
                        "type": "tool_use",
                        "id": "call_1",
                        "name": "code_execution",
                        "input": {"code": "1/0", "language": "python"},
                    },
                    {
                        "type": "tool_use",
                        "id": "call_2",
                        "name": "view_file",
                        "input": {"AbsolutePath": "/x.png"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_1",
                        "content": [{"type": "text", "text": "ZeroDivisionError"}],
                        "is_error": True,
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_2",
                        "content": [{"type": "text", "text": "a picture"}, picture],
                        **CACHED,
                    },
                ],
            },
        ],
    }


async def test_sampling_settings_reach_a_model_that_takes_them() -> None:
    request = ask(generation=Generation(temperature=0.5, top_p=0.9))
    async with (
        model_server(sse(*message_text("ok"), named=True)) as server,
        remote_model(WIRE, server.address, name="claude-haiku-4-5") as older,
        remote_model(WIRE, server.address) as newer,
    ):
        await parts_of(older, request)
        with pytest.raises(ModelRefused, match="temperature"):
            await parts_of(newer, request)

    assert server.asked[0].body["temperature"] == 0.5
    assert server.asked[0].body["top_p"] == 0.9
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refused"),
        ("stop_sequence", "stop"),
    ],
)
async def test_why_it_stopped(stop_reason: str, reason: str) -> None:
    async with (
        model_server(sse(message_start(), *message_end(stop_reason), named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        (done,) = await parts_of(model, ask())

    assert isinstance(done, ModelDone)
    assert done.reason == reason


async def test_an_overload_inside_the_stream_is_tried_again() -> None:
    overload = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    async with (
        model_server(
            sse(message_start(), overload, named=True), sse(*message_text("ok"), named=True)
        ) as server,
        remote_model(WIRE, server.address) as model,
    ):
        said, _ = await parts_of(model, ask())

    assert said == TextPart(text="ok")
    assert len(server.asked) == 2


async def test_an_overload_after_the_first_word_is_an_error() -> None:
    overload = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    async with (
        model_server(sse(*message_text("ok")[:-2], overload, named=True)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        with pytest.raises(ModelUnavailable, match="Overloaded"):
            await parts_of(model, ask())

    assert len(server.asked) == 1
