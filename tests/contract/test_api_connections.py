"""What is no good HTTP, byte by byte: answered with the error object or cut off."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from runtime.api import DrainingServer
from runtime.api.connections import Connection
from tests.support.server import HEADERS, KEY, Running

pytestmark = pytest.mark.anyio

HOST = b"Host: localhost\r\n"
CALL = b"POST /v1/interactions HTTP/1.1\r\n" + HOST + f"x-goog-api-key: {KEY}\r\n".encode()
JSON = b"Content-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\n"
MALFORMED = {
    "tls": b"\x16\x03\x01\x00\xa5hello\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tunnel": b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "method": b"FETCH /v1/agents HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw letters": "GET /livéz HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "nul": b"GET /li\x00vez HTTP/1.1\r\n" + HOST + b"\r\n",
    "header": GET + b"no colon\r\n\r\n",
    "line end": GET + b"a: b\rc\r\n\r\n",
    "two lengths": CALL + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length": CALL + b"Content-Length: -2\r\n\r\n{}",
    "length and chunks": CALL + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": CALL + b"Transfer-Encoding: gzip\r\n\r\nzz",
    "chunk": CALL + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
}


async def talk(port: int, *pieces: bytes) -> bytes:
    """What a server says to these bytes until it closes the connection."""
    received = b""
    with anyio.fail_after(30):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            try:
                for piece in pieces:
                    await stream.send(piece)
                async for chunk in stream:
                    received += chunk
            except (anyio.BrokenResourceError, ConnectionError):
                pass  # it was cut off while it was still sending, which is allowed
    return received


def fault(answer: bytes) -> tuple[int, str]:
    """Status and message of an error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert "content-type: application/json" in lines
    assert f"content-length: {len(body)}" in lines
    error = json.loads(body)["error"]
    assert error["code"]
    return int(lines[0].split()[1]), error["message"]


@pytest.mark.parametrize("what", MALFORMED)
async def test_what_is_no_http_is_a_bad_request(api: Running, what: str) -> None:
    assert fault(await talk(api.port, MALFORMED[what])) == (400, "This is not an HTTP/1.1 request.")


@pytest.mark.parametrize("what", ["header", "headers", "address"])
async def test_heads_are_bounded(api: Running, what: str) -> None:
    start, piece = {
        "header": (GET + b"x: ", b"a" * 10_000),
        "headers": (GET, b"x: y\r\n" * 2000),
        "address": (b"GET /", b"a" * 10_000),
    }[what]
    async with await anyio.connect_tcp("127.0.0.1", api.port) as stream:
        sent = 0
        with anyio.fail_after(30), pytest.raises((anyio.BrokenResourceError, ConnectionError)):
            await stream.send(start)
            while True:
                await stream.send(piece)
                sent += len(piece)
    # What the kernels hold between the two comes on top of the limit.
    assert sent < 20_000_000
    assert fault(await talk(api.port, start + piece * 7))[0] == 431


async def test_other_ways_to_write_a_request(api: Running) -> None:
    close = b"Connection: close\r\n\r\n"
    for head in (
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"\r\n\r\n" + GET + close,
        b"GET http://localhost/livez HTTP/1.1\r\n" + HOST + close,
        GET + HOST + b"x: " + b"a" * 60_000 + b"\r\n" + close,
        b"HEAD /readyz HTTP/1.1\r\n" + HOST + close,
    ):
        assert (await talk(api.port, head)).startswith(b"HTTP/1.1 200 OK\r\n"), head
    assert fault(await talk(api.port, b"OPTIONS * HTTP/1.1\r\n" + HOST + close))[0] == 404
    twice = GET + HOST + b"Host: evil.example\r\n" + close
    assert fault(await talk(api.port, twice))[0] == 403


class Impatient(Connection):
    head_seconds = 0.5


@asynccontextmanager
async def impatient(app: ASGIApp) -> AsyncIterator[int]:
    server = DrainingServer(app, anyio.Event(), http=Impatient)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            await server.ready.wait()
            yield listener.getsockname()[1]
            server.should_exit = True


@pytest.mark.parametrize("said", [b"", GET, GET + HOST + b"x: "])
async def test_a_head_that_does_not_come_is_not_waited_for(api: Running, said: bytes) -> None:
    async with impatient(slow) as port:
        status, message = fault(await talk(port, said))
    assert (status, message[:8]) == (408, "The head")


class Settling(DrainingServer):
    settle_seconds = 3.0


async def test_who_had_just_connected_when_the_server_stops_is_still_answered() -> None:
    async with anyio.create_task_group() as tasks:
        server = Settling(slow, anyio.Event(), host="127.0.0.1", port=0)
        tasks.start_soon(server.serve)
        await server.ready.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        with anyio.fail_after(30):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                while not server.server_state.connections:  # noqa: ASYNC110 - nobody tells
                    await anyio.sleep(0.01)
                server.should_exit = True
                await server.draining.wait()
                await stream.send(GET + HOST + b"\r\n")
                answer = b"".join([chunk async for chunk in stream])
    assert answer.endswith(b"begun and done")


async def test_only_heads_are_in_a_hurry(api: Running) -> None:
    async with impatient(slow) as port:
        answer = await talk(port, GET + HOST + b"Connection: close\r\n\r\n")
    assert answer.endswith(b"begun and done")


async def test_no_words_of_ours_in_the_middle_of_an_answer() -> None:
    received = b""
    async with impatient(slow) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(GET + HOST + b"\r\n")
        with anyio.fail_after(30):
            while b"begun" not in received:
                received += await stream.receive()
            await stream.send(b"\x00 what is this\r\n\r\n")
            async for chunk in stream:
                received += chunk
    assert b"error" not in received


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes longer than a head may take."""

    async def body() -> AsyncIterator[bytes]:
        yield b"begun "
        await anyio.sleep(Impatient.head_seconds * 3)
        yield b"and done"

    await StreamingResponse(body(), headers={"content-length": "14"})(scope, receive, send)


async def test_sockets_that_are_not_there(api: Running) -> None:
    for path in ("/v1/agents", "/nothing"):
        url = f"ws://127.0.0.1:{api.port}{path}"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers=HEADERS, proxy=None)
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body)["error"]["code"] == "not_found"


async def test_every_method_of_an_address_is_named(api: Running) -> None:
    async with api.client() as client:
        for method in ("POST", "PATCH", "OPTIONS", "TRACE"):
            answer = await client.request(method, "/v1/interactions/int_0")
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, DELETE"
            assert "GET, DELETE" in answer.json()["error"]["message"]
        theirs = await client.put("/openai/v1/responses")
        assert (theirs.status_code, theirs.headers["allow"]) == (405, "POST")
        assert theirs.json()["error"]["code"] == "method_not_allowed"
        assert (await client.head("/livez")).content == b""
