"""A guest that lies, floods and stalls, on a real socket: it harms nobody but itself."""

from __future__ import annotations

import os
import resource
import socket
import stat
import struct
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from structlog.testing import capture_logs

from runtime.errors import SandboxLost
from runtime.gateway.bounds import Pace
from runtime.gateway.listener import MAX_CONNECTIONS, SandboxListener
from runtime.gateway.session import MAX_QUEUED_BYTES, GuestSession, RemoteError
from runtime.schema.framing import encode_frame, read_frame
from runtime.schema.protocol import GATEWAY_SOCKET, PROTOCOL_VERSION, RunEvents

pytestmark = pytest.mark.anyio
HELLO = {"type": "hello", "protocol": PROTOCOL_VERSION, "guest_version": "x", "boot_id": "b"}
PATIENCE = 30


@asynccontextmanager
async def listening(folder: Path, pace: Pace | None = None) -> AsyncGenerator[SandboxListener]:
    listener = SandboxListener(folder, pace)
    await listener.bind(0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve)
        yield listener
        tasks.cancel_scope.cancel()
    listener.remove()


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncGenerator[SandboxListener]:
    async with listening(tmp_path / "s") as listener:
        yield listener


@asynccontextmanager
async def dialled(listener: SandboxListener) -> AsyncGenerator[SocketStream]:
    async with await anyio.connect_unix(listener.directory / GATEWAY_SOCKET) as stream:
        yield stream


@asynccontextmanager
async def guest(listener: SandboxListener) -> AsyncGenerator[tuple[SocketStream, GuestSession]]:
    """A connected guest, as both sides see it."""
    async with dialled(listener) as stream:
        await stream.send(encode_frame(HELLO))
        with anyio.fail_after(PATIENCE):
            yield stream, await listener.session()


async def is_hung_up_on(stream: SocketStream) -> bool:
    with anyio.fail_after(PATIENCE):
        try:
            while await stream.receive():
                continue
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return True
    return False


async def answers(stream: SocketStream, session: GuestSession) -> bool:
    """Whether a request still gets its answer."""
    async with anyio.create_task_group() as tasks:

        async def answer() -> None:
            asked = await read_frame(BufferedByteReceiveStream(stream))
            reply = {"type": "reply", "request_id": asked["request_id"], "value": "pong"}
            await stream.send(encode_frame(reply))

        tasks.start_soon(answer)
        with anyio.fail_after(PATIENCE):
            return await session.request("ping", {}) == "pong"


def events(run_id: str, first: int, size: int = 10) -> dict[str, Any]:
    step = {"type": "model_output", "content": [{"type": "text", "text": "x" * size}]}
    start = {"event_type": "step.start", "index": 0, "step": step}
    return {"type": "run_events", "run_id": run_id, "first": first, "events": [start]}


