"""However many small parts one connection has at hand, the others have their turn."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from runtime.egress.caller import Caller
from runtime.egress.flow import Flow, Totals
from runtime.egress.heads import Target
from runtime.egress.origin import Origin
from runtime.egress.rules import Limits
from runtime.egress.uplink import Line
from runtime.egress.wire import Wire
from runtime.outbound.hosts import Authority

pytestmark = pytest.mark.anyio

PARTS = 500
TURNS = 10
CHUNKS = b"1\r\nx\r\n" * PARTS + b"0\r\n\r\n"
HOST = Authority("a.example.com", 80)


@asynccontextmanager
async def turns() -> AsyncGenerator[Callable[[], int]]:
    """How many turns somebody else has had."""
    count = 0

    async def take() -> None:
        nonlocal count
        while True:
            count += 1
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        yield lambda: count
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * PARTS + b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["chunks", "hints"],
)
async def test_an_answer_of_many_parts(answer: bytes) -> None:
    ours, server = socket.socketpair()
    with server:
        server.sendall(answer)
        wire, target = Wire(ours), Target("http", HOST, b"/")
        flow = Flow("http", HOST, None, Totals(Limits()))
        origin = Origin(Line(wire, None, lambda: wire.is_quiet), target, flow)
        await origin.start(b"GET", target, [], flow)
        async with turns() as had:
            for _ in range(PARTS):
                assert await origin.next_event() is not None
            assert had() >= TURNS
        await origin.aclose()


async def test_a_request_of_many_parts() -> None:
    ours, program = socket.socketpair()
    with program:
        program.sendall(b"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        program.sendall(CHUNKS)
        wire = Wire(ours)
        caller = Caller(wire, Limits())
        assert await caller.next_request() is not None
        async with turns() as had:
            assert [chunk async for chunk in caller.body()] == [b"x"] * PARTS
            assert had() >= TURNS
        await wire.aclose()
