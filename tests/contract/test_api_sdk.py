"""The official SDK, unmodified, against the API."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
from google import genai
from google.genai import types
from google.genai._gaos.lib import compat_errors as errors

from tests.support.server import KEY, Running

pytestmark = pytest.mark.anyio

AGENT = "antigravity-preview-09-2026"
Value = TypeVar("Value")


def client_of(api: Running, **options: Any) -> genai.Client:
    http = types.HttpOptions(**{"base_url": api.url, **options})
    return genai.Client(api_key=KEY, http_options=http)


async def call(action: Callable[[], Value]) -> Value:
    """The sync SDK, in a thread of its own beside the server."""
    with anyio.fail_after(20):
        return await anyio.to_thread.run_sync(action)


async def test_a_waiting_call_answers_with_the_models_steps(api: Running) -> None:
    client = client_of(api)
    done = await call(
        lambda: client.interactions.create(
            agent=AGENT, input="think say:Hello", environment="remote"
        )
    )
    assert done.status == "completed"
    assert done.output_text == "Hello"
    assert [step.type for step in done.steps] == ["thought", "model_output"]
    assert done.environment_id
    assert done.usage.total_tokens == 6
    again = await call(lambda: client.interactions.get(done.id))
    assert [step.type for step in again.steps] == ["user_input", "thought", "model_output"]
    assert again.output_text == "Hello"
    assert again.input is None
    full = await call(lambda: client.interactions.get(done.id, include_input=True))
    assert full.input == "think say:Hello"


async def test_a_stream_tells_everything_in_order(api: Running) -> None:
    client = client_of(api)

    def stream() -> list[Any]:
        return list(client.interactions.create(agent=AGENT, input="code say:Hello", stream=True))

    events = await call(stream)
    kinds = [event.event_type for event in events]
    assert kinds[0] == "interaction.created"
    assert kinds[-1] == "interaction.completed"
    assert {"step.start", "step.delta", "step.stop"} == set(kinds[1:-1])
    assert [event.event_id for event in events] == [str(n + 1) for n in range(len(events))]
    assert [e.usage for e in events if e.event_type == "step.stop" and e.usage]
    text = "".join(
        e.delta.text for e in events if e.event_type == "step.delta" and e.delta.type == "text"
    )
    last = events[-1].interaction
    assert last.usage.total_tokens == 9
    kept = await call(lambda: client.interactions.get(last.id))
    assert text == kept.output_text == "Hello"
    assert last.environment_id == kept.environment_id


async def test_a_background_call_returns_at_once_and_is_polled(api: Running) -> None:
    client = client_of(api)
    begun = await call(
        lambda: client.interactions.create(agent=AGENT, input="wait say:Done", background=True)
    )
    assert begun.status == "in_progress"
    assert begun.steps == []
    found = await call(lambda: client.interactions.get(begun.id))
    assert found.status == "in_progress"
    api.parts.runs.go()
    await api.parts.log.wait_settled(begun.id)
    found = await call(lambda: client.interactions.get(begun.id))
    assert found.status == "completed"
    assert found.output_text == "Done"


async def test_cancelling(api: Running) -> None:
    client = client_of(api)
    begun = await call(
        lambda: client.interactions.create(agent=AGENT, input="say:a hang", background=True)
    )
    cancelled = await call(lambda: client.interactions.cancel(begun.id))
    assert cancelled.status == "cancelled"
    assert (await call(lambda: client.interactions.get(begun.id))).status == "cancelled"
    assert (await call(lambda: client.interactions.cancel(begun.id))).status == "cancelled"


async def test_deleting(api: Running) -> None:
    client = client_of(api)
    done = await call(lambda: client.interactions.create(agent=AGENT, input="hi"))
    assert await call(lambda: client.interactions.delete(done.id)) is None
    with pytest.raises(errors.NotFoundError) as failure:
        await call(lambda: client.interactions.get(done.id))
    assert failure.value.body["error"]["code"] == "not_found"
    with pytest.raises(errors.NotFoundError):
        await call(lambda: client.interactions.delete(done.id))


async def test_a_stream_is_resumed_after_any_event(api: Running) -> None:
    client = client_of(api)
    done = await call(lambda: client.interactions.create(agent=AGENT, input="think code say:Hi"))

    def replay(last: str | None) -> list[str]:
        more = {"last_event_id": last} if last else {}
        return [e.event_id for e in client.interactions.get(done.id, stream=True, **more)]

    everything = await call(lambda: replay(None))
    assert everything == [str(n + 1) for n in range(len(everything))]
    for last in everything[:-1]:
        assert await call(lambda last=last: replay(last)) == everything[int(last) :]
    assert await call(lambda: replay(everything[-1])) == [everything[-1]]


async def test_a_stream_follows_a_running_interaction(api: Running) -> None:
    client = client_of(api)
    begun = await call(
        lambda: client.interactions.create(
            agent=AGENT, input="say:a wait say:b", background=True, environment={"type": "remote"}
        )
    )

    def follow() -> str:
        text = ""
        for event in client.interactions.get(begun.id, stream=True):
            if event.event_type == "step.delta":
                text += event.delta.text
                anyio.from_thread.run_sync(api.parts.runs.go)
        return text

    assert await call(follow) == "ab"


async def test_the_async_client(api: Running) -> None:
    client = client_of(api, api_version="v1beta").aio
    with anyio.fail_after(20):
        done = await client.interactions.create(agent=AGENT, input="say:Hello")
        assert done.output_text == "Hello"
        stream = await client.interactions.create(agent=AGENT, input="say:Hello", stream=True)
        assert [event.event_type async for event in stream][-1] == "interaction.completed"
        begun = await client.interactions.create(agent=AGENT, input="hang", background=True)
        assert (await client.interactions.cancel(begun.id)).status == "cancelled"
        await client.interactions.delete(begun.id)
        with pytest.raises(errors.NotFoundError):
            await client.interactions.get(begun.id)
        await client.aclose()


async def test_a_model_without_agent_keeps_a_conversation(api: Running) -> None:
    client = client_of(api)
    first = await call(lambda: client.interactions.create(model="gemini-flash", input="I am Ada"))
    assert first.environment_id is None
    second = await call(
        lambda: client.interactions.create(
            model="gemini-flash",
            input="Who am I?",
            previous_interaction_id=first.id,
            generation_config={"temperature": 0.1, "thinking_level": "low"},
        )
    )
    assert second.output_text == "Who am I?"
    plan = api.parts.runs.plans[-1]
    assert [step.type for step in plan.spec.history] == ["user_input", "model_output", "user_input"]
    assert plan.environment is None
    assert plan.spec.generation.temperature == 0.1


async def test_a_function_of_the_caller(api: Running) -> None:
    client = client_of(api)
    tool = {
        "type": "function",
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    asked = await call(
        lambda: client.interactions.create(
            agent=AGENT, input="code call:weather", tools=[tool], environment="remote"
        )
    )
    assert asked.status == "requires_action"
    (pending,) = [step for step in asked.steps if step.type == "function_call"]
    assert pending.arguments == {"city": "Paris"}
    answer = {
        "type": "function_result",
        "name": "weather",
        "call_id": pending.id,
        "result": {"temperature": 23},
    }
    done = await call(
        lambda: client.interactions.create(
            agent=AGENT,
            input=[answer],
            previous_interaction_id=asked.id,
            environment=asked.environment_id,
        )
    )
    assert done.status == "completed"
    assert "23" in done.output_text
    assert done.environment_id == asked.environment_id


async def test_pictures_and_lists_of_content(api: Running) -> None:
    client = client_of(api)
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "data": "aGk=", "mime_type": "image/png"},
    ]
    done = await call(lambda: client.interactions.create(agent=AGENT, input=parts))
    assert done.output_text == "What is this?"
    (step,) = api.parts.runs.plans[-1].spec.history
    assert [part.type for part in step.content] == ["text", "image"]


async def test_errors_are_the_sdks_own_classes(api: Running) -> None:
    client = client_of(api)
    begun = await call(
        lambda: client.interactions.create(agent=AGENT, input="hang", background=True)
    )

    def create(**body: Any) -> Callable[[], Any]:
        return lambda: client.interactions.create(**{"agent": AGENT, "input": "hi", **body})

    table: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (create(agent="nobody"), errors.NotFoundError, "nobody"),
        (create(agent="deep-research-preview-04-2026"), errors.NotFoundError, "antigravity"),
        (create(environment="0" * 32), errors.NotFoundError, "environment"),
        (create(previous_interaction_id=begun.id), errors.BadRequestError, "in progress"),
        (create(previous_interaction_id="int_0"), errors.NotFoundError, "int_0"),
        (create(store=False, background=True), errors.BadRequestError, "store"),
        (create(extra_body={"generation_config": {}}), errors.BadRequestError, "generation_config"),
        (create(extra_body={"backgroud": True}), errors.BadRequestError, "'background'"),
        (create(tools=[{"type": "google_maps"}]), errors.BadRequestError, "google_maps"),
        (create(webhook_config={"uris": ["http://x"]}), errors.BadRequestError, "webhook_config"),
        (lambda: client.interactions.get("int_0"), errors.NotFoundError, "int_0"),
        (lambda: client.interactions.cancel("int_0"), errors.NotFoundError, "int_0"),
        (
            lambda: client.interactions.create(model="gpt-9", input="hi"),
            errors.BadRequestError,
            "gpt-9",
        ),
    ]
    for action, expected, words in table:
        with pytest.raises(expected) as failure:
            await call(action)
        assert words in json.dumps(failure.value.body)
    stranger = genai.Client(api_key="wrong", http_options=types.HttpOptions(base_url=api.url))
    with pytest.raises(errors.AuthenticationError):
        await call(lambda: stranger.interactions.get(begun.id))
    await call(lambda: client.interactions.cancel(begun.id))


async def test_agents_and_models_are_listed(api: Running) -> None:
    client = client_of(api)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agents = await call(lambda: client.agents.list())
        assert [agent.id for agent in agents.agents] == ["antigravity", "clerk"]
        one = await call(lambda: client.agents.get(AGENT))
        assert one.system_instruction == "Be helpful."
        models = await call(lambda: [model.name for model in client.models.list()])
    assert models == ["models/gemini-flash", "models/gpt"]


async def test_spellings_of_the_base_url(api: Running) -> None:
    for base in (f"{api.url}/", f"{api.url}/v1beta", f"{api.url}//"):
        client = client_of(api, base_url=base)
        done = await call(lambda client=client: client.interactions.create(agent=AGENT, input="hi"))
        assert done.output_text == "hi"
