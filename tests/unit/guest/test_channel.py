from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from runtime.guest.channel import Channel, Ends, open_ends
from runtime.guest.service import Offer, Service
from runtime.guest.tools import Emit
from runtime.schema.steps import ToolResult, text_result

pytestmark = pytest.mark.anyio


async def hang(arguments: dict[str, Any], emit: Emit) -> ToolResult:
    await anyio.sleep_forever()
    return text_result("never")


async def hello(arguments: dict[str, Any], emit: Emit) -> ToolResult:
    return text_result("hello")


async def no_answer(_name: str, _arguments: dict[str, Any]) -> None:
    return None


async def nothing(_text: str) -> None:
    return None


class Pair:
    """Both sides of a channel; the service begins to read when it is told to."""

    def __init__(self, channel: Channel, ends: Ends, tasks: TaskGroup) -> None:
        self.channel = channel
        self._ends = ends
        self._tasks = tasks

    def serve(self) -> None:
        service = Service(Offer({"hang": hang, "hello": hello}))
        self._tasks.start_soon(service.serve, self._ends)

    async def hang(self, scope: anyio.CancelScope) -> None:
        with scope:
            await self.channel.call("hang", {}, nothing)

    async def still_works(self) -> bool:
        return (await self.channel.call("hello", {}, nothing)).text == "hello"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ours, theirs = open_ends()
    channel = await Channel.over(ours, no_answer)
    with anyio.fail_after(30), closing(theirs.frames), closing(theirs.descriptors):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.run)
            yield Pair(channel, theirs, tasks)
            tasks.cancel_scope.cancel()
        await channel.aclose()


async def test_a_call_and_its_cancellation_arrive_together(pair: Pair) -> None:
    scope = anyio.CancelScope()
    async with anyio.create_task_group() as calls:
        calls.start_soon(pair.hang, scope)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        pair.serve()
    assert await pair.still_works()


async def test_a_call_is_cancelled_before_it_is_sent(pair: Pair) -> None:
    pair.serve()
    scope = anyio.CancelScope()
    scope.cancel()
    await pair.hang(scope)
    assert await pair.still_works()


async def test_a_running_call_is_cancelled(pair: Pair) -> None:
    pair.serve()
    scope = anyio.CancelScope()
    async with anyio.create_task_group() as calls:
        calls.start_soon(pair.hang, scope)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
    assert await pair.still_works()
