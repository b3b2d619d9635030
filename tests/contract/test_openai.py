"""The official OpenAI SDK, unmodified, against the API: responses and models."""

from __future__ import annotations

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
from tests.support.openai_sdk import ASK_WEATHER, MODEL, PIXEL, THINK_AND_SAY, WEATHER, call
from tests.support.server import KEY as PLAYED_KEY
from tests.support.server import running

pytestmark = pytest.mark.anyio
Value = TypeVar("Value")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[LocalController]:
    async with local_controller(tmp_path) as opened:
        yield opened


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
