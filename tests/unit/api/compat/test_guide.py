"""Guide-style bodies, in the wire's shape."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.api.compat.answers import read_call
from runtime.api.compat.guide import VERSIONS, GuideCall, read_guide
from runtime.controller.sessions import SessionCall
from runtime.errors import InvalidRequest
from runtime.schema.requests import read_request


def guide(**body: Any) -> GuideCall:
    found = read_guide(body)
    assert found is not None
    return found


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "input": "hi"},
        {"agent": "a", "input": [text("hi")], "tools": [{"type": "code_execution"}]},
        {"agent": "a", "input": [{"type": "user_input", "content": [text("hi")]}]},
        [],
        "text",
        None,
    ],
)
def test_the_wires_own_shape_is_left_alone(body: Any) -> None:
    assert read_guide(body) is None
    assert read_call(body, None).body is body


def test_names_are_the_wires_afterwards() -> None:
    call = guide(
        agent_id="antigravity",
        contents="go",
        background=True,
        systemInstruction={"parts": [{"text": "Be kind."}, {"text": "Be brief."}]},
        env_id="e" * 32,
        schemaVersion="2026-05-20",
    )
    assert call.body == {
        "agent": "antigravity",
        "input": "go",
        "background": True,
        "system_instruction": "Be kind.\n\nBe brief.",
        "environment": "e" * 32,
    }
    assert (call.session, call.is_old) == (None, False)


def test_a_model_beside_an_agent_is_the_agents() -> None:
    body = guide(agent_id="a", model="m", contents="x").body
    assert body["agent_config"] == {"type": "antigravity", "model": "m"}
    assert "model" not in body


def test_contents_become_steps() -> None:
    blob = {"mimeType": "image/png", "data": "aGk="}
    call = {"name": "weather", "args": {"city": "Rome"}, "id": "c1"}
    answer = {"name": "weather", "response": {"sky": "blue"}}
    body = guide(
        model="m",
        contents=[
            {"role": "user", "parts": [{"text": "What is it?"}, {"inlineData": blob}]},
            {"role": "model", "parts": [{"text": "Wait."}, {"functionCall": call}]},
            {"role": "user", "parts": [{"functionResponse": answer}, {"text": "Well?"}]},
        ],
    ).body
    assert body["input"] == [
        {
            "type": "user_input",
            "content": [
                text("What is it?"),
                {"type": "image", "mime_type": "image/png", "data": "aGk="},
            ],
        },
        {"type": "model_output", "content": [text("Wait.")]},
        {"type": "function_call", "id": "c1", "name": "weather", "arguments": {"city": "Rome"}},
        {
            "type": "function_result",
            "call_id": "c1",
            "name": "weather",
            "result": {"sky": "blue"},
        },
        {"type": "user_input", "content": [text("Well?")]},
    ]
    read_request(body)


def test_texts_in_one_list_are_one_input() -> None:
    assert guide(model="m", contents=["a", "b"]).body["input"] == [
        {"type": "user_input", "content": [text("a"), text("b")]}
    ]


def test_turns_of_one_speaker_stay_two() -> None:
    turn = {"role": "user", "parts": [{"text": "a"}]}
    assert len(guide(model="m", contents=[turn, turn]).body["input"]) == 2


def test_code_that_was_run() -> None:
    body = guide(
        model="m",
        contents=[
            {
                "role": "model",
                "parts": [
                    {"executableCode": {"language": "PYTHON", "code": "1+1"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
                ],
            },
            {"role": "user", "parts": [{"text": "And?"}]},
        ],
    ).body
    first, second, _ = body["input"]
    assert first["arguments"] == {"code": "1+1", "language": "python"}
    assert second["call_id"] == first["id"]
    assert (second["result"], second["is_error"]) == ("2", False)
    read_request(body)


def test_messages_become_steps_and_an_instruction() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    body = guide(
        agent_id="a",
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "go"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
    ).body
    assert body["system_instruction"] == "Be kind."
    assert [step["type"] for step in body["input"]] == [
        "user_input",
        "function_call",
        "function_result",
    ]
    assert body["input"][1]["arguments"] == {"a": 1}
    read_request(body)


def test_tools_by_key() -> None:
    parameters = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
    body = guide(
        model="m",
        contents="x",
        tools=[
            {"codeExecution": {}},
            {"googleSearch": {}, "urlContext": {}},
            {"functionDeclarations": [{"name": "weather", "parameters": parameters}]},
            {"type": "browser"},
        ],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
    ).body
    assert [tool["type"] for tool in body["tools"]] == [
        "code_execution",
        "google_search",
        "url_context",
        "function",
        "browser",
    ]
    assert body["tools"][3]["parameters"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
    }
    assert body["generation_config"]["tool_choice"] == {
        "allowed_tools": {"mode": "any", "tools": ["weather"]}
    }
    read_request(body)


def test_generation_in_camel_case() -> None:
    body = guide(
        model="m",
        contents="x",
        generationConfig={
            "maxOutputTokens": 5,
            "topP": 0.5,
            "stopSequences": ["."],
            "candidateCount": 1,
            "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
            "responseMimeType": "application/json",
            "responseSchema": {"type": "object"},
        },
    ).body
    assert body["generation_config"] == {
        "max_output_tokens": 5,
        "top_p": 0.5,
        "stop_sequences": ["."],
        "thinking_level": "high",
        "thinking_summaries": "auto",
    }
    assert body["response_mime_type"] == "application/json"
    assert body["response_format"] == {"type": "object"}
    read_request(body)


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("3600s", 3600), ("1.5s", 1.5), (60, 60), ("604800", 604800)]
)
def test_a_session_is_opened(ttl: Any, seconds: float) -> None:
    call = guide(model="m", session_config={"ttl": ttl}, contents=["x"])
    assert call.session == SessionCall(None, seconds)
    assert "session_config" not in call.body


def test_a_session_is_gone_on_with() -> None:
    call = guide(session_id="session_1", contents=["x"])
    assert call.session == SessionCall("session_1", None)
    assert set(call.body) == {"input"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"contents": "x", "input": "y"}, "contents: cannot be given together with 'input'"),
        ({"agent_id": "a", "agent": "b"}, "agent: cannot be given together with 'agent_id'"),
        ({"contents": []}, "contents: must not be empty"),
        ({"contents": [{"role": ["a"], "parts": ["x"]}]}, r"contents\[0\]: has a part"),
        ({"schemaVersion": ["a"]}, "schemaVersion"),
        ({"contents": [3]}, r"contents\[0\]: must be a text"),
        ({"contents": [{"role": "robot", "parts": ["x"]}]}, r"contents\[0\].role: use 'user'"),
        ({"contents": [{"role": "user", "parts": []}]}, r"contents\[0\].parts: must be a list"),
        ({"contents": [{"role": "user", "parts": ["x"], "mood": 1}]}, "contents.0..mood"),
        ({"contents": [{"parts": [{"video": 1}]}]}, r"contents\[0\].parts\[0\]: cannot be read"),
        ({"contents": [{"parts": [{"inlineData": {}}]}]}, "'mimeType' is missing"),
        ({"contents": [{"parts": [{"functionResponse": {"name": "f"}}]}]}, "functionResponse.id"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "functionCall.name: is missing"),
        ({"messages": []}, "messages: must be a list"),
        ({"messages": [{"role": "system", "content": "x"}]}, "not an instruction"),
        ({"messages": [{"role": "x", "content": "x"}]}, r"messages\[0\].role: use one of"),
        ({"messages": [{"role": "user", "content": "x", "a": 1}]}, r"'messages\[0\].a'"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id: is missing"),
        ({"session_config": {"ttl": "soon"}, "input": "x"}, "session_config.ttl: must be seconds"),
        ({"session_config": {"ttl": True}, "input": "x"}, "session_config.ttl"),
        ({"session_config": {"ttl": "0s"}, "input": "x"}, "session_config.ttl"),
        ({"session_config": {"ttl": "604801s"}, "input": "x"}, "from 1 to 604800"),
        ({"session_config": {"tll": "1s"}, "input": "x"}, "'session_config.tll'"),
        ({"session_config": "1s", "input": "x"}, "session_config: must be an object"),
        ({"session_id": 3, "input": "x"}, "session_id: must be the id"),
        ({"tools": [{"telepathy": {}}], "input": "x"}, r"tools\[0\].telepathy: there is no such"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1}}},
            "thinking_config.thinking_budget: is not supported",
        ),
        ({"systemInstruction": {"parts": [{"image": 1}]}}, "system_instruction.parts"),
        ({"toolConfig": {"mode": "any"}}, "toolConfig: must be"),
    ],
)
def test_what_cannot_be_read_is_named(body: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_guide({"model": "m", **body})


@pytest.mark.parametrize("version", VERSIONS)
def test_schema_versions(version: str) -> None:
    assert not guide(model="m", input="x", schemaVersion=version).is_old
    assert not guide(
        model="m", input=[{"role": "user", "content": "x"}], schemaVersion=version
    ).is_old


@pytest.mark.parametrize("revision", ["2025-12-11", "2026-05-19"])
def test_revisions_from_before_the_steps(revision: str) -> None:
    found = read_guide({"model": "m", "input": "x"}, revision)
    assert found is not None
    assert found.is_old


@pytest.mark.parametrize("revision", ["2026-05-20", "2027-01-01", "1", "", "v1", None])
def test_other_revisions(revision: str | None) -> None:
    assert read_guide({"model": "m", "input": "x"}, revision) is None


@pytest.mark.parametrize("version", ["2031-01-01", "2025-12-11", "", 1])
def test_an_unknown_version_is_refused_with_the_list(version: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        guide(model="m", input="x", schemaVersion=version)
    assert all(known in refused.value.message for known in VERSIONS)


def test_turns_are_the_old_shape() -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "model", "content": [text("Hello")]},
        {"role": "user", "content": "Bye"},
    ]
    call = guide(model="m", input=turns)
    assert call.is_old
    assert [step["type"] for step in call.body["input"]] == [
        "user_input",
        "model_output",
        "user_input",
    ]
    read_request(call.body)
    assert not guide(model="m", input=turns, schemaVersion="2026-05-20").is_old
