"""Each prompt begins with the bytes of the one before it, so that providers' caches hit."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runtime.schema.agents import AgentSpec
from tests.contract.model_servers import Asked
from tests.contract.model_wires import WIRES, Wire
from tests.contract.provider_controller import called, provided, said

pytestmark = pytest.mark.anyio

TURNS = 20
TOOLS = [
    {"type": "function", "name": name, "parameters": {"properties": {"z": {}, "a": {}}}}
    for name in ("zoom", "add", "map")
]
AGENT = AgentSpec(id="keeper", instructions="Keep what you are told. " * 20)


def prompt(wire: Wire, asked: Asked) -> str:
    """What the model reads, in the order in which it does: tools, instruction, conversation."""
    body = asked.body
    match wire.kind:
        case "google":
            head, turns = [body.get("tools"), body.get("systemInstruction")], body["contents"]
        case "openai":
            head, turns = [body.get("tools"), body.get("instructions")], body["input"]
        case "anthropic":
            body = _without_marks(body)
            head, turns = [body.get("tools"), body.get("system")], body["messages"]
        case _:
            head, turns = [body.get("tools")], body["messages"]
    return "\n".join(json.dumps(part) for part in [*head, *turns])


def _without_marks(value: Any) -> Any:
    """Marks say where a cache may begin; they are no part of the prompt."""
    if isinstance(value, dict):
        rest = {name: item for name, item in value.items() if name != "cache_control"}
        return {name: _without_marks(item) for name, item in rest.items()}
    return [_without_marks(item) for item in value] if isinstance(value, list) else value


def shares(wire: Wire, asked: list[Asked]) -> list[float]:
    """How much of each prompt is the beginning of the next one."""
    prompts = [prompt(wire, one) for one in asked]
    return [_common(earlier, later) / len(earlier) for earlier, later in pairwise(prompts)]


def _common(left: str, right: str) -> int:
    differing = (n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(differing, min(len(left), len(right)))


@pytest.mark.parametrize("wire", WIRES.values(), ids=lambda wire: wire.kind)
async def test_prompts_are_kept_over_a_long_run_and_a_chain(wire: Wire, tmp_path: Path) -> None:
    calls = [
        called(wire, f"call_{n}", "list_dir", DirectoryPath=f"/workspace/{n}", zeta=1, alpha=[n])
        for n in range(TURNS)
    ]
    replies = [*calls, said(wire, "Done."), *calls[:3], said(wire, "And again.")]
    body: dict[str, Any] = {"system_instruction": "Be brief.", "tools": TOOLS}
    async with provided(wire, tmp_path, *replies) as it:
        first = await it.create(input="Look around, please.", **body)
        second = await it.create(
            input="And once more.", previous_interaction_id=first["id"], **body
        )

    assert (first["status"], second["status"]) == ("completed", "completed")
    assert len(it.server.asked) == TURNS + 1 + 4
    assert set(shares(wire, it.server.asked)) == {1.0}
    assert first["usage"]["total_cached_tokens"] == 60 * (TURNS + 1)
    assert second["usage"]["total_cached_tokens"] == 60 * 4


@pytest.mark.parametrize("wire", WIRES.values(), ids=lambda wire: wire.kind)
async def test_prompts_of_an_agent_are_kept_too(wire: Wire, tmp_path: Path) -> None:
    async with provided(wire, tmp_path, said(wire, "Yes."), agents=[AGENT]) as it:
        previous = None
        for number in range(5):
            made = await it.create(
                agent="keeper", input=f"Remember {number}.", previous_interaction_id=previous
            )
            previous = made["id"]
    assert set(shares(wire, it.server.asked)) == {1.0}


async def test_the_marks_of_anthropics_cache_are_few_and_at_the_end(tmp_path: Path) -> None:
    wire = WIRES["anthropic"]
    calls = [called(wire, f"call_{n}", "look") for n in range(4)]
    async with provided(wire, tmp_path, *calls, said(wire, "ok")) as it:
        await it.create(input="Go.", system_instruction="s", tools=TOOLS)
    for asked in it.server.asked:
        assert json.dumps(asked.body).count("cache_control") <= 4, "the API takes no more"
        messages = asked.body["messages"]
        assert "cache_control" in messages[-1]["content"][-1]


async def test_openai_is_told_one_cache_key_for_a_conversation(tmp_path: Path) -> None:
    wire = WIRES["openai"]
    async with provided(wire, tmp_path, called(wire, "c", "look"), said(wire, "ok")) as it:
        first = await it.create(input="Go.", tools=TOOLS)
        await it.create(input="On.", tools=TOOLS, previous_interaction_id=first["id"])
        await it.create(input="Something else.", tools=TOOLS)
    *same, other = (asked.body["prompt_cache_key"] for asked in it.server.asked)
    assert len(set(same)) == 1 and other not in same
