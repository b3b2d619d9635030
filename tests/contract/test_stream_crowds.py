"""Many streams at once, and clients that behave badly, over real connections."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import SocketAttribute, SocketStream

from bench.processes import ProcessCost
from runtime.api.connections import Connection
from runtime.api.server import DrainingServer
from runtime.cli.limits import raise_open_files
from tests.support.local_controller import KEY, LocalController, local_controller
from tests.unit.store.records import beginning

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 60
CROWD = 1000
MOST_KIB_EACH = 400
"""Of both ends of a stream, which are in one process here; a bound for leaks, not a measure."""
_SPARE_FILES = 200


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[LocalController]:
    async with local_controller(tmp_path) as opened:
        await opened.store.journal.begin(beginning("int_1"))
        yield opened


def text(words: str) -> dict[str, Any]:
    delta = {"type": "text", "text": words}
    return {"event_type": "step.delta", "index": 0, "delta": delta}


async def connect(controller: LocalController, path: str = "") -> SocketStream:
    port = int(controller.url.rpartition(":")[2])
    stream = await anyio.connect_tcp("127.0.0.1", port)
    await stream.send(
        f"GET /v1/interactions/int_1?stream=true{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"x-goog-api-key: {KEY}\r\n\r\n".encode()
    )
    return stream


async def read_all(stream: SocketStream) -> bytes:
    """All of an answer in chunks, its end included."""
    received = bytearray()
    async with stream:
        while not received.endswith(b"0\r\n\r\n"):
            received += await stream.receive()
    return bytes(received)


def numbers(received: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"\nid: ([0-9]+)\n", received)]


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110 - of these things nobody tells
        await anyio.sleep(0.01)


async def until_nobody_is_connected(controller: LocalController) -> None:
    await until(lambda: not controller.server.server_state.connections)
    await until(lambda: not controller.log._tails._tails)


async def test_a_thousand_streams_get_every_event_once_and_cost_little(
    controller: LocalController,
) -> None:
    count = min(CROWD, (raise_open_files() - _SPARE_FILES) // 2)
    memory = ProcessCost(os.getpid())
    received: list[bytes] = []
    opened = 0

    async def follow() -> None:
        nonlocal opened
        stream = await connect(controller)
        begin = await stream.receive()
        while b"\nid: 1\n" not in begin:
            begin += await stream.receive()
        opened += 1
        received.append(begin + await read_all(stream))

    with anyio.fail_after(4 * WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            before = memory.resident()
            for _ in range(count):
                tasks.start_soon(follow)
            await until(lambda: opened == count)
            grown = memory.resident() - before
            for number in range(10):
                await controller.log.append("int_1", [text(str(number)), text("!")])
            await controller.log.settle("int_1", "completed")
        await until_nobody_is_connected(controller)
    assert grown < count * MOST_KIB_EACH * 1024
    assert len(received) == count
    for answer in received:
        assert numbers(answer) == list(range(1, 23))
        assert answer.endswith(b"event: done\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def test_all_streams_end_as_they_should_when_the_server_stops(
    controller: LocalController,
) -> None:
    answers: list[bytes] = []
    begun = 0

    async def follow() -> None:
        nonlocal begun
        stream = await connect(controller)
        begin = await stream.receive()
        begun += 1
        answers.append(begin + await read_all(stream))

    with anyio.fail_after(WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(follow)
            await until(lambda: begun == 100)
            controller.server.should_exit = True
        await controller.server.ended.wait()
    assert len(answers) == 100
    assert not any(b"[DONE]" in answer for answer in answers), "they can be resumed"


async def test_a_client_that_goes_is_noticed_and_leaves_nothing_behind(
    controller: LocalController,
) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        for is_rude in (False, True):
            streams = [await connect(controller) for _ in range(20)]
            for stream in streams:
                assert await stream.receive()
                if is_rude:
                    _reset_on_close(stream)
                await stream.aclose()
            await until_nobody_is_connected(controller)
    await controller.log.settle("int_1", "completed")


def _reset_on_close(stream: SocketStream) -> None:
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_a_client_that_reads_late_gets_everything_from_the_database(
    controller: LocalController,
) -> None:
    """It costs the server a bounded piece meanwhile, whatever comes."""
    memory = ProcessCost(os.getpid())
    with anyio.fail_after(2 * WAIT_SECONDS):
        streams = [await connect(controller) for _ in range(20)]
        for stream in streams:
            assert await stream.receive()
        before = memory.resident()
        for number in range(400):
            await controller.log.append("int_1", [text(f"{number} " + "x" * 100_000)])
        grown = memory.resident() - before
        await controller.log.settle("int_1", "completed")
        answers = [await read_all(stream) for stream in streams[:2]]
        for stream in streams[2:]:
            await stream.aclose()
    assert grown < 200 * 1024**2, "40 MB for each of 20 would be 800"
    assert [numbers(answer)[-401:] for answer in answers] == [list(range(2, 403))] * 2


class Impatient(Connection):
    stalled_seconds = 2.0


class Endless:
    """Writes to whoever calls, for ever; tells when it was let go of."""

    def __init__(self) -> None:
        self.written = 0
        self.ended = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, send)
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()
        self.ended.set()

    async def _write(self, send: Any) -> None:
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            self.written += 65536
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("is_shutting_down", [False, True])
async def test_a_client_that_never_reads_is_cut_off(is_shutting_down: bool) -> None:
    app = Endless()
    protocol = Connection if is_shutting_down else Impatient
    server = DrainingServer(app, anyio.Event(), host="127.0.0.1", port=0, http=protocol)
    with anyio.fail_after(WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            await server.ready.wait()
            port = server.servers[0].sockets[0].getsockname()[1]
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await until(lambda: app.written)
                server.should_exit = is_shutting_down
                await app.ended.wait()
                await until(lambda: not server.server_state.connections)
            server.should_exit = True
    assert app.written < 64 * 1024**2, "what the kernel and one buffer hold"


async def test_a_client_that_reads_slowly_is_not_cut_off() -> None:
    app = Endless()
    server = DrainingServer(app, anyio.Event(), host="127.0.0.1", port=0, http=Impatient)
    with anyio.fail_after(WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            await server.ready.wait()
            port = server.servers[0].sockets[0].getsockname()[1]
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                enough = anyio.current_time() + 2.5 * Impatient.stalled_seconds
                while anyio.current_time() < enough:
                    assert await stream.receive(64 * 1024)
                    await anyio.sleep(0.01)
                assert not app.ended.is_set()
            server.should_exit = True


_STARVED = """
import resource, socket, sys
import anyio, anyio.to_thread, structlog
from runtime.api.server import DrainingServer

async def app(scope, receive, send):
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok"})

async def main():
    server = DrainingServer(app, anyio.Event(), host="127.0.0.1", port=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        await server.ready.wait()
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)
        server.should_exit = True

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
anyio.run(main)
"""


async def test_running_out_of_files_is_said_in_a_line_and_passes() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", _STARVED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        with anyio.fail_after(WAIT_SECONDS):
            port = int(process.stdout.readline())
            crowd = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(60)]
            told = await anyio.to_thread.run_sync(process.stderr.readline)
            for stream in crowd:
                await stream.aclose()
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(request)
                assert (await stream.receive()).startswith(b"HTTP/1.1 200")
    finally:
        rest = process.communicate("", timeout=WAIT_SECONDS)[1]
    assert "all 40 files that this process may have open are in use" in told
    assert "ulimit -Hn" in told
    assert "Traceback" not in rest
