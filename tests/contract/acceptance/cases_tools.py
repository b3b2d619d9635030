"""Tools: the caller's functions, MCP servers, search and pages, every kind of step."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import World, call, fence, gather, refused, unique

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CODE = {"type": "code_execution"}


def pending(interaction: Any) -> list[Any]:
    """The calls that the caller is to answer, found as the documents do."""
    answered = {step.call_id for step in interaction.steps if step.type == "function_result"}
    calls = [step for step in interaction.steps if step.type == "function_call"]
    return [step for step in calls if step.id not in answered]


@acceptance(25, 26)
async def a_function_is_asked_for_and_answered(world: World) -> None:
    prompt = call("list_dir", DirectoryPath="/workspace") + "\n" + call("get_weather", city="Lima")
    asked = await world.create(prompt, tools=[WEATHER, CODE])
    assert asked.status == "requires_action"
    assert len([step for step in asked.steps if step.type == "function_call"]) == 2
    (one,) = pending(asked)
    assert (one.name, one.arguments) == ("get_weather", {"city": "Lima"})
    result = {"type": "function_result", "name": one.name, "call_id": one.id}
    ended = await world.create(
        [{**result, "result": {"temperature": 23}}],
        previous_interaction_id=asked.id,
        environment=asked.environment_id,
    )
    assert ended.status == "completed" and "23" in ended.output_text


@acceptance(25, 26)
async def two_functions_at_once(world: World) -> None:
    calls = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Lima", "Oslo")]
    prompt = fence("tools", json.dumps(calls)) + "\n" + fence("say", "Mild.")
    events = await gather(await world.create(prompt, tools=[WEATHER], stream=True))
    ended = events[-1].interaction
    assert ended.status == "requires_action"
    kept = await world.sdk.interactions.get(ended.id)
    lima, oslo = pending(kept)
    assert (lima.arguments, oslo.arguments) == ({"city": "Lima"}, {"city": "Oslo"})
    half = {"type": "function_result", "name": "get_weather", "call_id": oslo.id, "result": "9"}
    failed = {"type": "function_result", "name": "get_weather", "call_id": lima.id}
    done = await world.create(
        [half, {**failed, "is_error": True, "result": "no such city"}],
        previous_interaction_id=ended.id,
        tools=[WEATHER],
    )
    assert (done.status, done.output_text) == ("completed", "Mild.")


@acceptance(26)
async def results_of_every_form(world: World) -> None:
    ask = {"model": "gemini-3.7-flash", "tools": [WEATHER]}
    forms: list[Any] = [{"temperature": 23}, "23 degrees", [{"type": "text", "text": "23"}]]
    for form in forms:
        prompt = call("get_weather", city="Lima")
        asked = await world.sdk.interactions.create(**ask, input=prompt)
        (one,) = pending(asked)
        result = {"type": "function_result", "call_id": one.id, "name": one.name, "result": form}
        # With the state kept by the controller, and with all of it sent again.
        kept = await world.sdk.interactions.create(
            **ask, input=[result], previous_interaction_id=asked.id
        )
        said = {"type": "user_input", "content": [{"type": "text", "text": prompt}]}
        sent = await world.sdk.interactions.create(
            **ask, input=[said, *asked.steps, result], store=False
        )
        assert kept.status == sent.status == "completed"
        assert "23" in kept.output_text and "23" in sent.output_text


@acceptance(23)
async def tools_that_are_named_replace_the_agents_own(world: World) -> None:
    tools = [{"type": "google_search"}, {"type": "url_context"}]
    prompt = "\n".join(
        [
            call("google_search", queries=["penguins"]),
            call("url_context", urls=[f"{world.place.site}/article"]),
        ]
    )
    made = await world.create(prompt, tools=tools)
    kinds = [step.type for step in made.steps]
    assert {"google_search_call", "google_search_result"} <= {*kinds}
    assert {"url_context_call", "url_context_result"} <= {*kinds}
    assert not [kind for kind in kinds if kind.startswith("code_execution")]
    # A model that asks for what it was not given is told so.
    name = unique("ran")
    forced = await world.create(fence("bash", f"touch {name}"), tools=tools)
    assert [step.is_error for step in forced.steps if step.type == "code_execution_result"] == [
        True
    ]
    listed = await world.create(fence("bash", "ls"))
    assert name not in listed.output_text


@acceptance(27)
async def an_mcp_server_is_called(world: World) -> None:
    server: dict[str, Any] = {"type": "mcp_server", "name": "weather", "url": world.place.mcp}
    server["allowed_tools"] = [{"mode": "auto", "tools": ["temperature"]}]
    prompt = call("weather__temperature", city="Rome")
    made = await world.create(prompt, tools=[server])
    assert made.status == "completed" and "23 degrees in Rome" in made.output_text
    asked, told = made.steps[:2]
    assert (asked.type, told.type) == ("mcp_server_tool_call", "mcp_server_tool_result")
    assert (asked.server_name, asked.name) == ("weather", "temperature")
    assert asked.arguments == {"city": "Rome"} and told.call_id == asked.id


@acceptance(28)
async def the_name_of_an_mcp_server(world: World) -> None:
    server = {"type": "mcp_server", "name": "Weather", "url": world.place.mcp}
    error = await refused("BadRequestError", world.create, prompt="Hi", tools=[server])
    assert error["code"] == "invalid_request" and "name" in error["message"]


@acceptance(29)
async def headers_reach_an_mcp_server_and_nobody_else(world: World) -> None:
    secret = unique("secret")
    server = {
        "type": "mcp_server",
        "name": "weather",
        "url": world.place.mcp,
        "headers": {"authorization": f"Bearer {secret}", "x-team": "ice"},
    }
    made = await world.create(call("weather__forecast", days=1), tools=[server])
    assert made.status == "completed"
    seen = [one for one in await world.back("mcp/headers") if secret in str(one)]
    assert seen and all(one["x-team"] == "ice" for one in seen)
    kept = await world.sdk.interactions.get(made.id, include_input=True)
    assert secret not in repr(kept) and secret not in repr(made)


@acceptance(77)
async def every_kind_of_step_is_read(world: World) -> None:
    prompt = "\n".join(
        [
            fence("think", "Look around."),
            fence("python", "print(1)"),
            fence("bash", "echo 2"),
            call("write_to_file", TargetFile="/workspace/kinds.txt", CodeContent="kinds"),
            call("weather__radar"),
            call("google_search", queries=["penguins"]),
            call("url_context", urls=[f"{world.place.site}/article"]),
            fence("say", "Asking."),
            call("get_weather", city="Lima"),
        ]
    )
    server = {"type": "mcp_server", "name": "weather", "url": world.place.mcp}
    tools = [WEATHER, CODE, server, {"type": "google_search"}, {"type": "url_context"}]
    made = await world.create(prompt, tools=tools)
    assert made.status == "requires_action", made
    wanted = ("type", "name", "arguments", "content", "result", "summary", "id", "call_id")
    for step in (await world.sdk.interactions.get(made.id)).steps:
        told = {name: getattr(step, name) for name in wanted if hasattr(step, name)}
        assert not type(step).__name__.startswith("Unknown"), step
        assert all(value is not None for value in told.values()) or step.type == "function_result"
    kinds = {step.type for step in made.steps}
    assert kinds == {
        "thought",
        "code_execution_call",
        "code_execution_result",
        "function_call",
        "function_result",
        "mcp_server_tool_call",
        "mcp_server_tool_result",
        "google_search_call",
        "google_search_result",
        "url_context_call",
        "url_context_result",
        "model_output",
    }