GARBAGE = {
    "noise": b"\x00\x00\x00\x05\xff\xfe\xfd\xfc\xfb",
    "huge": struct.pack(">I", 0xFFFFFFFF) + b"x",
    "http": b"GET /v1/interactions HTTP/1.1\r\nHost: x\r\n\r\n",
    "list": struct.pack(">I", 2) + b"[]",
    "deep": struct.pack(">I", 60_000) + b"[" * 60_000,
    "no-hello": encode_frame(events("r", 1)),
    "nan": struct.pack(">I", 20) + b'{"type":"hello",NaN}',
    "stranger": encode_frame({"type": "stream_hello", "stream_id": "s1"}),
    "unknown-field": encode_frame({**HELLO, "run_id": "another"}),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_hello_is_hung_up_on(listener: SandboxListener, name: str) -> None:
    async with dialled(listener) as stream:
        await stream.send(GARBAGE[name])
        assert await is_hung_up_on(stream)
    async with guest(listener) as (stream, session):
        assert await answers(stream, session), "the socket serves on"


@pytest.mark.parametrize("name", [name for name in GARBAGE if name != "no-hello"])
async def test_garbage_after_the_hello_ends_the_session(
    listener: SandboxListener, name: str
) -> None:
    async with guest(listener) as (stream, session):
        await stream.send(GARBAGE[name])
        with anyio.fail_after(PATIENCE):
            await session.wait_closed()


async def test_a_second_guest_is_turned_away(listener: SandboxListener) -> None:
    async with guest(listener) as (stream, session):
        async with dialled(listener) as second:
            await second.send(encode_frame(HELLO))
            assert await is_hung_up_on(second)
        assert await answers(stream, session)


async def test_the_folder_of_all_sockets_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir(mode=0o755)
    async with listening(folder / "one"), listening(folder / "two"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_silent_connections_are_counted(listener: SandboxListener) -> None:
    async with guest(listener) as (stream, session):
        silent = [
            await anyio.connect_unix(listener.directory / GATEWAY_SOCKET)
            for _ in range(MAX_CONNECTIONS + 5)
        ]
        assert await is_hung_up_on(silent[-1])
        assert await answers(stream, session)
        for one in silent:
            await one.aclose()


async def test_answers_to_nobody_change_nothing(listener: SandboxListener) -> None:
    async with guest(listener) as (stream, session):
        for number in ("r1", "r999", "", "x" * 1000):
            await stream.send(encode_frame({"type": "reply", "request_id": number, "value": 1}))
        await stream.send(encode_frame({"type": "report"}))
        assert await answers(stream, session)


async def test_a_refusal_of_the_guest_is_bounded(listener: SandboxListener) -> None:
    async with guest(listener) as (stream, session), anyio.create_task_group() as tasks:

        async def refuse() -> None:
            asked = await read_frame(BufferedByteReceiveStream(stream))
            fault = {"code": "x" * 10_000, "message": "y" * 1_000_000}
            reply = {"type": "reply", "request_id": asked["request_id"], "error": fault}
            await stream.send(encode_frame(reply))

        tasks.start_soon(refuse)
        with pytest.raises(RemoteError) as refused, anyio.fail_after(PATIENCE):
            await session.request("x", {})
        assert len(refused.value.message) <= 2000


async def test_who_asks_a_guest_that_reads_nothing_is_told(listener: SandboxListener) -> None:
    async with guest(listener) as (_, session):
        with pytest.raises(SandboxLost), anyio.fail_after(PATIENCE):
            await session.request("x", {"much": "x" * 10_000_000}, seconds=0.5)


async def test_a_flood_that_nobody_reads_stops_the_guest(tmp_path: Path) -> None:
    async with listening(tmp_path / "quick", Pace(share=100.0)) as listener:
        await _flood_that_nobody_reads(listener)


async def _flood_that_nobody_reads(listener: SandboxListener) -> None:
    size = 4 * 1024 * 1024
    frame = encode_frame(events("r", 1, size))
    count = 2 * MAX_QUEUED_BYTES // size
    sent = 0
    async with guest(listener) as (stream, session), anyio.create_task_group() as tasks:

        async def flood() -> None:
            nonlocal sent
            for _ in range(count):
                await stream.send(frame)
                sent += 1

        tasks.start_soon(flood)
        held = MAX_QUEUED_BYTES // size
        with anyio.fail_after(PATIENCE):
            while sent < held - 2:  # noqa: ASYNC110 - nothing tells but the number itself
                await anyio.sleep(0.01)
        await anyio.sleep(0.2)
        assert sent <= held + 3, "the guest waits while as much waits here as may"
        taken = 0
        with anyio.fail_after(PATIENCE):
            async for message in session.messages():
                assert isinstance(message, RunEvents)
                taken += 1
                if taken == count:
                    break
        assert taken == count and sent == count, "nothing was lost"


async def test_a_flood_of_small_frames_leaves_others_their_turns(
    listener: SandboxListener,
) -> None:
    flood = encode_frame({"type": "report"}) * 20_000
    async with guest(listener) as (stream, session), anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, flood)
        turns = 0
        with anyio.fail_after(PATIENCE):
            while not session.is_closed and turns < 1000:
                await anyio.lowlevel.checkpoint()
                turns += 1
        assert turns == 1000


@contextmanager
def no_files_left() -> Generator[None]:
    """This process can open no file more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_controller_without_files_lets_guests_in_later(listener: SandboxListener) -> None:
    with socket.socket(socket.AF_UNIX) as waiting, capture_logs() as logged:
        waiting.setblocking(False)
        with no_files_left(), anyio.fail_after(PATIENCE):
            waiting.connect(str(listener.directory / GATEWAY_SOCKET))
            while not logged:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert "Too many open files" in logged[0]["reason"]
        waiting.sendall(encode_frame(HELLO))
        with anyio.fail_after(PATIENCE):
            assert (await listener.session()).hello.boot_id == HELLO["boot_id"]


CROWDS = {
    "lists": b'{"type":"reply","request_id":"x","value":[' + b"[]," * 300_000 + b"0]}",
    "texts": b'{"type":"reply","request_id":"x","value":[' + b'"",' * 300_000 + b"0]}",
    "events": b'{"type":"run_events","run_id":"r","first":1,"events":['
    + b"{}," * 300_000
    + b"{}]}",
}


@pytest.mark.parametrize("name", CROWDS)
async def test_what_takes_long_to_read_is_not_read(listener: SandboxListener, name: str) -> None:
    async with guest(listener) as (stream, session):
        await stream.send(struct.pack(">I", len(CROWDS[name])) + CROWDS[name])
        with anyio.fail_after(PATIENCE):
            await session.wait_closed()


async def test_a_long_text_of_any_kind_is_read(listener: SandboxListener) -> None:
    text = '[[],"{"]\\,\n' * 200_000
    async with guest(listener) as (stream, session):
        message = events("r", 1)
        message["events"][0]["step"]["content"][0]["text"] = text
        await stream.send(encode_frame(message))
        with anyio.fail_after(PATIENCE):
            async for found in session.messages():
                assert isinstance(found, RunEvents)
                assert text in str(found.model_dump()["events"][0]["step"]["content"][0]["text"])
                break


async def test_who_had_more_than_a_share_rests_and_others_do_not() -> None:
    greedy, modest = Pace(share=0.5, burst_seconds=0.1), Pace(share=0.5, burst_seconds=0.1)
    greedy.spend(0.3)
    modest.spend(0.05)
    rested: list[str] = []

    async def rest(name: str, pace: Pace) -> None:
        await pace.rest()
        rested.append(name)

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rest, "greedy", greedy)
        tasks.start_soon(rest, "modest", modest)
    assert rested == ["modest", "greedy"]
    assert anyio.current_time() - began > 0.3, "0.2 s too much, at half a second each second"


async def test_connections_come_no_faster_than_a_guest_may_have_them(tmp_path: Path) -> None:
    pace = Pace(share=0.002, burst_seconds=0.01)
    began = anyio.current_time()
    async with listening(tmp_path / "slow", pace) as slow:
        for _ in range(13):
            async with dialled(slow) as stream:
                await stream.send(GARBAGE["http"])
                assert await is_hung_up_on(stream)
    assert anyio.current_time() - began > 0.9, "ten at once, then two each second"
