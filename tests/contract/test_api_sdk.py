"""The official SDK against the API: plans, errors, catalogues; the rest is in `acceptance`."""

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
