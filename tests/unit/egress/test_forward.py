"""Plain HTTP through the proxy, against real servers on loopback."""

from __future__ import annotations

import hashlib
import re
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from runtime.egress.pump import BULK_BYTES, MAX_PIPES
from runtime.egress.rules import Limits
from tests.support.egress import (
    PATIENCE_SECONDS,
    Connection,
    Echo,
    Names,
    allowing,
    gate,
    server,
)
from tests.unit.egress.test_heads import SMUGGLING

pytestmark = pytest.mark.anyio

RULES = allowing("*.example.com", "api.org")


async def test_requests_of_one_connection_share_a_connection_to_the_server(tmp_path: Path) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        for number in range(3):
            answer = await caller.ask("GET", f"http://a.example.com:{port}/{number}?q")
            assert answer.text.startswith(f"GET /{number}?q HTTP/1.1\r\n")
        assert echo.connections == 1
        event = await egress.event(verdict="allowed")
        assert (event.host, event.port, event.rule) == ("a.example.com", port, "*.example.com")
        assert (event.kind, event.method, event.address) == ("http", "GET", "127.0.0.1")
        assert event.bytes_out == len(echo.requests[0])
        assert event.bytes_in > len(echo.requests[0])


async def test_the_server_is_told_the_host_of_the_url_and_nothing_of_the_way(
    tmp_path: Path,
) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        headers = ["Host: other.example.com", "Connection: x-a, keep-alive", "X-A: 1", "X-B: 2"]
        headers += ["Proxy-Authorization: Basic x", "Via: 1.1 me", "X-Forwarded-For: 10.0.0.1"]
        answer = await caller.ask("GET", f"http://A.Example.com:{port}/", headers)
    sent = answer.text.lower().split("\r\n")[1:]
    assert [line for line in sent if line] == [f"host: a.example.com:{port}", "x-b: 2"]


async def test_a_refusal_says_why_to_people_and_to_clients(tmp_path: Path) -> None:
    async with gate(tmp_path, RULES) as egress, egress.connect() as caller:
        answer = await caller.ask("GET", "http://evil.org/secret")
        reason = "host evil.org is not in this environment's allowlist"
        assert (answer.status, answer.reason) == (403, reason)
        assert reason in answer.text and "Allowed hosts: *.example.com, api.org." in answer.text
        event = await egress.event(verdict="refused")
        assert (event.host, event.port, event.rule, event.reason) == ("evil.org", 80, None, reason)


async def test_a_refused_name_is_never_looked_up(tmp_path: Path) -> None:
    names = Names()
    async with gate(tmp_path, RULES, names) as egress, egress.connect() as caller:
        assert (await caller.ask("GET", "http://data.evil.org/")).status == 403
    assert names.asked == []


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["10.0.0.1", "8.8.8.8"],
        ["8.8.8.8", "169.254.169.254"],
        ["::1"],
        ["2606:4700::1111", "fd00:ec2::254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
    ],
)
async def test_a_listed_name_that_leads_inside_is_refused(
    tmp_path: Path, answers: list[str]
) -> None:
    names = Names()
    names.set("a.example.com", answers)
    rules = allowing("*.example.com", internal=())
    async with gate(tmp_path, rules, names) as egress, egress.connect() as caller:
        answer = await caller.ask("GET", "http://a.example.com/")
        assert answer.status == 403 and "not public" in answer.reason
        assert (await egress.event(verdict="refused")).host == "a.example.com"


async def test_a_name_is_looked_up_once_and_the_checked_address_is_dialled(tmp_path: Path) -> None:
    names, echo = Names(), Echo()
    names.set("a.example.com", ["127.0.0.1"], ["10.255.255.1"])
    async with server(echo) as port, gate(tmp_path, RULES, names) as egress:
        async with egress.connect() as caller:
            answer = await caller.ask("GET", f"http://a.example.com:{port}/")
            assert answer.status == 200
        assert names.asked == ["a.example.com"]
        async with egress.connect() as caller:
            assert (await caller.ask("GET", f"http://a.example.com:{port}/")).status == 403


