"""What a request is resolved to, seen at the plans that reach `Runs`."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import now
from runtime.controller.plan import RunPlan
from runtime.errors import InvalidRequest, NotFound
from runtime.schema.agents import DataSource
from runtime.schema.protocol import RunLimits
from runtime.schema.sandbox_tools import SANDBOX_TOOLS, TOOL_GROUPS
from tests.support.services import ANTIGRAVITY, Agents, Offers, Parts, open_parts

pytestmark = pytest.mark.anyio


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with open_parts(tmp_path) as opened:
        yield opened


async def run(parts: Parts, **body: Any) -> tuple[str, RunPlan]:
    """Create, wait for the end; the id and the plan."""
    if "model" not in body:
        body.setdefault("agent", "antigravity")
    accepted = await parts.interactions.create("default", {"input": "hi", **body})
    assert await parts.interactions.wait(accepted, 10)
    return accepted.id, parts.runs.plans[-1]


async def test_an_agent_brings_all_that_it_has(parts: Parts) -> None:
    interaction, plan = await run(parts)
    spec = plan.spec
    assert plan.interaction_id == spec.run_id == interaction
    assert spec.model == "gemini-flash"
    assert spec.system_instruction == "Be helpful."
    assert spec.sandbox_tools == [*SANDBOX_TOOLS]
    assert spec.relayed_tools == []
    assert spec.limits == RunLimits(timeout_seconds=30, max_total_tokens=1000)
    environment = plan.environment
    assert environment is not None
    assert environment.is_new
    assert environment.variables == {"LEVEL": "info"}
    assert environment.skills == ANTIGRAVITY.skills
    record = await parts.store.environments.get("default", environment.environment_id)
    assert record is not None
    assert record.status == "active"
    assert record.variables == {"LEVEL": "info"}


async def test_an_agent_without_sandbox_tools_has_no_environment(parts: Parts) -> None:
    interaction, plan = await run(parts, agent="clerk")
    assert plan.environment is None
    assert plan.spec.model == "gpt"
    assert [tool.name for tool in plan.spec.client_functions] == ["ask"]
    assert "environment_id" not in await parts.interactions.view("default", interaction)
    _, plan = await run(parts, agent="clerk", environment="remote")
    assert plan.environment is not None


async def test_resource_names_of_agents_and_models(parts: Parts) -> None:
    await run(parts, agent="projects/p/locations/global/agents/antigravity")
    _, plan = await run(parts, model="models/gpt")
    assert plan.spec.model == "gpt"


async def test_the_callers_instruction_comes_after_the_agents(parts: Parts) -> None:
    _, plan = await run(parts, system_instruction="Be brief.")
    assert plan.spec.system_instruction == "Be helpful.\n\nBe brief."
    _, plan = await run(parts, model="gpt", system_instruction="Be brief.")
    assert plan.spec.system_instruction == "Be brief."


async def test_the_model_is_told_where_the_agents_data_lies(tmp_path: Path) -> None:
    data = DataSource(path=tmp_path, target="/workspace/data/birds.csv")
    agent = ANTIGRAVITY.model_copy(update={"data_sources": [data]})
    async with open_parts(tmp_path, agents=Agents([agent])) as parts:
        _, plan = await run(parts, system_instruction="Be brief.")
    told = plan.spec.system_instruction
    assert told is not None
    assert told.startswith("Be helpful.\n\n# Your data\n")
    assert told.endswith("\n- /workspace/data/birds.csv\n\nBe brief.")


async def test_the_callers_model_and_budget(parts: Parts) -> None:
    config = {"type": "antigravity", "model": "gpt", "max_total_tokens": "500"}
    interaction, plan = await run(parts, agent_config=config)
    assert plan.spec.model == "gpt"
    assert plan.spec.limits.max_total_tokens == 500
    view = await parts.interactions.view("default", interaction)
    assert view["agent_config"] == config
    assert view["model"] == "gpt"
    _, plan = await run(parts, agent_config={"max_total_tokens": 10**9})
    assert plan.spec.limits.max_total_tokens == 1000


async def test_given_tools_replace_the_agents_but_for_files(parts: Parts) -> None:
    files = TOOL_GROUPS["filesystem"]
    _, plan = await run(parts, tools=[])
    assert plan.spec.sandbox_tools == files
    _, plan = await run(parts, tools=[{"type": "browser"}, {"type": "code_execution"}])
    expected = {*files, *TOOL_GROUPS["browser"], "code_execution"}
    assert plan.spec.sandbox_tools == [name for name in SANDBOX_TOOLS if name in expected]
    function = {"type": "function", "name": "f", "parameters": {"properties": {}, "required": []}}
    _, plan = await run(parts, tools=[function], input="say:x")
    (declared,) = plan.spec.client_functions
    assert declared.parameters == {"type": "object", "properties": {}, "required": []}


async def test_search_is_there_where_it_is_configured(tmp_path: Path) -> None:
    async with open_parts(tmp_path, offers=Offers(search=True)) as parts:
        _, plan = await run(parts)
        assert [tool.name for tool in plan.spec.relayed_tools] == ["google_search"]
        _, plan = await run(parts, tools=[{"type": "google_search"}])
        assert plan.spec.sandbox_tools == TOOL_GROUPS["filesystem"]
        with pytest.raises(InvalidRequest, match="url_context"):
            await run(parts, tools=[{"type": "url_context"}])


async def test_an_agents_own_mcp_server_is_not_silently_left_out(tmp_path: Path) -> None:
    server = {"type": "mcp_server", "name": "w", "url": "http://w"}
    agents = Agents([ANTIGRAVITY.model_copy(update={"other_tools": [server]})])
    async with open_parts(tmp_path, agents=agents) as parts:
        with pytest.raises(InvalidRequest, match="mcp_server"):
            await run(parts)


async def test_a_model_runs_here_unless_it_needs_a_sandbox(parts: Parts) -> None:
    _, plan = await run(parts, model="gpt")
    assert plan.environment is None
    assert plan.spec.sandbox_tools == []
    _, plan = await run(parts, model="gpt", tools=[{"type": "code_execution"}])
    assert plan.environment is not None
    assert plan.spec.sandbox_tools == ["code_execution"]
    _, plan = await run(parts, model="gpt", environment="remote")
    assert plan.spec.sandbox_tools == ["code_execution", *TOOL_GROUPS["filesystem"]]
    assert plan.environment is not None
    assert plan.environment.variables == {}


async def test_generation_settings_of_a_model(parts: Parts) -> None:
    config = {
        "temperature": 1,
        "top_p": 0.5,
        "seed": 7,
        "max_output_tokens": "100",
        "stop_sequences": ["END"],
        "thinking_level": "high",
        "thinking_summaries": "auto",
        "tool_choice": {"allowed_tools": {"mode": "any", "tools": ["f"]}},
    }
    tools = [{"type": "function", "name": "f"}]
    _, plan = await run(parts, model="gpt", generation_config=config, tools=tools)
    found = plan.spec.generation.model_dump()
    del config["tool_choice"]
    assert found == {**config, "max_output_tokens": 100}
    assert plan.spec.tool_choice.mode == "any"
    assert plan.spec.tool_choice.names == ["f"]
    _, plan = await run(parts, model="gpt", generation_config={"tool_choice": "none"})
    assert plan.spec.tool_choice.mode == "none"


@pytest.mark.parametrize(
    ("body", "schema"),
    [
        ({}, None),
        ({"response_mime_type": "application/json"}, {}),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "text", "mime_type": "text/plain"}}, None),
        (
            {"response_format": {"type": "text", "mime_type": "application/json"}},
            {},
        ),
        (
            {"response_format": [{"type": "text", "schema": {"type": "array"}}]},
            {"type": "array"},
        ),
        (
            {
                "response_format": {"type": "object", "properties": {}},
                "response_mime_type": "application/json",
            },
            {"type": "object", "properties": {}},
        ),
    ],
)
async def test_formats_of_the_answer(parts: Parts, body: dict[str, Any], schema: Any) -> None:
    _, plan = await run(parts, model="gpt", **body)
    assert plan.spec.response_schema == schema


async def test_an_environment_is_reused_by_each_spelling(parts: Parts) -> None:
    first, plan = await run(parts)
    assert plan.environment is not None
    identifier = plan.environment.environment_id
    for asked in (
        identifier,
        f"environments/{identifier}",
        {"type": "remote", "environment_id": identifier, "network": "disabled"},
        {"env_id": identifier},
    ):
        again, plan = await run(parts, environment=asked)
        assert plan.environment is not None
        assert plan.environment.environment_id == identifier
        assert not plan.environment.is_new
        assert plan.environment.variables == {"LEVEL": "info"}
        assert plan.environment.skills == []
        view = await parts.interactions.view("default", again)
        assert view["environment_id"] == identifier
    assert first != again


async def test_conversation_and_environment_are_independent(parts: Parts) -> None:
    first, plan = await run(parts)
    assert plan.environment is not None
    one = plan.environment.environment_id
    _, plan = await run(parts, environment=one)
    assert len(plan.spec.history) == 1
    _, plan = await run(parts, previous_interaction_id=first, environment="remote")
    assert [step.type for step in plan.spec.history] == ["user_input", "model_output", "user_input"]
    assert plan.environment is not None
    assert plan.environment.environment_id != one
    _, plan = await run(parts, previous_interaction_id=first)
    assert plan.environment is not None
    assert plan.environment.is_new


async def test_an_expired_environment_is_not_found(parts: Parts) -> None:
    _, plan = await run(parts)
    assert plan.environment is not None
    identifier = plan.environment.environment_id
    await parts.store.environments.retire("default", identifier, "expired", now())
    for asked in (identifier, "0" * 32, "'; DROP TABLE environments", ""):
        with pytest.raises(NotFound, match="environment"):
            await run(parts, environment=asked)


async def test_what_only_a_new_environment_can_be_given(parts: Parts) -> None:
    _, plan = await run(parts)
    assert plan.environment is not None
    identifier = plan.environment.environment_id
    source = {"type": "inline", "target": "a", "content": "x"}
    with pytest.raises(InvalidRequest, match=r"environment\.sources"):
        await run(parts, environment={"environment_id": identifier, "sources": [source]})
    with pytest.raises(InvalidRequest, match=r"environment\.env"):
        await run(parts, environment={"environment_id": identifier, "env": {"A": "1"}})


async def test_files_and_variables_of_the_caller(parts: Parts) -> None:
    binary = base64.b64encode(b"\xff\x00").decode()
    sources = [
        {"type": "inline", "target": "notes/a.txt", "content": "ä"},
        {"type": "inline", "target": "/workspace/b.bin", "content": binary, "encoding": "base64"},
        {"type": "inline", "target": ".agents/AGENTS.md", "content": "c"},
        {"type": "inline", "target": "/.agents/skills/x/SKILL.md", "content": "d"},
    ]
    env = {"LEVEL": "debug", "TOKEN": {"value": "t"}}
    environment = {"type": "remote", "sources": sources, "env": env}
    interaction, plan = await run(parts, environment=environment)
    assert plan.environment is not None
    assert {f.target: base64.b64decode(f.content_base64) for f in plan.environment.files} == {
        "/workspace/notes/a.txt": "ä".encode(),
        "/workspace/b.bin": b"\xff\x00",
        "/workspace/.agents/AGENTS.md": b"c",
        "/workspace/.agents/skills/x/SKILL.md": b"d",
    }
    assert plan.environment.variables == {"LEVEL": "debug", "TOKEN": "t"}
    shown = (await parts.interactions.view("default", interaction))["environment"]
    assert "env" not in shown
    assert [source["target"] for source in shown["sources"]] == [s["target"] for s in sources]
    assert not any("content" in source for source in shown["sources"])
    record = await parts.store.environments.get("default", plan.environment.environment_id)
    assert record is not None
    assert record.sources == [{k: v for k, v in s.items() if k != "content"} for s in sources]


async def test_files_are_limited_together(parts: Parts) -> None:
    sources = [{"type": "inline", "target": f"f{n}", "content": "x" * 900_000} for n in range(3)]
    with pytest.raises(InvalidRequest, match="together"):
        await run(parts, environment={"sources": sources})
    with pytest.raises(InvalidRequest, match="given twice"):
        await run(parts, environment={"sources": [{**sources[0], "content": "x"}] * 2})


async def test_a_chain_is_remembered_whole(parts: Parts) -> None:
    previous: str | None = None
    for number in range(4):
        more = {"previous_interaction_id": previous} if previous else {}
        previous, plan = await run(parts, model="gpt", input=f"say:{number}", **more)
    texts = [step.content[0].text for step in plan.spec.history]
    assert texts == ["say:0", "0", "say:1", "1", "say:2", "2", "say:3"]


async def test_a_chain_with_a_deleted_link_is_not_silently_shorter(parts: Parts) -> None:
    first, _ = await run(parts, model="gpt")
    second, _ = await run(parts, model="gpt", previous_interaction_id=first)
    await parts.interactions.delete("default", first)
    with pytest.raises(NotFound, match=f"{first} was deleted"):
        await run(parts, model="gpt", previous_interaction_id=second)
    assert (await parts.interactions.view("default", second))["status"] == "completed"


async def test_agents_and_models_may_share_a_chain(parts: Parts) -> None:
    first, _ = await run(parts, input="code say:a")
    _, plan = await run(parts, model="gpt", previous_interaction_id=first)
    assert [step.type for step in plan.spec.history] == [
        "user_input",
        "code_execution_call",
        "code_execution_result",
        "model_output",
        "user_input",
    ]


async def test_a_function_result_goes_on_where_the_run_stopped(parts: Parts) -> None:
    asked, plan = await run(parts, input="code call:weather")
    assert plan.environment is not None
    identifier = plan.environment.environment_id
    result = {"type": "function_result", "call_id": "c2", "result": {"degrees": 23}}
    done, plan = await run(parts, input=[result], previous_interaction_id=asked)
    assert plan.spec.history[-1].name == "weather"
    assert plan.environment is not None
    assert plan.environment.environment_id == identifier
    view = await parts.interactions.view("default", done)
    assert [step["type"] for step in view["steps"]] == ["function_result", "model_output"]
    with pytest.raises(InvalidRequest, match="has its result already"):
        await run(parts, input=[result], previous_interaction_id=done)
    with pytest.raises(InvalidRequest, match="no function call 'c9'"):
        wrong = {**result, "call_id": "c9"}
        await run(parts, input=[wrong], previous_interaction_id=asked)


async def test_a_whole_conversation_may_be_sent_along(parts: Parts) -> None:
    steps = [
        {"type": "user_input", "content": [{"type": "text", "text": "Weather?"}]},
        {"type": "function_call", "id": "c1", "name": "weather", "arguments": {}, "extra": 1},
        {"type": "function_result", "call_id": "c1", "result": "sunny"},
    ]
    _, plan = await run(parts, model="gpt", input=steps, store=False)
    assert [step.type for step in plan.spec.history] == [step["type"] for step in steps]


async def test_input_of_every_form(parts: Parts) -> None:
    for given, count in [
        ("a", 1),
        ({"type": "text", "text": "a"}, 1),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], 2),
        ([{"type": "user_input", "content": [{"type": "text", "text": "a"}]}], 1),
        ([{"type": "document", "data": "aGk=", "mime_type": "text/plain"}], 1),
    ]:
        interaction, plan = await run(parts, model="gpt", input=given)
        (step,) = plan.spec.history
        assert len(step.content) == count
        view = await parts.interactions.view("default", interaction, include_input=True)
        assert view["input"] == given
        assert view["steps"][0]["type"] == "user_input"


async def test_null_is_the_same_as_nothing(parts: Parts) -> None:
    body = {"tools": None, "environment": None, "labels": None, "previous_interaction_id": None}
    interaction, _ = await run(parts, **body)
    view = await parts.interactions.view("default", interaction)
    assert not {*body, "errors", "error"} & {*view}


async def test_deleting_a_running_interaction_stops_it(parts: Parts) -> None:
    accepted = await parts.interactions.create("default", {"model": "gpt", "input": "hang"})
    await parts.interactions.delete("default", accepted.id)
    with pytest.raises(NotFound):
        await parts.interactions.view("default", accepted.id)


async def test_what_nobody_executes_can_still_be_cancelled(parts: Parts) -> None:
    accepted = await parts.interactions.create("default", {"model": "gpt", "input": "hang"})
    parts.runs._scopes.clear()
    await parts.interactions.cancel("default", accepted.id)
    assert (await parts.interactions.summary("default", accepted.id)).status == "cancelled"


async def test_recovery_forgets_what_was_not_to_be_stored(tmp_path: Path) -> None:
    async with open_parts(tmp_path) as parts:
        body = {"model": "gpt", "input": "hang", "store": False}
        unstored = await parts.interactions.create("default", body)
        stored = await parts.interactions.create("default", {"model": "gpt", "input": "hang"})
    async with open_parts(tmp_path) as parts:
        assert await parts.interactions.recover() == 2
        with pytest.raises(NotFound):
            await parts.interactions.view("default", unstored.id)
        view = await parts.interactions.view("default", stored.id)
        assert view["errors"][0]["code"] == "controller_stopped"
        assert await parts.interactions.recover() == 0
