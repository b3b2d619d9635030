from __future__ import annotations

import base64

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
from tests.contract.model_servers import Reply, failure, model_server, sse, sse_chunks
from tests.contract.model_stories import PNG, TOOLS, two_calls_and_their_results
from tests.contract.model_wires import (
    WIRES,
    Event,
    ask,
    gemini_chunk,
    gemini_text,
    parts_of,
    remote_model,
)

pytestmark = pytest.mark.anyio
WIRE = WIRES["google"]


def call(name: str, args: Event, **fields: object) -> Event:
    return {"functionCall": {"name": name, "args": args, **fields}}


async def test_thoughts_and_two_calls_at_once() -> None:
    signed = {**call("code_execution", {"code": "1"}, id="fc-1"), "thoughtSignature": "YWI/Pg=="}
    answer = [
        gemini_chunk({"text": "Hm, ", "thought": True}),
        gemini_chunk({"text": "two.", "thought": True}),
        gemini_chunk(signed, call("view_file", {}, id="fc-2")),
        gemini_chunk({"text": ""}, finishReason="STOP"),
    ]
    async with (
        model_server(sse(*answer)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        *parts, done = await parts_of(model, ask(tools=TOOLS))

    assert parts == [
        ThoughtPart(text="Hm, "),
        ThoughtPart(text="two."),
        SignaturePart(signature="google:YWI_Pg=="),
        CallStart(id="fc-1", name="code_execution"),
        CallArguments(fragment='{"code": "1"}'),
        CallEnd(),
        CallStart(id="fc-2", name="view_file"),
        CallArguments(fragment="{}"),
        CallEnd(),
    ]
    assert isinstance(done, ModelDone)
    assert done.reason == "calls"
    assert done.usage.input_tokens_by_modality == [
        {"modality": "text", "tokens": 90},
        {"modality": "image", "tokens": 10},
    ]


async def test_what_is_sent() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    request = ask(
        two_calls_and_their_results("google:YWI_Pg=="),
        system_instruction="Be brief.",
        tools=TOOLS,
        tool_choice=ToolChoice(mode="any", names=["view_file"]),
        generation=Generation(
            thinking_level="low",
            thinking_summaries="auto",
            max_output_tokens=5000,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop_sequences=["END"],
        ),
        response_schema=schema,
    )
    async with (
        model_server(sse(*gemini_text("ok"))) as server,
        remote_model(WIRE, server.address) as model,
    ):
        await parts_of(model, request)

    body = server.asked[0].body
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "seed": 7,
        "maxOutputTokens": 5000,
        "stopSequences": ["END"],
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
        "thinkingConfig": {"include_thoughts": True, "thinking_level": "LOW"},
    }
    (declared,) = body["tools"]
    assert [tool["name"] for tool in declared["functionDeclarations"]] == [
        "code_execution",
        "view_file",
    ]
    assert declared["functionDeclarations"][0]["parameters_json_schema"] == TOOLS[0].parameters
    assert body["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["view_file"]}
    }
    question, answer, results = body["contents"]
    assert question == {"role": "user", "parts": [{"text": "Look at the file."}]}
    assert answer["role"] == "model"
    assert answer["parts"] == [
        {"text": "I look.", "thoughtSignature": "YWI_Pg=="},
        {
            "functionCall": {
                "id": "call_1",
                "name": "code_execution",
                "args": {"code": "1/0", "language": "python"},
            },
            "thoughtSignature": "skip_thought_signature_validator",
        },
        {
            "functionCall": {
                "id": "call_2",
                "name": "view_file",
                "args": {"AbsolutePath": "/x.png"},
            }
        },
    ]
    assert results["role"] == "user"
    first, second = (part["functionResponse"] for part in results["parts"])
    assert first == {
        "id": "call_1",
        "name": "code_execution",
        "response": {"error": "ZeroDivisionError"},
    }
    (picture,) = second.pop("parts")
    assert second == {
        "id": "call_2",
        "name": "view_file",
        "response": {"output": "a picture"},
    }
    inline = picture.get("inlineData") or picture["inline_data"]
    assert base64.urlsafe_b64decode(inline["data"]) == base64.b64decode(PNG)


async def test_an_older_model_is_shown_the_picture_beside_the_result() -> None:
    async with (
        model_server(sse(*gemini_text("ok"))) as server,
        remote_model(WIRE, server.address, name="gemini-2.5-pro") as model,
    ):
        await parts_of(
            model,
            ask(
                two_calls_and_their_results(None),
                generation=Generation(thinking_level="minimal"),
            ),
        )

    body = server.asked[0].body
    assert body["generationConfig"]["thinkingConfig"] == {"thinking_budget": 512}
    _, answer, results = body["contents"]
    assert all("thoughtSignature" not in part for part in answer["parts"])
    assert [list(part) for part in results["parts"]] == [
        ["functionResponse"],
        ["functionResponse"],
        ["inlineData"],
    ]


@pytest.mark.parametrize(
    ("finish", "reason"), [("MAX_TOKENS", "length"), ("SAFETY", "refused"), ("STOP", "stop")]
)
async def test_why_it_stopped(finish: str, reason: str) -> None:
    async with (
        model_server(sse(gemini_chunk({"text": "x"}, finishReason=finish))) as server,
        remote_model(WIRE, server.address) as model,
    ):
        _, done = await parts_of(model, ask())

    assert isinstance(done, ModelDone)
    assert done.reason == reason


async def test_a_blocked_prompt_is_a_refusal() -> None:
    async with (
        model_server(sse({"promptFeedback": {"blockReason": "SAFETY"}})) as server,
        remote_model(WIRE, server.address) as model,
    ):
        (done,) = await parts_of(model, ask())

    assert isinstance(done, ModelDone)
    assert done.reason == "refused"


async def test_a_malformed_call_is_tried_again() -> None:
    malformed = {"candidates": [{"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"}]}
    async with (
        model_server(sse(malformed), sse(*gemini_text("ok"))) as server,
        remote_model(WIRE, server.address) as model,
    ):
        said, _ = await parts_of(model, ask())

    assert said == TextPart(text="ok")
    assert len(server.asked) == 2


async def test_an_error_inside_the_stream() -> None:
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    chunks = sse_chunks(*gemini_text("hel")[:1], error)
    async with (
        model_server(Reply(chunks=chunks)) as server,
        remote_model(WIRE, server.address) as model,
    ):
        with pytest.raises(ModelUnavailable, match="overloaded"):
            await parts_of(model, ask())


async def test_the_wait_that_an_error_asks_for_in_its_details() -> None:
    error = {
        "error": {
            "code": 429,
            "message": "quota",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}
            ],
        }
    }
    async with (
        model_server(failure(429, error), sse(*gemini_text("ok"))) as server,
        remote_model(WIRE, server.address) as model,
    ):
        said, _ = await parts_of(model, ask())

    assert said == TextPart(text="ok")
    assert len(server.asked) == 2
