"""Chat completions by the official OpenAI SDK, and what is refused, and how."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from runtime.schema.steps import UserInputStep
from tests.support.local_controller import LocalController, local_controller
from tests.support.openai_sdk import ASK_WEATHER, MODEL, PIXEL, THINK_AND_SAY, WEATHER, call

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[LocalController]:
    async with local_controller(tmp_path) as opened:
        yield opened


CHAT_WEATHER: Any = {
    "type": "function",
    "function": {key: WEATHER[key] for key in ("name", "description", "parameters")},
}


async def test_chat(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        return client.chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi."},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": THINK_AND_SAY},
            ],
            max_completion_tokens=50,
            stop=["."],
            seed=1,
            reasoning_effort="high",
            n=1,
        )

    made = await call(api, talk)
    assert made.id.startswith("chatcmpl-")
    (choice,) = made.choices
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert choice.message.content == "Hello there, how are you today?"
    assert made.usage.prompt_tokens + made.usage.completion_tokens == made.usage.total_tokens
    spec = api.runs.plans[0].spec
    assert spec.system_instruction == "Be kind."
    assert (spec.generation.stop_sequences, spec.generation.seed) == (["."], 1)
    assert [step.type for step in spec.history] == ["user_input", "model_output", "user_input"]
    # Nothing stays, as with a server that keeps no state.
    assert await api.store.interactions.get("default", made.id.replace("chatcmpl-", "int_")) is None


@pytest.mark.parametrize("model", [MODEL, "antigravity"])
async def test_chat_with_tools(api: LocalController, model: str) -> None:
    def talk(client: OpenAI) -> Any:
        messages: list[Any] = [{"role": "user", "content": ASK_WEATHER}]
        first = client.chat.completions.create(model=model, messages=messages, tools=[CHAT_WEATHER])
        message = first.choices[0].message
        (wanted,) = message.tool_calls or []
        messages += [message, {"role": "tool", "tool_call_id": wanted.id, "content": "Sunny"}]
        last = client.chat.completions.create(model=model, messages=messages, tools=[CHAT_WEATHER])
        return first, wanted, last

    first, wanted, last = await call(api, talk)
    assert first.choices[0].finish_reason == "tool_calls"
    assert (wanted.type, wanted.function.name) == ("function", "weather")
    assert json.loads(wanted.function.arguments) == {"city": "Rome"}
    assert last.choices[0].message.content == "Sunny"


async def test_a_chat_stream(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        messages: Any = [{"role": "user", "content": THINK_AND_SAY}]
        return list(
            client.chat.completions.create(
                model=MODEL,
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
            )
        )

    chunks = await call(api, talk)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello there, how are you today?"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_a_chat_stream_with_tools(api: LocalController) -> None:
    two = '[{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "weather"}]'

    def talk(client: OpenAI) -> Any:
        messages: Any = [{"role": "user", "content": f"```tools\n{two}\n```"}]
        with client.chat.completions.stream(
            model=MODEL, messages=messages, tools=[CHAT_WEATHER]
        ) as stream:
            for _ in stream:
                continue
            return stream.get_final_completion()

    (choice,) = (await call(api, talk)).choices
    assert choice.finish_reason == "tool_calls"
    found = [json.loads(one.function.arguments) for one in choice.message.tool_calls]
    assert found == [{"city": "Rome"}, {}]


async def test_chat_pictures(api: LocalController) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Hi."}, part]}]
    await call(api, lambda c: c.chat.completions.create(model=MODEL, messages=messages))
    (step,) = api.runs.plans[0].spec.history
    assert isinstance(step, UserInputStep)
    assert [part.type for part in step.content] == ["text", "image"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"conversation": "c"}, "conversation"),
        ({"max_tool_calls": 1}, "max_tool_calls"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"reasoning": {"effort": "none"}}, "reasoning.effort"),
        ({"temperature": 3}, "temperature"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "a"}]}, "tools[0].require_approval"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "odd"}]}]}, "input[0].content[0].type"),
        ({"metadata": {"a": "b" * 64}}, "metadata"),
        ({"model": "antigravity", "temperature": 1}, "temperature"),
        ({"model": "antigravity", "reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"model": "antigravity", "text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"extra_body": {"colour": 1}}, "colour"),
    ],
)
async def test_what_is_not_served_is_named(
    api: LocalController, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await call(
            api, lambda client: client.responses.create(**{"model": MODEL, "input": "x", **more})
        )
    error = refused.value
    assert error.param == param
    assert error.type == "invalid_request_error"
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}


async def test_chat_fields_that_are_not_served(api: LocalController) -> None:
    messages: Any = [{"role": "user", "content": "x"}]
    refusals: dict[str, Any] = {
        "n": 2,
        "logprobs": True,
        "frequency_penalty": 0.5,
        "logit_bias": {"1": 1},
        "modalities": ["text", "audio"],
        "functions": [],
    }

    def talk(client: OpenAI) -> None:
        for name, value in refusals.items():
            with pytest.raises(openai.BadRequestError) as refused:
                client.chat.completions.create(model=MODEL, messages=messages, **{name: value})
            assert refused.value.param == name
        neutral: Any = {"n": 1, "frequency_penalty": 0, "logit_bias": {}, "modalities": ["text"]}
        assert client.chat.completions.create(model=MODEL, messages=messages, **neutral)

    await call(api, talk)


async def test_errors_have_openais_envelope(api: LocalController) -> None:
    async with api.http() as http:
        answers = {
            "route": await http.get("/openai/v1/nothing"),
            "root": await http.get("/openai"),
            "method": await http.put("/openai/v1/responses"),
            "json": await http.post(
                "/openai/v1/responses",
                content=b"{",
                headers={"content-type": "application/json"},
            ),
            "type": await http.post("/openai/v1/responses", content=b"{}"),
            "query": await http.get("/openai/v1/responses/resp_1?starting_after=x"),
            "key": await http.get("/openai/v1/models", headers={"authorization": "Bearer no"}),
            "model": await http.post("/openai/v1/responses", json={"model": "m", "input": "x"}),
            "id": await http.get("/openai/v1/responses/int_1"),
        }
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert statuses == {
        "route": 404,
        "root": 404,
        "method": 405,
        "json": 400,
        "type": 415,
        "query": 400,
        "key": 401,
        "model": 404,
        "id": 404,
    }
    for answer in answers.values():
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answers["model"].json()["error"]["code"] == "model_not_found"
    assert answers["model"].json()["error"]["param"] == "model"
    assert answers["key"].json()["error"]["code"] == "invalid_api_key"
    assert answers["method"].headers["allow"]


async def test_the_other_prefix_keeps_its_own_envelope(api: LocalController) -> None:
    async with api.http() as http:
        for path, method, status in [
            ("/v1/nothing", "GET", 404),
            ("/v1/interactions", "PUT", 405),
            ("/nothing", "GET", 404),
        ]:
            answer = await http.request(method, path)
            assert answer.status_code == status
            assert set(answer.json()["error"]) == {"code", "message"}


class Trip(BaseModel):
    city: str
    days: int


GOOD = '```say\n{"city": "Rome", "days": 3}\n```'
BAD = '```say\n{"city": "Rome", "days": "three"}\n```'


async def test_an_answer_of_a_form_is_parsed(api: LocalController) -> None:
    def ask(client: OpenAI) -> Any:
        messages: Any = [{"role": "user", "content": GOOD}]
        return client.chat.completions.parse(model=MODEL, messages=messages, response_format=Trip)

    answer = await call(api, ask)
    assert answer.choices[0].message.parsed == Trip(city="Rome", days=3)


async def test_an_answer_that_is_not_of_the_form_is_an_error(api: LocalController) -> None:
    def ask(client: OpenAI) -> Any:
        messages: Any = [{"role": "user", "content": BAD}]
        with pytest.raises(openai.APIStatusError) as caught:
            client.with_options(max_retries=0).chat.completions.parse(
                model=MODEL, messages=messages, response_format=Trip
            )
        return caught.value

    error = await call(api, ask)
    assert error.code == "response_format_mismatch"
    assert "days" in error.message
