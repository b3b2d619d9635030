"""MCP servers behind `ControllerTools`, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from runtime.errors import InvalidRequest, ToolFault, ToolServerFault
from runtime.schema.content import ImageContent
from runtime.schema.model import FunctionDeclaration
from runtime.schema.settings import OutboundSettings, Settings
from runtime.tools.relay import ControllerTools
from tests.support.mcp_world import PNG, hostile, weather

pytestmark = pytest.mark.anyio

TOKEN = "Bearer canary-5f2a90c1"


def settings() -> Settings:
    return Settings(outbound=OutboundSettings(allow=["127.0.0.1"]))


@pytest.fixture
async def tools() -> AsyncIterator[ControllerTools]:
    made = ControllerTools(settings())
    async with made.open():
        yield made


async def offer(
    tools: ControllerTools, interaction: str, tool: dict[str, Any]
) -> list[FunctionDeclaration]:
    """What a server has, asked as a run asks."""
    assert await tools.offer(interaction, tool) == []
    return await tools.listed(interaction, set())


def mcp(url: str, name: str = "weather", **more: Any) -> dict[str, Any]:
    return {"type": "mcp_server", "name": name, "url": url, **more}


async def test_tools_are_listed_and_called(tools: ControllerTools) -> None:
    async with weather() as (url, _):
        offered = await offer(tools, "int_1", mcp(url))
        names = [tool.name for tool in offered]
        assert names[:2] == ["weather__temperature", "weather__forecast"]
        assert offered[0].description == "The temperature of a city."
        assert offered[0].parameters["properties"]["city"]["type"] == "string"
        answer = await tools.call("int_1", "weather__temperature", {"city": "Rome"})
        assert answer.text == "It is 23 degrees in Rome."
        assert not answer.is_error
        await tools.release("int_1")


async def test_pictures_structures_and_errors_come_back(tools: ControllerTools) -> None:
    async with weather() as (url, _):
        await offer(tools, "int_1", mcp(url))
        picture = await tools.call("int_1", "weather__radar", {})
        assert picture.text == "Now:"
        assert picture.content[1] == ImageContent(data=PNG, mime_type="image/png")
        structure = await tools.call("int_1", "weather__forecast", {"days": 2})
        assert '"sky"' in structure.text
        failed = await tools.call("int_1", "weather__storm", {})
        assert failed.is_error
        assert "storm" in failed.text
        wrong = await tools.call("int_1", "weather__temperature", {"town": 1})
        assert wrong.is_error
        await tools.release("int_1")


async def test_headers_reach_the_server_and_do_not_come_back(tools: ControllerTools) -> None:
    async with weather() as (url, seen):
        await offer(tools, "int_1", mcp(url, headers={"Authorization": TOKEN}))
        assert {headers.get("authorization") for headers in seen.headers} == {TOKEN}
        answer = await tools.call("int_1", "weather__reveal", {})
        assert answer.text == "You sent [hidden]."
        assert "canary" not in repr(answer)
        await tools.release("int_1")


async def test_only_what_was_offered_can_be_called(tools: ControllerTools) -> None:
    async with weather() as (url, _):
        await offer(tools, "int_1", mcp(url, allowed_tools=["temperature"]))
        await tools.offer("int_2", {"type": "url_context"})
        for interaction, name in [
            ("int_1", "weather__radar"),
            ("int_1", "url_context"),
            ("int_2", "weather__temperature"),
            ("int_3", "url_context"),
        ]:
            with pytest.raises(ToolFault, match="There is no tool"):
                await tools.call(interaction, name, {"urls": ["http://127.0.0.1/"]})
        await tools.release("int_1")
        with pytest.raises(ToolFault, match="There is no tool"):
            await tools.call("int_1", "weather__temperature", {"city": "Rome"})


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (["forecast"], ["forecast"]),
        ([{"mode": "auto", "tools": ["radar", "storm"]}], ["radar", "storm"]),
        ([{"mode": "validated", "tools": ["radar"]}, "forecast"], ["forecast", "radar"]),
        ([{"mode": "none"}], []),
        ([], []),
        ([{"mode": "auto"}], ["temperature", "forecast", "radar", "storm", "reveal", "slow"]),
    ],
)
async def test_allowed_tools(tools: ControllerTools, allowed: list[Any], names: list[str]) -> None:
    async with weather() as (url, _):
        offered = await offer(tools, "int_1", mcp(url, allowed_tools=allowed))
        assert [tool.name for tool in offered] == [f"weather__{name}" for name in names]
        await tools.release("int_1")


async def test_two_servers_in_one_interaction(tools: ControllerTools) -> None:
    async with weather() as (one, seen_one), weather() as (two, seen_two):
        await offer(tools, "int_1", mcp(one, "north"))
        await offer(tools, "int_1", mcp(two, "south-2"))
        before = len(seen_one.methods), len(seen_two.methods)
        answer = await tools.call("int_1", "south-2__temperature", {"city": "Ushuaia"})
        assert "Ushuaia" in answer.text
        assert len(seen_one.methods) == before[0]
        assert len(seen_two.methods) > before[1]
        await tools.release("int_1")


async def test_a_call_that_is_given_up_leaves_the_session_usable(tools: ControllerTools) -> None:
    async with weather() as (url, _):
        await offer(tools, "int_1", mcp(url))
        with anyio.move_on_after(0.3) as scope:
            await tools.call("int_1", "weather__slow", {})
        assert scope.cancelled_caught
        answer = await tools.call("int_1", "weather__temperature", {"city": "Rome"})
        assert "Rome" in answer.text
        await tools.release("int_1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Weather"}, "lower-case"),
        ({"name": None}, "is needed"),
        ({"name": "a__b"}, "no '__'"),
        ({"name": "a_"}, "no '_' at its end"),
        ({"url": None}, "url: is needed"),
        ({"url": "ftp://example.com/"}, "http"),
        ({"url": "http://169.254.169.254/mcp"}, "not public"),
        ({"url": "http://localhost:8080/mcp"}, "private network"),
        ({"credential": "c"}, "no stored credentials"),
        ({"headers": {"Host": "other"}}, "'Host' cannot be set"),
        ({"headers": {"X-A": "a\r\nB: c"}}, "the value of 'X-A'"),
        ({"allowed_tools": ["temperatur"]}, "it has 'temperature'"),
        ({"allowed_tools": [{"mode": "any"}]}, "the mode 'any'"),
    ],
)
async def test_what_cannot_be_had_is_refused(
    tools: ControllerTools, change: dict[str, Any], words: str
) -> None:
    async with weather() as (url, _):
        with pytest.raises(InvalidRequest, match=words):
            await offer(tools, "int_1", {**mcp(url), **change})
        await tools.release("int_1")


async def test_a_server_that_is_not_there_fails_with_its_name(tools: ControllerTools) -> None:
    with anyio.fail_after(30), pytest.raises(ToolServerFault, match="'gone': the server cannot"):
        await offer(tools, "int_1", mcp("http://127.0.0.1:9/mcp", "gone"))
    await tools.release("int_1")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("endless list", "too long"),
        ("wide list", "too long"),
        ("broken list", "protocol"),
        ("redirect", "answered 307"),
        ("teapot", "answered 418"),
    ],
)
async def test_a_server_that_misbehaves_at_first_fails(
    tools: ControllerTools, how: str, words: str
) -> None:
    async with hostile(how) as (url, server):
        with anyio.fail_after(30), pytest.raises(ToolServerFault, match=words):
            await offer(tools, "int_1", mcp(url, "hostile"))
        await tools.release("int_1")
        assert server.asked < 100


async def test_a_server_that_hangs_can_be_left(tools: ControllerTools) -> None:
    async with hostile("hang") as (url, _):
        with anyio.move_on_after(0.5) as scope:
            await offer(tools, "int_1", mcp(url, "hostile"))
        assert scope.cancelled_caught
        with anyio.fail_after(30):
            await tools.release("int_1")


@pytest.mark.parametrize("how", ["huge result", "endless events"])
async def test_a_result_without_end_is_an_error_result(tools: ControllerTools, how: str) -> None:
    async with hostile(how) as (url, _):
        await offer(tools, "int_1", mcp(url, "hostile"))
        with anyio.fail_after(30), pytest.raises(ToolFault, match="larger than"):
            await tools.call("int_1", "hostile__do", {})
        await tools.release("int_1")


async def test_long_texts_and_odd_names_are_cut(tools: ControllerTools) -> None:
    async with hostile("long text") as (url, _):
        offered = await offer(tools, "int_1", mcp(url, "hostile"))
        assert len(offered[0].description) == 4000
        assert len(offered[1].name) == 64
        assert offered[1].name.startswith("hostile__weird_name_with_spaces_")
        answer = await tools.call("int_1", "hostile__do", {})
        assert len(answer.text) < 201_000
        assert answer.text.endswith("[700000 characters left out]")
        await tools.release("int_1")


async def test_an_odd_name_is_called_by_its_own(tools: ControllerTools) -> None:
    async with hostile("honest") as (url, _):
        offered = await offer(tools, "int_1", mcp(url, "hostile"))
        answer = await tools.call("int_1", offered[1].name, {})
        assert answer.text.startswith("weird/name with spaces xxx")
        await tools.release("int_1")
