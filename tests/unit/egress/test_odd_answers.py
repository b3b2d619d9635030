"""Answers and requests of a kind that nobody should send."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.egress.rules import HeaderInjection, HostRule
from tests.support.egress import Answer, Connection, allowing, gate, server

pytestmark = pytest.mark.anyio

HOST = "a.example.com"
SECRET = "canary-0123456789-secret"
RULES = allowing(HOST)
HEADER = HeaderInjection(name="X-Key", value=SecretStr(SECRET))
INJECTING = allowing(HostRule(domain=HOST, headers=(HEADER,), credential="cred_1"))
OK = b"HTTP/1.1 200 OK\r\n"


async def answered(tmp_path: Path, data: bytes, *, injecting: bool = False) -> Answer:
    """What a caller gets of a server that answers with `data` and goes."""

    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(data)

    rules = INJECTING if injecting else RULES
    async with server(handler) as port, gate(tmp_path, rules) as egress, egress.connect() as caller:
        return await caller.ask("GET", f"http://{HOST}:{port}/")


@pytest.mark.parametrize("injecting", [False, True])
@pytest.mark.parametrize("length", [3, 30, 10_000_000])
async def test_a_length_beside_chunks_does_not_count(
    tmp_path: Path, length: int, injecting: bool
) -> None:
    head = OK + b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % length
    data = head + b"6\r\nabcdef\r\n0\r\n\r\n"
    answer = await answered(tmp_path, data, injecting=injecting)
    assert (answer.status, answer.text) == (200, "abcdef")
    assert "content-length" not in answer.headers


async def test_a_length_that_no_answer_has_is_a_bad_gateway(tmp_path: Path) -> None:
    answer = await answered(tmp_path, OK + b"Content-Length: 9%s\r\n\r\nok" % (b"9" * 18))
    assert answer.status == 502 and "longer than any answer can be" in answer.reason


@pytest.mark.parametrize("codings", [(b"identity", b"gzip"), (b"gzip", b"identity")])
@pytest.mark.parametrize("line", [b", ", b"\r\nContent-Encoding: "])
async def test_packing_is_seen_wherever_it_is_named(
    tmp_path: Path, line: bytes, codings: tuple[bytes, ...]
) -> None:
    body = gzip.compress(f"it is {SECRET}".encode())
    head = OK + b"Content-Encoding: " + line.join(codings)
    data = head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer = await answered(tmp_path, data, injecting=True)
    assert (answer.status, answer.text) == (200, "it is " + "*" * len(SECRET))


async def test_what_is_packed_twice_is_not_passed_on(tmp_path: Path) -> None:
    body = gzip.compress(gzip.compress(SECRET.encode()))
    head = OK + b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n"
    data = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = await answered(tmp_path, data, injecting=True)
    assert answer.status == 502 and "packed its answer with 'gzip, gzip'" in answer.reason


async def test_a_request_with_a_body_does_not_become_a_websocket(tmp_path: Path) -> None:
    async def handler(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n\r\nfirst"
        )
        await connection.rest()

    headers = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 100"
    async with server(handler) as port, gate(tmp_path, RULES) as egress, egress.connect() as caller:
        await caller.send(f"GET http://{HOST}:{port}/ HTTP/1.1\r\n{headers}\r\n\r\nabc".encode())
        assert (await caller.answer()).status == 502