@pytest.mark.parametrize("head", SMUGGLING.values(), ids=SMUGGLING.keys())
async def test_smuggling_reaches_no_server(tmp_path: Path, head: bytes) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        smuggled = head.replace(b"//a.com", b"//a.example.com:%d" % port)
        behind = b"0\r\n\r\nGET http://a.example.com:%d/smuggled HTTP/1.1\r\n\r\n" % port
        await caller.send(smuggled + behind)
        answer = await caller.answer()
        assert answer.status == 400
        assert await caller.rest() == b""
    assert echo.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\nabc\r\n0\r\n\r\n",
        b"-1\r\na\r\n0\r\n\r\n",
        b"5\r\nabcdefgh\r\n0\r\n\r\n",
        b"fffffffffffffffffffff\r\n",
        b"0x5\r\nabcde\r\n0\r\n\r\n",
    ],
)
async def test_a_malformed_chunk_ends_the_request(tmp_path: Path, body: bytes) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        head = f"POST http://a.example.com:{port}/ HTTP/1.1\r\nHost: a\r\n"
        await caller.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        assert (await caller.answer()).status == 400
    assert echo.requests == []


async def test_bodies_pass_with_their_framing(tmp_path: Path) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        url = f"http://a.example.com:{port}/"
        assert (await caller.ask("POST", url, body=b"hello")).text.endswith("\r\n\r\nhello")
        await caller.send(
            f"PUT {url} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            + b"3;extension=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: no\r\n\r\n"
        )
        answer = await caller.answer()
        assert "transfer-encoding: chunked" in answer.text.lower()
        assert answer.text.endswith("\r\n\r\nabcde")


@pytest.mark.parametrize("size", [1, BULK_BYTES, BULK_BYTES + 1, 9 * 1024 * 1024 + 7])
async def test_bodies_of_any_size_arrive_whole_and_the_connection_goes_on(
    tmp_path: Path, size: int
) -> None:
    data = hashlib.shake_256(b"seed").digest(size)
    echo = Echo(answer=lambda request: request.partition(b"\r\n\r\n")[2] or data)
    async with server(echo) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        url = f"http://a.example.com:{port}/"
        for _ in range(2):
            assert (await caller.ask("GET", url)).body == data
            async with anyio.create_task_group() as tasks:
                head = f"POST {url} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
                tasks.start_soon(caller.send, head.encode() + data)
                assert (await caller.answer()).body == data
        assert echo.connections == 1
        assert (await egress.event(method="GET")).bytes_in > size


async def test_a_long_answer_that_breaks_off_is_not_passed_off_as_whole(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        length = 4 * BULK_BYTES
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
        await connection.send(head + bytes(length - 1))

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        with pytest.raises(anyio.IncompleteRead):
            await caller.ask("GET", f"http://a.example.com:{port}/")
        assert (await egress.event(method="GET")).verdict == "failed"


async def test_requests_that_come_at_once_are_answered_in_order(tmp_path: Path) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        requests = [
            f"POST http://a.example.com:{port}/{number} HTTP/1.1\r\nHost: a\r\n"
            f"Content-Length: 2\r\n\r\nb{number}"
            for number in range(4)
        ]
        await caller.send("".join(requests).encode())
        for number in range(4):
            answer = await caller.answer()
            assert answer.text.startswith(f"POST /{number} ") and answer.text.endswith(f"b{number}")


async def test_every_kind_of_answer_passes(tmp_path: Path) -> None:
    answers = {
        b"/chunked": b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n",
        b"/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
        b"/early": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"/head": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"/old": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    }

    async def handler(connection: Connection) -> None:
        while True:
            head = await connection.read_until(b"\r\n\r\n")
            path = head.split(b" ")[1]
            await connection.send(answers[path])
            if path == b"/old":
                return

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        url = f"http://a.example.com:{port}"
        chunked = await caller.ask("GET", f"{url}/chunked")
        assert (chunked.text, chunked.reason) == ("abc", "Fine")
        assert (await caller.ask("GET", f"{url}/empty")).status == 204
        hints = await caller.ask("GET", f"{url}/early")
        assert (hints.status, hints.headers["link"]) == (103, "<a>")
        assert (await caller.answer()).text == "ok"
        assert (await caller.ask("HEAD", f"{url}/head")).headers["content-length"] == "1000"
        assert (await caller.ask("GET", f"{url}/old")).text == "until the end"


async def test_a_server_that_closed_its_kept_connection_is_dialled_again(tmp_path: Path) -> None:
    connections = 0

    async def handler(connection: Connection) -> None:
        nonlocal connections
        connections += 1
        await connection.read_until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        for _ in range(3):
            assert (await caller.ask("GET", f"http://a.example.com:{port}/")).text == "ok"
    assert connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
    ],
)
async def test_a_server_that_answers_nonsense_is_a_bad_gateway(
    tmp_path: Path, answer: bytes
) -> None:
    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(answer)

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        assert (await caller.ask("GET", f"http://a.example.com:{port}/")).status == 502
        assert (await egress.event(host="a.example.com")).verdict == "failed"


