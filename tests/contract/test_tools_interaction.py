"""Tools of the controller in whole interactions, through the API, without a sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from runtime.schema.settings import OutboundSettings, SearchSettings, Settings
from tests.support.local_controller import LocalController, local_controller
from tests.support.mcp_odd import odd
from tests.support.mcp_world import Seen, hostile, weather
from tests.support.web_world import web

pytestmark = pytest.mark.anyio

CANARY = "canary-77b1e0d2"


class World:
    def __init__(self, api: LocalController, site: str, mcp: str, seen: Seen, folder: Path) -> None:
        self.api = api
        self.folder = folder
        self.site = site
        self.mcp = mcp
        self.seen = seen

    @property
    def server(self) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {CANARY}"}
        return {"type": "mcp_server", "name": "weather", "url": self.mcp, "headers": headers}

    async def post(self, **body: Any) -> tuple[int, dict[str, Any]]:
        async with self.api.http() as client:
            answer = await client.post("/v1/interactions", json=body)
        return answer.status_code, answer.json()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with web() as site, weather() as (mcp, seen):
        settings = Settings(
            search=SearchSettings(provider="searxng", base_url=site),
            outbound=OutboundSettings(allow=["127.0.0.1"]),
        )
        async with local_controller(tmp_path, settings=settings) as api:
            yield World(api, site, mcp, seen, tmp_path)


def files_below(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return found


def play(*calls: tuple[str, dict[str, Any]]) -> str:
    return "\n".join(f"```tool {name}\n{json.dumps(arguments)}\n```" for name, arguments in calls)


async def test_mcp_search_and_pages_in_one_interaction(world: World) -> None:
    script = play(
        ("weather__temperature", {"city": "Rome"}),
        ("weather__reveal", {}),
        ("google_search", {"queries": ["penguins"]}),
        ("url_context", {"urls": [f"{world.site}/article", "http://10.0.0.1/"]}),
    )
    tools = [world.server, {"type": "google_search"}, {"type": "url_context"}]
    status, made = await world.post(model="script/inline", input=script, tools=tools)
    assert status == 200, made
    assert made["status"] == "completed"
    steps = [step for step in made["steps"] if step["type"] != "model_output"]
    assert [step["type"] for step in steps] == [
        "mcp_server_tool_call",
        "mcp_server_tool_result",
        "mcp_server_tool_call",
        "mcp_server_tool_result",
        "google_search_call",
        "google_search_result",
        "url_context_call",
        "url_context_result",
    ]
    assert steps[0]["server_name"] == "weather"
    assert steps[0]["name"] == "temperature"
    assert steps[0]["arguments"] == {"city": "Rome"}
    assert steps[1]["result"] == "It is 23 degrees in Rome."
    assert steps[3]["result"] == "You sent [hidden]."
    assert steps[4]["arguments"] == {"queries": ["penguins"]}
    assert steps[5]["result"][0]["url"] == "http://a.example/0"
    assert [page["status"] for page in steps[7]["result"]] == ["success", "unsafe"]
    assert "emperor penguin" in steps[7]["result"][0]["text"]
    async with world.api.http() as client:
        seen = (await client.get(f"/v1/interactions/{made['id']}")).text
    assert CANARY not in seen
    assert not any(CANARY.encode() in path.read_bytes() for path in files_below(world.folder))
    assert world.seen.headers[0]["authorization"] == f"Bearer {CANARY}"


async def test_a_failing_tool_is_an_error_result_and_the_run_goes_on(world: World) -> None:
    script = play(("weather__storm", {}), ("weather__temperature", {"city": "Oslo"}))
    _, made = await world.post(model="script/inline", input=script, tools=[world.server])
    results = [step for step in made["steps"] if step["type"] == "mcp_server_tool_result"]
    assert results[0]["is_error"] is True
    assert results[1]["result"] == "It is 23 degrees in Oslo."
    assert made["status"] == "completed"


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ({"type": "mcp_server", "name": "Weather", "url": "http://a.example/"}, "tools"),
        (
            {"type": "mcp_server", "name": "w", "url": "http://10.0.0.1/"},
            "tools[0]: mcp_server 'w'",
        ),
        ({"type": "google_search", "search_types": ["image_search"]}, "tools[0]: google_search"),
    ],
)
async def test_a_tool_that_cannot_be_had_is_a_400(
    world: World, tool: dict[str, Any], words: str
) -> None:
    status, answer = await world.post(model="script/inline", input="Hi", tools=[tool])
    assert status == 400
    assert words in answer["error"]["message"]


async def test_search_without_provider_is_a_400_that_says_how(tmp_path: Path) -> None:
    async with local_controller(tmp_path) as api:
        world = World(api, "", "", Seen(), tmp_path)
        tools = [{"type": "google_search"}]
        status, answer = await world.post(model="script/inline", input="Hi", tools=tools)
        assert status == 400
        assert "provider: searxng" in answer["error"]["message"]


async def test_what_an_interaction_held_is_let_go_of_when_it_is_refused(world: World) -> None:
    tools = [world.server, {"type": "mcp_server", "name": "w", "url": "http://10.0.0.1/"}]
    status, _ = await world.post(model="script/inline", input="Hi", tools=tools)
    assert status == 400
    assert world.api.tools.held == 0
    status, made = await world.post(
        model="script/inline", input=play(("weather__radar", {})), tools=[world.server]
    )
    assert (status, made["status"]) == (200, "completed")
    with anyio.fail_after(30):
        while world.api.tools.held:
            await checkpoint()


@pytest.mark.parametrize("way", ["background", "stream"])
async def test_a_server_that_hangs_delays_no_answer(world: World, way: str) -> None:
    """The answer is there while the server has not answered, and never will."""
    async with hostile("hang") as (url, server):
        tool = {"type": "mcp_server", "name": "slow", "url": url}
        body = {"model": "script/inline", "input": "Hi", "tools": [tool], way: True}
        async with (
            world.api.http() as client,
            client.stream("POST", "/v1/interactions", json=body) as answer,
        ):
            assert answer.status_code == 200
            first = await anext(answer.aiter_text())
            assert "in_progress" in first
        (operation,) = (await get(world, "/v1/operations"))["operations"]
        assert operation["done"] is False
        with anyio.fail_after(30):
            while not server.asked:
                await checkpoint()
        name = operation["metadata"]["interaction_id"]
        async with world.api.http() as client:
            with anyio.fail_after(10):
                ended = (await client.post(f"/v1/interactions/{name}/cancel")).json()
        assert ended["status"] == "cancelled"
        assert world.api.tools.held == 0


async def get(world: World, path: str) -> dict[str, Any]:
    async with world.api.http() as client:
        return (await client.get(path)).json()


async def test_a_server_that_is_not_there_fails_the_run_and_says_why(world: World) -> None:
    gone = {"type": "mcp_server", "name": "gone", "url": "http://127.0.0.1:9/mcp"}
    status, made = await world.post(model="script/inline", input="Hi", tools=[world.server, gone])
    assert (status, made["status"]) == (200, "failed")
    (fault,) = made["errors"]
    assert fault["code"] == "tool_server_failed"
    assert fault["message"].startswith("mcp_server 'gone': the server cannot be reached")
    assert made["steps"] == []


async def test_allowed_tools_that_are_not_there_fail_the_run(world: World) -> None:
    server = {**world.server, "allowed_tools": ["temperatur"]}
    _, made = await world.post(model="script/inline", input="Hi", tools=[server])
    assert made["status"] == "failed"
    assert made["errors"][0]["code"] == "invalid_request"
    assert "it has 'temperature'" in made["errors"][0]["message"]


@pytest.mark.parametrize(
    ("names", "status", "words"),
    [
        (["weather"], "completed", ""),
        (["weather__temperature"], "completed", ""),
        (["weather__temperatur"], "failed", "Did you mean 'weather__temperature'?"),
    ],
)
async def test_a_tool_choice_among_tools_that_are_not_known_yet(
    world: World, names: list[str], status: str, words: str
) -> None:
    choice = {"allowed_tools": {"mode": "auto", "tools": names}}
    _, made = await world.post(
        model="script/inline",
        input=play(("weather__temperature", {"city": "Rome"})),
        tools=[world.server],
        generation_config={"tool_choice": choice},
    )
    assert made["status"] == status, made
    assert words in str(made.get("errors"))
    if status == "completed":
        assert "23 degrees in Rome" in str(made["steps"])


async def test_what_a_tool_choice_cannot_mean_is_known_at_once(world: World) -> None:
    for names in (["weathe"], ["weather_"], ["forecast"]):
        choice = {"allowed_tools": {"tools": names}}
        status, answer = await world.post(
            model="script/inline",
            input="Hi",
            tools=[world.server],
            generation_config={"tool_choice": choice},
        )
        assert status == 400, names
        assert "tool_choice.allowed_tools.tools" in answer["error"]["message"]


async def test_two_servers_of_one_name_are_refused(world: World) -> None:
    status, answer = await world.post(
        model="script/inline", input="Hi", tools=[world.server, world.server]
    )
    assert status == 400
    assert "two MCP servers with the name 'weather'" in answer["error"]["message"]
    assert world.api.tools.held == 0


async def test_a_function_keeps_its_name_beside_a_servers_tool(world: World) -> None:
    function = {"type": "function", "name": "odd__do"}
    async with odd("json") as (url, server):
        tools = [{"type": "mcp_server", "name": "odd", "url": url}, function]
        _, made = await world.post(model="script/inline", input=play(("odd__do", {})), tools=tools)
        assert made["status"] == "requires_action"
        assert made["steps"][-1]["name"] == "odd__do"
        assert "tools/call" not in server.methods


async def test_a_server_that_dies_in_a_call_is_an_error_result(world: World) -> None:
    async with odd("json") as (url, server):
        server.broken = 1
        tools = [{"type": "mcp_server", "name": "odd", "url": url}]
        script = play(("odd__do", {}), ("odd__do", {}))
        _, made = await world.post(model="script/inline", input=script, tools=tools)
    results = [step for step in made["steps"] if step["type"] == "mcp_server_tool_result"]
    assert [bool(step.get("is_error")) for step in results] == [True, False]
    assert "the connection broke" in str(results[0]["result"])
    assert results[1]["result"] == "done"
    assert made["status"] == "completed"
