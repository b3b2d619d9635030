"""Conversations longer than a model's context, and limits, through the official SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from runtime.schema.agents import AgentLimits, AgentSpec
from runtime.schema.settings import ModelsSettings
from tests.contract.model_wires import WIRES
from tests.contract.provider_controller import called, output_text, provided, said
from tests.support.local_controller import KEY, LocalController, local_controller

pytestmark = pytest.mark.anyio

MODEL = "script/inline"
SMALL = ModelsSettings(default=MODEL, context_tokens={MODEL: 2000})


@asynccontextmanager
async def small_context(folder: Path) -> AsyncIterator[tuple[Any, LocalController]]:
    async with local_controller(folder, models=SMALL) as controller:
        options = types.HttpOptions(base_url=controller.url)
        client = genai.Client(api_key=KEY, http_options=options)
        async with client.aio as sdk:
            yield sdk.interactions, controller


async def test_a_chain_outlives_the_context_and_shows_how(tmp_path: Path) -> None:
    async with small_context(tmp_path) as (sdk, controller):
        previous: str | None = None
        made: list[Any] = []
        for number in range(12):
            text = f"number {number}: " + "word " * 200
            made.append(await sdk.create(model=MODEL, input=text, previous_interaction_id=previous))
            previous = made[-1].id
        plans = controller.runs.plans
        compactions = [one for one in made if one.steps[0].type == "thought"]
        shown = await sdk.get(compactions[0].id)

    assert all(one.status == "completed" for one in made)
    assert all(one.output_text.startswith(f"number {n}: ") for n, one in enumerate(made))
    assert len(compactions) >= 2, "it is compacted again and again"
    step = compactions[0].steps[0]
    assert step.summary[0].text.startswith("# Task")
    assert [one.type for one in shown.steps] == ["user_input", "thought", "model_output"]
    assert shown.steps[1].model_dump()["compaction"]["kind"] == "summary"
    used = [one.usage.model_dump()["context_tokens"] for one in made]
    assert max(used) < 2000 and used[-1] < 1700
    lengths = [len(plan.spec.history) for plan in plans]
    assert lengths[-1] < 12, "later interactions start from the compacted conversation"


async def test_a_stream_with_a_compaction_is_read_by_the_sdk(tmp_path: Path) -> None:
    async with small_context(tmp_path) as (sdk, _):
        first = await sdk.create(model=MODEL, input="word " * 500)
        second = await sdk.create(
            model=MODEL, input="more " * 200, previous_interaction_id=first.id
        )
        stream = await sdk.create(
            model=MODEL, input="the end", previous_interaction_id=second.id, stream=True
        )
        events = [event async for event in stream]

    kinds = [event.event_type for event in events]
    assert kinds[0] == "interaction.created" and kinds[-1] == "interaction.completed"
    starts = [event.step.type for event in events if event.event_type == "step.start"]
    assert starts == ["thought", "model_output"]
    deltas = [event.delta for event in events if event.event_type == "step.delta"]
    assert deltas[0].type == "thought_summary" and deltas[0].content.text.startswith("# Task")
    assert "".join(one.text for one in deltas if one.type == "text") == "the end"
    assert events[-1].interaction.usage.total_tokens > 0


async def test_a_budget_ends_a_run_and_continue_goes_on(tmp_path: Path) -> None:
    wire = WIRES["openai"]
    replies = [called(wire, "c1", "view_file"), said(wire, "Here is the rest.")]
    async with provided(wire, tmp_path, *replies) as it:
        config = {"type": "antigravity", "max_total_tokens": "50"}
        ended = await it.create(
            agent="antigravity", input="Do it.", agent_config=config, environment="remote"
        )
        again = await it.create(
            agent="antigravity",
            input="continue",
            previous_interaction_id=ended["id"],
            environment=ended["environment_id"],
        )
    assert ended["status"] == "incomplete" and ended["errors"][0]["code"] == "token_limit"
    assert ended["usage"]["total_tokens"] == 112
    assert [step["type"] for step in ended["steps"]] == ["function_call", "function_result"]
    assert again["status"] == "completed" and output_text(again) == "Here is the rest."
    texts = str(it.server.asked[1].body["input"])
    assert "Do it." in texts and "continue" in texts and "c1" in texts


async def test_a_limit_of_steps_keeps_what_there_is(tmp_path: Path) -> None:
    wire = WIRES["anthropic"]
    agent = AgentSpec(id="short", limits=AgentLimits(max_steps=2))
    replies = [called(wire, f"c{number}", "view_file") for number in range(5)]
    async with provided(wire, tmp_path, *replies, agents=[agent]) as it:
        ended = await it.create(agent="short", input="Go.")
    assert ended["status"] == "incomplete" and ended["errors"][0]["code"] == "step_limit"
    assert len(it.server.asked) == 2 and len(ended["steps"]) == 4
    assert ended["usage"]["total_tokens"] == 224
