"""`tool_choice`, from the API to each provider's wire, and what a model makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.model_wires import WIRES, Wire
from tests.contract.provider_controller import called, output_text, provided, said

pytestmark = pytest.mark.anyio

ALL = pytest.mark.parametrize("wire", WIRES.values(), ids=lambda wire: wire.kind)
TOOLS = [{"type": "function", "name": name, "description": name} for name in ("look", "listen")]


def choosing(choice: Any, **more: Any) -> dict[str, Any]:
    body = {"input": "hi", "tools": TOOLS, "generation_config": {"tool_choice": choice}}
    return {**body, **more}


def allowed(mode: str, *names: str) -> Any:
    return {"allowed_tools": {"mode": mode, "tools": list(names)}}


def offered(wire: Wire, body: dict[str, Any]) -> list[str]:
    tools = body.get("tools", [])
    match wire.kind:
        case "google":
            return [one["name"] for tool in tools for one in tool["functionDeclarations"]]
        case "openai_compatible":
            return [tool["function"]["name"] for tool in tools]
        case _:
            return [tool["name"] for tool in tools]


def chosen(wire: Wire, body: dict[str, Any]) -> Any:
    if wire.kind == "google":
        return body["toolConfig"]["functionCallingConfig"]
    return body.get("tool_choice")


FORCED: dict[str, dict[str, Any]] = {
    "google": {"mode": "ANY"},
    "openai": "required",
    "anthropic": {"type": "any"},
    "openai_compatible": "required",
}
FORCED_ONE: dict[str, Any] = {
    "google": {"mode": "ANY", "allowedFunctionNames": ["look"]},
    "openai": {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "look"}],
    },
    "anthropic": {"type": "tool", "name": "look"},
    "openai_compatible": "required",
}


@ALL
async def test_none_tells_the_model_of_no_tool_and_runs_none(wire: Wire, tmp_path: Path) -> None:
    replies = [called(wire, "c1", "look"), said(wire, "Then I say it.")]
    async with provided(wire, tmp_path, *replies) as it:
        made = await it.create(**choosing("none"))
    assert offered(wire, it.server.asked[0].body) == []
    assert made["status"] == "completed" and output_text(made) == "Then I say it."
    result = next(step for step in made["steps"] if step["type"] == "function_result")
    assert result["is_error"] and "No tool may be called" in result["result"]


@ALL
@pytest.mark.parametrize("names", [None, ["look"]], ids=["all", "one"])
async def test_any_forces_a_call(wire: Wire, names: list[str] | None, tmp_path: Path) -> None:
    choice = "any" if names is None else allowed("any", *names)
    async with provided(wire, tmp_path, said(wire, "No."), called(wire, "c1", "look")) as it:
        made = await it.create(**choosing(choice))
    assert made["status"] == "requires_action"
    assert [step["type"] for step in made["steps"]] == ["function_call"], "the text is not shown"
    first = it.server.asked[0].body
    assert chosen(wire, first) == (FORCED if names is None else FORCED_ONE)[wire.kind]
    if names is None:
        assert offered(wire, first) == ["look", "listen"]


@ALL
async def test_a_model_that_never_calls_fails_the_interaction(wire: Wire, tmp_path: Path) -> None:
    async with provided(wire, tmp_path, said(wire, "No.")) as it:
        made = await it.create(**choosing("any"))
    assert made["status"] == "failed" and len(it.server.asked) == 3
    assert made["errors"][0]["code"] == "tool_choice_ignored"
    assert "look, listen" in made["errors"][0]["message"]


@ALL
@pytest.mark.parametrize("mode", ["auto", "validated"])
async def test_a_tool_that_is_not_allowed_is_not_run(wire: Wire, mode: str, tmp_path: Path) -> None:
    replies = [called(wire, "c1", "listen"), said(wire, "So be it.")]
    async with provided(wire, tmp_path, *replies) as it:
        made = await it.create(**choosing(allowed(mode, "look")))
    assert made["status"] == "completed" and output_text(made) == "So be it."
    result = next(step for step in made["steps"] if step["type"] == "function_result")
    assert result["is_error"]
    assert result["result"] == "listen may not be called here. What may be called: look."
    choice = chosen(wire, it.server.asked[0].body)
    match wire.kind:
        case "google":
            assert choice == {"mode": "VALIDATED", "allowedFunctionNames": ["look"]}
        case "openai":
            assert choice["tools"] == [{"type": "function", "name": "look"}]
        case _:
            assert offered(wire, it.server.asked[0].body) == ["look"]


@ALL
async def test_a_tool_that_nobody_offered_is_an_error_result(wire: Wire, tmp_path: Path) -> None:
    replies = [called(wire, "c1", "smell", x=1), said(wire, "Sorry.")]
    async with provided(wire, tmp_path, *replies) as it:
        made = await it.create(input="hi", tools=TOOLS)
    assert made["status"] == "completed"
    result = next(step for step in made["steps"] if step["type"] == "function_result")
    assert result["is_error"] and "There is no tool `smell`" in result["result"]


async def test_groups_of_built_in_tools_can_be_named(tmp_path: Path) -> None:
    wire = WIRES["openai_compatible"]
    async with provided(wire, tmp_path, said(wire, "ok")) as it:
        tools = [{"type": "code_execution"}, {"type": "browser"}, *TOOLS]
        choice = allowed("auto", "browser", "look")
        made = await it.create(**choosing(choice, tools=tools, environment="remote"))
        (plan,) = it.controller.runs.plans
    assert made["status"] == "completed"
    names = plan.spec.tool_choice.names
    assert names is not None and {"browser_navigate", "browser_click", "look"} <= set(names)
    assert "code_execution" not in names and "view_file" not in names


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            choosing(allowed("auto", "lok")),
            "there is no tool 'lok' in this call. Did you mean 'look'?",
        ),
        (choosing("any", tools=[]), "tool_choice: 'any' needs a tool"),
        (choosing(allowed("any")), "tool_choice: 'any' needs a tool"),
        (choosing("all"), "generation_config.tool_choice"),
    ],
)
async def test_choices_that_are_refused(body: dict[str, Any], message: str, tmp_path: Path) -> None:
    wire = WIRES["openai"]
    async with provided(wire, tmp_path, said(wire, "ok")) as it:
        refused = await it.create(**body)
    assert refused["error"]["code"] == "invalid_request"
    assert message in refused["error"]["message"]
    assert it.server.asked == []
