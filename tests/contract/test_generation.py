"""`generation_config`: what a model is known not to take is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.schema.agents import AgentSpec
from runtime.schema.model import Generation
from tests.contract.model_wires import WIRES
from tests.contract.provider_controller import provided, said

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("kind", "model", "config", "field"),
    [
        ("openai", "gpt-5.6", {"seed": 1}, "seed"),
        ("openai", "gpt-5.6", {"stop_sequences": ["x"]}, "stop_sequences"),
        ("openai", "gpt-5", {"temperature": 1}, "temperature"),
        ("openai", "o4-mini", {"top_p": 0.5}, "top_p"),
        ("openai", "gpt-4.1", {"thinking_level": "low"}, "thinking_level"),
        ("anthropic", "claude-opus-5", {"seed": 1}, "seed"),
        ("anthropic", "claude-opus-5", {"temperature": 1}, "temperature"),
        (
            "anthropic",
            "claude-haiku-4-5",
            {"thinking_level": "low", "temperature": 1},
            "temperature",
        ),
        (
            "anthropic",
            "claude-haiku-4-5",
            {"thinking_level": "low", "max_output_tokens": 9},
            "max_output_tokens",
        ),
        ("google", "gemini-2.0-flash", {"thinking_level": "low"}, "thinking_level"),
    ],
)
async def test_a_setting_that_the_model_does_not_take(
    kind: str, model: str, config: dict[str, Any], field: str, tmp_path: Path
) -> None:
    wire = WIRES[kind]
    async with provided(wire, tmp_path, said(wire, "ok")) as it:
        refused = await it.create(model=f"{kind}/{model}", input="x", generation_config=config)
    assert refused["error"]["code"] == "invalid_request"
    message = refused["error"]["message"]
    assert message.startswith(f"generation_config.{field}: ") and f"{kind}/{model}" in message
    assert it.server.asked == []


async def test_an_agents_own_setting_is_named_as_the_agents(tmp_path: Path) -> None:
    wire = WIRES["openai"]
    agent = AgentSpec(id="seeded", generation=Generation(seed=1))
    async with provided(wire, tmp_path, said(wire, "ok"), agents=[agent]) as it:
        refused = await it.create(agent="seeded", input="x")
    assert refused["error"]["code"] == "invalid_request"
    assert refused["error"]["message"].startswith("agent 'seeded': generation.seed: ")


@pytest.mark.parametrize("config", [{"temperature": 0.5}, {"tool_choice": "any"}, {}])
async def test_agents_bring_their_own_settings(config: dict[str, Any], tmp_path: Path) -> None:
    wire = WIRES["openai"]
    async with provided(wire, tmp_path, said(wire, "ok")) as it:
        refused = await it.create(agent="antigravity", input="x", generation_config=config)
    assert refused["error"]["code"] == "invalid_request"
    assert refused["error"]["message"].startswith("generation_config: cannot be given together")
