"""The official `google-genai` SDK, unmodified, against a controller with real sandboxes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator
from typing import Any

import pytest
from google import genai
from google.genai import types

from tests.support.sandlot import INLINE, RunningController, fence

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:.*experimental.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

AGENT = "antigravity-preview-09-2026"


@pytest.fixture(scope="module")
def client(sandlot: RunningController) -> Generator[Any]:
    options = types.HttpOptions(base_url=f"{sandlot.url}/")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = genai.Client(api_key=sandlot.api_key, http_options=options)
        yield client
        client.close()


def create(client: Any, prompt: str, **more: Any) -> Any:
    return client.interactions.create(agent=AGENT, agent_config=INLINE, input=prompt, **more)


@pytest.fixture(scope="module")
def first(client: Any) -> Any:
    code = "\n".join(
        [
            "numbers = [0, 1]",
            "while len(numbers) < 20: numbers.append(numbers[-1] + numbers[-2])",
            "open('fibonacci.txt', 'w').write(' '.join(map(str, numbers)))",
            "print(open('fibonacci.txt').read())",
        ]
    )
    return create(client, fence("python", code), environment="remote")


def test_the_first_sample_of_the_quickstart(first: Any) -> None:
    assert first.status == "completed" and first.id and first.environment_id
    assert "4181" in first.output_text
    kinds = [step.type for step in first.steps]
    assert kinds == ["code_execution_call", "code_execution_result", "model_output"]


def test_a_follow_up_sees_the_files(client: Any, first: Any) -> None:
    second = create(
        client,
        fence("bash", "wc -w < fibonacci.txt"),
        previous_interaction_id=first.id,
        environment=first.environment_id,
    )
    assert second.output_text.strip() == "20"
    assert second.environment_id == first.environment_id


def test_a_new_environment_does_not(client: Any, first: Any) -> None:
    other = create(
        client,
        fence("bash", "ls fibonacci.txt || echo none"),
        previous_interaction_id=first.id,
        environment="remote",
    )
    assert other.environment_id != first.environment_id and "none" in other.output_text


def test_a_stream_adds_up_to_the_answer(client: Any, first: Any) -> None:
    prompt = fence("python", "print('working')") + "\n" + fence("say", "All is *well*.")
    events = list(create(client, prompt, environment=first.environment_id, stream=True))
    assert events[0].event_type == "interaction.created"
    assert events[-1].event_type == "interaction.completed"
    ended = events[-1].interaction
    assert ended.status == "completed" and ended.usage.total_tokens > 0
    assert ended.environment_id == first.environment_id
    text = "".join(
        event.delta.text
        for event in events
        if event.event_type == "step.delta" and event.delta.type == "text"
    )
    assert text == client.interactions.get(ended.id).output_text
    assert any(event.event_type == "step.stop" and event.usage for event in events)
    resumed = list(client.interactions.get(ended.id, stream=True, last_event_id=events[2].event_id))
    assert [one.event_id for one in resumed] == [one.event_id for one in events[3:]]


def test_background_poll_and_cancel(client: Any, first: Any) -> None:
    started = create(
        client,
        fence("bash", "sleep 1; echo over"),
        environment=first.environment_id,
        background=True,
    )
    assert started.status == "in_progress"
    deadline = time.monotonic() + 60
    while started.status == "in_progress" and time.monotonic() < deadline:
        time.sleep(0.2)
        started = client.interactions.get(started.id)
    assert started.status == "completed" and "over" in started.output_text
    long = create(
        client, fence("bash", "sleep 600"), environment=first.environment_id, background=True
    )
    assert client.interactions.cancel(long.id).status == "cancelled"
    assert client.interactions.get(long.id).status == "cancelled"


def test_a_function_of_the_caller_is_asked_for_and_answered(client: Any, first: Any) -> None:
    function = {
        "type": "function",
        "name": "get_weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    prompt = '```tool get_weather\n{"city": "Lima"}\n```\n' + fence("say", "It is mild there.")
    asked = create(
        client,
        prompt,
        environment=first.environment_id,
        tools=[function, {"type": "code_execution"}],
    )
    assert asked.status == "requires_action"
    answered = {step.call_id for step in asked.steps if step.type == "function_result"}
    (call,) = [s for s in asked.steps if s.type == "function_call" and s.id not in answered]
    assert (call.name, call.arguments) == ("get_weather", {"city": "Lima"})
    result = {"type": "function_result", "name": call.name, "call_id": call.id, "result": {"t": 23}}
    ended = create(
        client,
        [result],
        previous_interaction_id=asked.id,
        environment=first.environment_id,
        tools=[function],
    )
    assert ended.status == "completed" and "mild" in ended.output_text


def test_files_through_the_sdk(client: Any, first: Any, tmp_path: Any) -> None:
    files = client.environments.files
    data = bytes(range(256)) * 40_000
    source = tmp_path / "blob.bin"
    source.write_bytes(data)
    with source.open("rb") as handle:
        written = files.upload(
            environment=first.environment_id, path="workspace/up/blob.bin", file=handle
        )
    assert written.files[0].name == "blob.bin"
    back = files.download(environment=first.environment_id, path="workspace/up/blob.bin")
    assert bytes(back) == data
    listed = files.list(environment=first.environment_id, path="workspace", recursive=True)
    assert {"fibonacci.txt", "blob.bin"} <= {one.name for one in listed.files}
    assert client.environments.get(id=first.environment_id).status == "active"
