"""MCP servers in every form the protocol allows, and in some that it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from pydantic import SecretStr

from runtime.errors import ToolFault, ToolServerFault
from runtime.schema.content import ImageContent
from runtime.schema.model import FunctionDeclaration
from runtime.schema.settings import OutboundSettings, Settings
from runtime.tools.mcp_schema import is_schema
from runtime.tools.mcp_signing import Sign, Signature
from runtime.tools.relay import ControllerTools
from tests.support.mcp_odd import odd

pytestmark = pytest.mark.anyio

ONE = "int_1"
DO = "odd__do"


@pytest.fixture
async def tools() -> AsyncIterator[ControllerTools]:
    allowed = OutboundSettings(allow=["127.0.0.1", "localhost"])
    made = ControllerTools(Settings(outbound=allowed))
    async with made.open():
        yield made
        with anyio.fail_after(30):
            await made.release(ONE)


async def listed(
    tools: ControllerTools, url: str, name: str = "odd", *taken: str
) -> list[FunctionDeclaration]:
    await tools.offer(ONE, {"type": "mcp_server", "name": name, "url": url})
    with anyio.fail_after(30):
        return await tools.listed(ONE, set(taken))


async def called(tools: ControllerTools, name: str = DO) -> Any:
    with anyio.fail_after(30):
        return await tools.call(ONE, name, {})


@pytest.mark.parametrize("how", ["json", "sse", "redirect", "asks"])
async def test_ways_to_answer(tools: ControllerTools, how: str) -> None:
    async with odd(how) as (url, server):
        assert [tool.name for tool in await listed(tools, url)] == [DO]
        assert (await called(tools)).text == "done"
        assert server.sessions == 1


async def test_a_redirect_to_another_origin_is_not_followed(tools: ControllerTools) -> None:
    async with odd("redirect away") as (url, server):
        with pytest.raises(ToolServerFault, match="307, a redirect to http://localhost:"):
            await listed(tools, url)
        assert server.methods == []


async def test_pages_of_a_list(tools: ControllerTools) -> None:
    async with odd("paged") as (url, _):
        assert [tool.name for tool in await listed(tools, url)] == [f"odd__t{n}" for n in range(5)]
        assert (await called(tools, "odd__t4")).text == "done"


async def test_a_session_that_expired_is_begun_anew(tools: ControllerTools) -> None:
    async with odd("json") as (url, server):
        await listed(tools, url)
        for count in (2, 3):
            server.expired = True
            assert (await called(tools)).text == "done"
            assert server.sessions == count
        assert server.methods.count("tools/call") == 4


async def test_a_server_that_dies_in_a_call_is_used_again_by_the_next(
    tools: ControllerTools,
) -> None:
    async with odd("json") as (url, server):
        await listed(tools, url)
        server.broken = 1
        with pytest.raises(ToolFault, match="the connection broke"):
            await called(tools)
        assert (await called(tools)).text == "done"


async def test_a_call_that_is_given_up_is_cancelled_at_the_server(tools: ControllerTools) -> None:
    async with odd("chatter") as (url, server):
        await listed(tools, url)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(called, tools)
                while "tools/call" not in server.methods:
                    await checkpoint()
                scope.cancel()
        with anyio.fail_after(30):
            await server.cancelled.wait()


async def test_every_kind_of_content(tools: ControllerTools) -> None:
    async with odd("rich") as (url, _):
        await listed(tools, url)
        answer = await called(tools)
    kinds = [part.type for part in answer.content]
    assert kinds == ["text", "image", "text", "text", "text", "text", "text"]
    assert isinstance(answer.content[1], ImageContent)
    texts = [part.text for part in answer.content if part.type == "text"]
    assert texts == [
        "Look:",
        "[audio left out]",
        "[file:///a.md]\n# A",
        '[file:///b.json]\n{"b": 1}',
        "[content of type application/x-c left out]",
        "[d] https://example.com/d\nA link.",
    ]


async def test_structured_content_and_errors(tools: ControllerTools) -> None:
    async with odd("structured") as (url, _):
        await listed(tools, url)
        answer = await called(tools)
    assert (answer.text, answer.value, answer.is_error) == ('{"a": [1]}', {"a": [1]}, True)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("fault", "The disk is full."),
        ("html", "text/html"),
        ("garbage", "no JSON-RPC message"),
        ("accepted", "202 Accepted"),
        ("wrong shape", "follow the protocol: content"),
        ("teapot", "answered 418"),
    ],
)
async def test_what_is_no_result_is_a_fault_that_says_so(
    tools: ControllerTools, how: str, words: str
) -> None:
    async with odd(how) as (url, _):
        await listed(tools, url)
        with pytest.raises(ToolFault, match=words) as refused:
            await called(tools)
        assert "pydantic" not in refused.value.message


@pytest.mark.parametrize(
    ("how", "words"),
    [("old", "1999-01-01"), ("bad schema", "tools.0.inputSchema.type: Input should be 'object'")],
)
async def test_what_is_no_server_says_why(tools: ControllerTools, how: str, words: str) -> None:
    async with odd(how) as (url, _):
        with pytest.raises(ToolServerFault, match=words):
            await listed(tools, url)


async def test_a_parameter_schema_that_is_none_is_left_out(tools: ControllerTools) -> None:
    async with odd("odd schema") as (url, _):
        offered = await listed(tools, url)
    assert [tool.parameters for tool in offered] == [{"type": "object"}] * 3


@pytest.mark.parametrize(
    ("schema", "right"),
    [
        ({}, True),
        ({"type": ["object", "null"], "properties": {"a": True}, "required": ["a"]}, True),
        ({"items": [{"type": "string"}], "additionalProperties": False, "x-more": 1}, True),
        ({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"enum": [1, "b"]}}}, True),
        ({"type": "banana"}, False),
        ({"type": []}, False),
        ({"properties": []}, False),
        ({"properties": {"a": {"items": {"type": "nothing"}}}}, False),
        ({"anyOf": []}, False),
        ({"required": "a"}, False),
        ({"enum": "a"}, False),
        ({"not": 5}, False),
    ],
)
async def test_what_a_schema_is(schema: Any, right: bool) -> None:
    assert is_schema(schema) is right


async def test_names_that_are_taken(tools: ControllerTools) -> None:
    async with odd("twice") as (url, _), odd("json") as (other, _):
        await tools.offer(ONE, {"type": "mcp_server", "name": "odd", "url": url})
        await tools.offer(ONE, {"type": "mcp_server", "name": "other", "url": other})
        offered = await tools.listed(ONE, {DO})
        first, second = [tool.name for tool in offered]
        assert first.startswith("odd__do_")
        assert second == "other__do"
        assert (await called(tools, first)).text == "done"
        with pytest.raises(ToolFault, match="There is no tool"):
            await called(tools, DO)


class Broken:
    """Stored credentials, and a header of theirs that fails as nobody foresaw."""

    async def signature(self, project_id: str, credential_id: str) -> Sign:
        """What fails to sign."""
        return self._sign

    async def _sign(self, refused: SecretStr | None = None) -> Signature:
        raise KeyError("hunter2-and-more")


async def test_what_nobody_foresaw_ends_one_server_and_no_other() -> None:
    settings = Settings(outbound=OutboundSettings(allow=["127.0.0.1"]))
    made = ControllerTools(settings, Broken())
    async with odd("json") as (url, _), made.open():
        signed = {"type": "mcp_server", "name": "signed", "url": url, "credential": "key"}
        await made.offer("int_2", signed)
        with anyio.fail_after(30), pytest.raises(ToolServerFault, match="KeyError") as caught:
            await made.listed("int_2", set())
        assert "hunter2" not in caught.value.message
        assert [tool.name for tool in await listed(made, url)] == [DO]
        await made.release("int_2")
        await made.release(ONE)
