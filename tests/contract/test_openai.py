"""The official OpenAI SDK, unmodified, against the API; the real runner plays the prompts."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from runtime.schema.steps import FunctionResultStep, ThoughtStep, UserInputStep
from tests.support.local_controller import KEY, LocalController, local_controller
from tests.support.server import KEY as PLAYED_KEY
from tests.support.server import running

pytestmark = pytest.mark.anyio
Value = TypeVar("Value")

MODEL = "gpt-test"
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "Says the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
ASK_WEATHER = '```tool weather\n{"city": "Rome"}\n```\n'
THINK_AND_SAY = "```think\nHm, let me see.\n```\n```say\nHello there, how are you today?\n```"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[LocalController]:
    async with local_controller(tmp_path) as opened:
        yield opened


async def call(api: LocalController, action: Callable[[OpenAI], Value], url: str = "") -> Value:
    """The blocking SDK, in a thread of its own beside the server."""

    def act() -> Value:
        with client_of(url or api.url) as client:
            return action(client)

    with anyio.fail_after(20):
        return await anyio.to_thread.run_sync(act)


def client_of(url: str, **more: Any) -> OpenAI:
    return OpenAI(base_url=f"{url}/openai/v1", api_key=KEY, max_retries=0, **more)


async def test_a_response(api: LocalController) -> None:
    made = await call(
        api,
        lambda client: client.responses.create(
            model=MODEL,
            input=THINK_AND_SAY,
            instructions="Be kind.",
            metadata={"team": "a"},
            temperature=0.5,
            max_output_tokens=100,
            reasoning={"effort": "low", "summary": "auto"},
            user="u",
        ),
    )
    assert made.id.startswith("resp_")
    assert (made.object, made.status, made.model) == ("response", "completed", MODEL)
    assert made.output_text == "Hello there, how are you today?"
    assert [item.type for item in made.output] == ["reasoning", "message"]
    assert (made.instructions, made.metadata) == ("Be kind.", {"team": "a"})
    assert (made.temperature, made.max_output_tokens) == (0.5, 100)
    assert made.usage is not None
    assert made.usage.total_tokens > 0
    assert made.completed_at is not None
    spec = api.runs.plans[0].spec
    assert spec.system_instruction == "Be kind."
    assert spec.generation.thinking_level == "low"
    assert await call(api, lambda client: client.responses.retrieve(made.id)) == made


async def test_a_conversation_is_kept_here(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        first = client.responses.create(model=MODEL, input="One.")
        return first, client.responses.create(
            model=MODEL, input="Two.", previous_response_id=first.id
        )

    first, second = await call(api, talk)
    assert second.previous_response_id == first.id
    history = api.runs.plans[1].spec.history
    said = [step.content[0].text for step in history if isinstance(step, UserInputStep)]
    assert said == ["One.", "Two."]


async def test_items_are_taken_back_as_input(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        first = client.responses.create(
            model=MODEL, input=f"```think\nHm.\n```\n{ASK_WEATHER}", tools=[WEATHER]
        )
        items: Any = [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "The weather?"}]},
            *first.output,
            {"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "Sun"},
        ]
        return client.responses.create(model=MODEL, input=items, tools=[WEATHER])

    await call(api, talk)
    spec = api.runs.plans[1].spec
    assert spec.system_instruction == "Be kind."
    assert isinstance(spec.history[1], ThoughtStep)
    last = spec.history[-1]
    assert isinstance(last, FunctionResultStep)
    assert (last.name, last.result) == ("weather", "Sun")


async def test_function_tools(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        first = client.responses.create(
            model=MODEL, input=ASK_WEATHER, tools=[WEATHER], tool_choice="auto"
        )
        (wanted,) = first.output
        answer = {"type": "function_call_output", "call_id": wanted.call_id, "output": "Sunny"}
        last = client.responses.create(
            model=MODEL, previous_response_id=first.id, input=[answer], tools=[WEATHER]
        )
        return first, wanted, last

    first, wanted, last = await call(api, talk)
    assert (first.status, wanted.type, wanted.name) == ("completed", "function_call", "weather")
    assert json.loads(wanted.arguments) == {"city": "Rome"}
    assert first.tools[0].name == "weather"
    assert last.output_text == "Sunny"


async def test_structured_output(api: LocalController) -> None:
    class Answer(BaseModel):
        city: str

    parsed = await call(
        api,
        lambda client: client.responses.parse(
            model=MODEL, input='{"city": "Rome"}', text_format=Answer
        ),
    )
    assert parsed.output_parsed == Answer(city="Rome")
    schema = api.runs.plans[0].spec.response_schema
    assert schema is not None
    assert schema["required"] == ["city"]


async def test_pictures(api: LocalController) -> None:
    url = f"data:image/png;base64,{PIXEL}"
    content: Any = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    await call(
        api,
        lambda client: client.responses.create(
            model=MODEL, input=[{"role": "user", "content": content}]
        ),
    )
    (step,) = api.runs.plans[0].spec.history
    assert isinstance(step, UserInputStep)
    assert [part.type for part in step.content] == ["text", "image"]


def numbered(events: list[Any]) -> list[int]:
    return [event.sequence_number for event in events]


async def test_a_stream(api: LocalController) -> None:
    events = await call(
        api,
        lambda client: list(client.responses.create(model=MODEL, input=THINK_AND_SAY, stream=True)),
    )
    kinds = [event.type for event in events]
    assert [kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert numbered(events) == list(range(len(events)))
    last = events[-1].response
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == last.output_text == "Hello there, how are you today?"
    done = [e.item for e in events if e.type == "response.output_item.done"]
    assert done == last.output
    assert events[0].response.id == last.id
    assert await call(api, lambda client: client.responses.retrieve(last.id)) == last


async def test_the_sdks_own_stream_helper(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        with client.responses.stream(
            model=MODEL, input=f"```think\nHm.\n```\n{ASK_WEATHER}", tools=[WEATHER]
        ) as stream:
            kinds = {event.type for event in stream}
            return kinds, stream.get_final_response()

    kinds, final = await call(api, talk)
    assert "response.function_call_arguments.delta" in kinds
    assert "response.function_call_arguments.done" in kinds
    assert final.output[-1].arguments == '{"city": "Rome"}'


async def test_a_stream_is_gone_on_with_after_any_event(api: LocalController) -> None:
    def talk(client: OpenAI) -> None:
        whole = list(client.responses.create(model=MODEL, input=THINK_AND_SAY, stream=True))
        identifier = whole[0].response.id
        for seen in (*range(-1, len(whole) - 1), len(whole) - 1):
            rest = list(client.responses.retrieve(identifier, stream=True, starting_after=seen))
            assert rest == whole[seen + 1 :]

    await call(api, talk)


async def test_background_and_cancel(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as served:

        async def act(action: Callable[[OpenAI], Value]) -> Value:
            url = f"{served.url}/openai/v1"
            with anyio.fail_after(20), OpenAI(base_url=url, api_key=PLAYED_KEY) as client:
                return await anyio.to_thread.run_sync(action, client)

        begun = await act(
            lambda c: c.responses.create(model="gpt", input="wait say:Done", background=True)
        )
        assert (begun.status, begun.background) == ("in_progress", True)
        assert (await act(lambda c: c.responses.retrieve(begun.id))).status == "in_progress"
        served.parts.runs.go()
        await served.parts.log.wait_settled(begun.id.replace("resp_", "int_"))
        assert (await act(lambda c: c.responses.retrieve(begun.id))).output_text == "Done"
        hung = await act(lambda c: c.responses.create(model="gpt", input="hang", background=True))
        assert (await act(lambda c: c.responses.cancel(hung.id))).status == "cancelled"
        failed = await act(lambda c: c.responses.create(model="gpt", input="say:a fail"))
        assert (failed.status, failed.error.code) == ("failed", "server_error")
        assert failed.error.message == "No memory left."
        cut = await act(lambda c: c.responses.create(model="gpt", input="say:a incomplete"))
        assert cut.status == "incomplete"
        code = await act(
            lambda c: c.responses.create(
                model="antigravity", input="code say:Hi", stream=False, store=True
            )
        )
        assert [item.type for item in code.output] == ["code_interpreter_call", "message"]
        assert code.output[0].outputs[0].logs == "1\n"
        assert code.output[0].container_id == code.model_extra["environment_id"]
        events = await act(
            lambda c: list(c.responses.create(model="antigravity", input="code", stream=True))
        )
        kinds = [event.type for event in events]
        assert "response.code_interpreter_call_code.done" in kinds
        assert "response.code_interpreter_call.completed" in kinds
        assert events[-1].response.output[0].code == "print(1)"
        with pytest.raises(openai.InternalServerError, match="No memory left"):
            await act(
                lambda c: c.with_options(max_retries=0).chat.completions.create(
                    model="gpt", messages=[{"role": "user", "content": "fail"}]
                )
            )
        with pytest.raises(openai.APIError, match="No memory left"):
            await act(
                lambda c: list(
                    c.chat.completions.create(
                        model="gpt", messages=[{"role": "user", "content": "fail"}], stream=True
                    )
                )
            )


async def test_deleting(api: LocalController) -> None:
    def talk(client: OpenAI) -> None:
        made = client.responses.create(model=MODEL, input="x")
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
        with pytest.raises(openai.NotFoundError, match="previous_response_id") as missing:
            client.responses.create(model=MODEL, input="x", previous_response_id=made.id)
        assert missing.value.param == "previous_response_id"

    await call(api, talk)


async def test_what_is_not_to_be_stored_is_gone(api: LocalController) -> None:
    def talk(client: OpenAI) -> None:
        made = client.responses.create(model=MODEL, input="x", store=False)
        assert made.output_text == "x"
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)

    await call(api, talk)


async def test_agents_are_called_by_name(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        first = client.responses.create(model="antigravity-preview", input="Hi.")
        second = client.responses.create(
            model="antigravity", input=ASK_WEATHER, tools=[WEATHER], previous_response_id=first.id
        )
        asked = client.responses.create(model="clerk", input="```tool ask\n{}\n```")
        return first, second, asked

    first, second, asked = await call(api, talk)
    assert (first.model, first.output_text) == ("antigravity", "Hi.")
    assert second.model_extra["environment_id"] == first.model_extra["environment_id"]
    assert second.output[0].type == "function_call"
    assert "code_execution" in api.runs.plans[1].spec.sandbox_tools
    assert (asked.output[0].type, asked.output[0].name) == ("function_call", "ask")


async def test_asynchronously(api: LocalController) -> None:
    url = f"{api.url}/openai/v1"
    async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        made = await client.responses.create(model=MODEL, input="Hi.")
        assert made.output_text == "Hi."
        stream = await client.responses.create(model=MODEL, input="Hi.", stream=True)
        kinds = [event.type async for event in stream]
        assert kinds[-1] == "response.completed"
        chat = await client.chat.completions.create(
            model="antigravity", messages=[{"role": "user", "content": "Hi."}]
        )
        assert chat.choices[0].message.content == "Hi."
        models = [model.id async for model in client.models.list()]
        assert "antigravity" in models


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
    assert await api.store.interactions.get(made.id.replace("chatcmpl-", "int_")) is None


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


async def test_models(api: LocalController) -> None:
    def talk(client: OpenAI) -> Any:
        found = list(client.models.list())
        for model in found:
            assert client.models.retrieve(model.id) == model
        with pytest.raises(openai.NotFoundError, match="no model"):
            client.models.retrieve("nobody")
        return {model.id: model.owned_by for model in found}

    found = await call(api, talk)
    assert found["antigravity"] == found["clerk"] == "sandlot"
    assert found[MODEL] == "script"


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