async def test_an_answer_that_breaks_off_is_not_passed_off_as_whole(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        with pytest.raises(anyio.IncompleteRead):
            await caller.ask("GET", f"http://a.example.com:{port}/")


async def test_a_host_that_is_not_there_and_one_without_a_name(tmp_path: Path) -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        if host == "a.example.com":
            return ["127.0.0.1"]
        raise socket.gaierror(-2, "Name or service not known")

    async with gate(tmp_path, RULES, nowhere) as egress:
        async with egress.connect() as caller:
            answer = await caller.ask("GET", "http://a.example.com:9/")
            assert answer.status == 502 and "Connection refused" in answer.reason
        async with egress.connect() as caller:
            answer = await caller.ask("GET", "http://b.example.com/")
            assert answer.reason == "host b.example.com cannot be found"
            assert (await egress.event(host="b.example.com")).verdict == "failed"


async def test_a_websocket_goes_on_after_its_upgrade(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        head = await connection.read_until(b"\r\n\r\n")
        assert b"upgrade: websocket" in head.lower() and b"connection: upgrade" in head.lower()
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst"
        )
        while True:
            await connection.send(b"echo " + await connection.exactly(4))

    headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: k"]
    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        answer = await caller.ask("GET", f"http://a.example.com:{port}/ws", headers)
        assert (answer.status, answer.headers["upgrade"]) == (101, "websocket")
        assert await caller.exactly(5) == b"first"
        for word in (b"ping", b"pong"):
            await caller.send(word)
            assert await caller.exactly(9) == b"echo " + word
        await caller.aclose()
        event = await egress.event(verdict="allowed")
        assert event.bytes_out > 8 and event.bytes_in > 18


async def test_a_body_is_asked_for_by_the_server(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        head = await connection.read_until(b"\r\n\r\n")
        assert b"expect: 100-continue" in head.lower()
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await connection.exactly(5)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        head = f"PUT http://a.example.com:{port}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        await caller.send(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert (await caller.answer()).status == 100
        await caller.send(b"hello")
        assert (await caller.answer()).text == "hello"


async def test_an_answer_may_come_before_the_body_is_sent(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        head = f"PUT http://a.example.com:{port}/ HTTP/1.1\r\nHost: a\r\n"
        await caller.send(f"{head}Content-Length: 1000000\r\n\r\nsome".encode())
        answer = await caller.answer()
        assert (answer.status, answer.text) == (413, "no")
        assert await caller.rest() == b""


async def test_a_caller_that_does_not_read_holds_up_the_server(tmp_path: Path) -> None:
    sent = 0

    async def handler(connection: Connection) -> None:
        nonlocal sent
        await connection.read_until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await connection.send(b"x" * 65536)
            sent += 65536
            await checkpoint()

    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        await caller.send(f"GET http://a.example.com:{port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        before = -1
        with anyio.fail_after(PATIENCE_SECONDS):
            while sent == 0 or sent != before:
                before = sent
                await anyio.sleep(0.5)
        assert sent < 32 * 1024 * 1024, "as much as the buffers on the way hold"
        await caller.exactly(64 * 1024 * 1024 // 16)
        with anyio.fail_after(PATIENCE_SECONDS):
            while sent == before:
                await checkpoint()


@pytest.mark.parametrize("count", [1, 3])
async def test_a_head_that_never_ends_is_given_up(tmp_path: Path, count: int) -> None:
    rules = allowing("*", limits=Limits(header_seconds=0.3))
    async with gate(tmp_path, rules) as egress, egress.connect() as caller:
        for byte in b"GET http"[:count]:
            await caller.send(bytes((byte,)))
        assert (await caller.answer()).status == 408
        assert await caller.rest() == b""


async def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    rules = allowing("*", limits=Limits(idle_seconds=0.2))
    async with gate(tmp_path, rules) as egress, egress.connect() as caller:
        assert await caller.rest() == b""


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b""])
async def test_a_head_that_is_too_long_is_refused(tmp_path: Path, ending: bytes) -> None:
    async with gate(tmp_path, RULES) as egress, egress.connect() as caller:
        await caller.send(b"GET http://a.example.com/ HTTP/1.1\r\nX: " + b"a" * 17_000 + ending)
        answer = await caller.answer()
        assert answer.status == 431 and "16384 bytes" in answer.reason


async def test_a_server_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await anyio.sleep_forever()

    rules = allowing("*.example.com", limits=Limits(idle_seconds=0.3))
    async with server(handler) as port, gate(tmp_path, rules) as egress, egress.connect() as caller:
        answer = await caller.ask("GET", f"http://a.example.com:{port}/")
        assert answer.status == 504 and "no byte passed" in answer.reason
        assert (await egress.event(host="a.example.com")).verdict == "closed"


async def test_nothing_lasts_for_ever(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await connection.send(b"tick")
            await anyio.sleep(0.01)

    rules = allowing("*.example.com", limits=Limits(total_seconds=1.5))
    async with server(handler) as port, gate(tmp_path, rules) as egress, egress.connect() as caller:
        with pytest.raises(anyio.IncompleteRead):
            await caller.ask("GET", f"http://a.example.com:{port}/")
        event = await egress.event(verdict="closed")
        assert "it lasted longer than 1.5 seconds" in event.reason


async def test_connections_of_an_environment_are_bounded(tmp_path: Path) -> None:
    rules = allowing("*.example.com", limits=Limits(connections=2))
    async with server(Echo()) as port, gate(tmp_path, rules) as egress:
        url = f"http://a.example.com:{port}/"
        async with egress.connect() as one, egress.connect() as two:
            assert (await one.ask("GET", url)).status == 200
            assert (await two.ask("GET", url)).status == 200
            async with egress.connect() as three:
                answer = await three.answer()
                assert answer.status == 429 and "2 connections" in answer.reason
        with anyio.fail_after(PATIENCE_SECONDS):
            while egress.environment.connections:
                await checkpoint()
        async with egress.connect() as four:
            assert (await four.ask("GET", url)).status == 200


@pytest.mark.parametrize("direction", ["out", "in"])
async def test_bytes_of_an_environment_are_bounded(tmp_path: Path, direction: str) -> None:
    limits = Limits(bytes_out=100_000) if direction == "out" else Limits(bytes_in=100_000)
    rules = allowing("*.example.com", limits=limits)
    async with server(Echo()) as port, gate(tmp_path, rules) as egress:
        url = f"http://a.example.com:{port}/"
        async with egress.connect() as caller:
            assert (await caller.ask("POST", url, body=b"x" * 1000)).status == 200
            body = b"x" * 200_000
            head = f"POST {url} HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
            # The connection may be closed before all is sent.
            with suppress(anyio.BrokenResourceError):
                await caller.send(head.encode() + body)
            await caller.rest()
        event = await egress.event(verdict="closed")
        assert re.search(r"this environment has (sent|received) its 100000 bytes", event.reason)
        async with egress.connect() as caller:
            answer = await caller.ask("GET", url)
            assert answer.status == 429 and "100000 bytes" in answer.reason


async def test_what_is_no_proxy_request_is_refused_and_recorded(tmp_path: Path) -> None:
    async with gate(tmp_path, RULES) as egress:
        for method, target, status in [
            ("GET", "/etc/passwd", 400),
            ("GET", "https://a.example.com/", 400),
            ("GET", "file:///etc/passwd", 400),
            ("GET", "gopher://a.example.com/", 400),
            ("TRACE", "http://a.example.com/", 405),
            ("GET", "http://2130706433/", 403),
        ]:
            async with egress.connect() as caller:
                assert (await caller.ask(method, target)).status == status, target
                assert (await egress.event(verdict="refused")).method == method


async def test_a_great_many_connections_at_once_are_told_to_wait(tmp_path: Path) -> None:
    rules = allowing("*.example.com", limits=Limits(connections=10))
    statuses: list[int] = []
    async with server(Echo()) as port, gate(tmp_path, rules) as egress:

        async def call() -> None:
            async with egress.connect() as caller:
                statuses.append((await caller.ask("GET", f"http://a.example.com:{port}/")).status)
                await gone.wait()

        gone = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(call)
            with anyio.fail_after(PATIENCE_SECONDS):
                while len(statuses) < 200:
                    await checkpoint()
            gone.set()
    assert statuses.count(200) == 10 and set(statuses) == {200, 429}


async def test_more_long_answers_at_once_than_there_are_pipes(tmp_path: Path) -> None:
    size, count = 4 * 1024 * 1024, MAX_PIPES + 4
    data = hashlib.shake_256(b"seed").digest(size)
    echo = Echo(answer=lambda _: data)
    async with server(echo) as port, gate(tmp_path, RULES) as egress, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(egress.connect()) for _ in range(count)]
        request = f"GET http://a.example.com:{port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        for caller in callers:
            await caller.send(request)
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(echo.requests) < count:
                await checkpoint()
        for caller in callers:
            assert (await caller.answer()).body == data
