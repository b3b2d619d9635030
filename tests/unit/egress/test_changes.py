"""New rules while requests, answers and tunnels are under way."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from runtime.egress.exchange import MAX_WHOLE_BODY
from runtime.egress.protocol import ProxySettings
from runtime.egress.rules import HostRule, Rules
from tests.support.certificates import Certificates
from tests.support.egress import (
    LOOPBACK,
    PATIENCE_SECONDS,
    Connection,
    Echo,
    allowing,
    gate,
    server,
)
from tests.unit.egress.test_interception import HOLDER, HOST, SECRET, holding, injecting, inside

pytestmark = pytest.mark.anyio

NEW = "second-of-all-secrets"
WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket"]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


async def test_new_rules_hold_for_the_next_request_of_an_open_connection(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo(answer=lambda _: b"ok")
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        assert (await caller.ask("GET", "/")).status == 200
        egress.environment.replace(injecting(value="Bearer rotated-secret"))
        assert (await caller.ask("GET", "/")).status == 200
        egress.environment.replace(allowing("open.example.com"))
        answer = await caller.ask("GET", "/")
        assert answer.status == 403 and "allowlist" in answer.reason
    assert b"rotated-secret" in echo.requests[1] and len(echo.requests) == 2


async def test_secrets_of_earlier_rules_are_still_taken_out_of_answers(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    first, second = "first-of-all-secrets", "second-of-all-secrets"
    echo = Echo(answer=lambda _: f"{first} {second} {SECRET}".encode())
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(value=f"Bearer {first}"), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        answer = await caller.ask("GET", "/")
        assert first not in answer.text and second in answer.text
        egress.environment.replace(injecting(value=f"Bearer {second}"))
        egress.environment.replace(allowing(HostRule(domain=HOST, unavailable="not now")))
        assert (await caller.ask("GET", "/")).status == 403
        egress.environment.replace(injecting())
        async with inside(egress, port) as again:
            answer = await again.ask("GET", "/")
        assert not {first, second, SECRET} & {*answer.text.split()}


async def test_an_open_tunnel_ends_when_its_host_gets_a_secret(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async with (
        server(Echo(), certificates.serving(HOST)) as port,
        gate(tmp_path, allowing(HOST), None, settings) as egress,
        egress.tunnel(f"{HOST}:{port}") as tunnel,
    ):
        inner = await tunnel.tls(HOST, certificates.trusting)
        assert (await inner.ask("GET", "/")).status == 200
        egress.environment.replace(injecting())
        assert await inner.rest() == b""


async def test_a_request_under_way_ends_when_its_host_is_not_allowed_any_more(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    asked = anyio.Event()

    async def wait(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        asked.set()
        await anyio.sleep_forever()

    async with (
        server(wait, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        await caller.send(f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        with anyio.fail_after(PATIENCE_SECONDS):
            await asked.wait()
        egress.environment.replace(Rules())
        answer = await caller.answer()
        assert answer.status == 403 and "rules" in answer.reason


async def hold_back(caller: Connection, port: int, size: int = len(HOLDER)) -> None:
    """A request whose body is awaited, everything about its head being decided."""
    await caller.send(
        f"POST / HTTP/1.1\r\nHost: {HOST}:{port}\r\nX-Key: {HOLDER}\r\n"
        f"Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    assert (await caller.answer()).status == 100


@pytest.mark.parametrize("length", [len(HOLDER), MAX_WHOLE_BODY + 1])
async def test_a_body_that_was_held_back_gets_the_secret_that_is_in_force_when_it_comes(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings, length: int
) -> None:
    echo = Echo(answer=lambda _: b"ok")
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, holding("body"), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        await hold_back(caller, port, length)
        egress.environment.replace(holding("body", value=NEW))
        await caller.send(HOLDER.encode().rjust(length))
        assert (await caller.answer()).text == "ok"
    assert NEW.encode() in echo.requests[0] and SECRET.encode() not in echo.requests[0]


async def test_a_head_that_waits_for_its_body_gets_the_secret_that_is_in_force_then(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo(answer=lambda _: b"ok")
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, holding("header", "body"), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        await hold_back(caller, port)
        egress.environment.replace(holding("header", "body", value=NEW))
        await caller.send(HOLDER.encode())
        assert (await caller.answer()).text == "ok"
    assert f"x-key: {NEW}".encode() in echo.requests[0]
    assert SECRET.encode() not in echo.requests[0]


async def test_a_request_that_waits_ends_when_its_secret_is_taken_away(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo()
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, holding("header", "body"), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        await hold_back(caller, port)
        egress.environment.replace(Rules(hosts=(HostRule(domain="*"),), allow_internal=LOOPBACK))
        answer = await caller.answer()
        assert answer.status == 403 and "rules" in answer.reason
    assert not echo.requests


@pytest.mark.parametrize("is_websocket", [False, True])
async def test_an_answer_under_way_does_not_show_a_secret_that_came_later(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings, is_websocket: bool
) -> None:
    rotated = anyio.Event()

    async def reflect(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        length = f"HTTP/1.1 200 OK\r\nContent-Length: {len(NEW) + 5}\r\n\r\n".encode()
        await connection.send((SWITCH if is_websocket else length) + b"first")
        await rotated.wait()
        await connection.send(NEW.encode())

    async with (
        server(reflect, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        await caller.send(request(port, WEBSOCKET if is_websocket else []))
        assert b"HTTP/1.1" in await caller.read_until(b"\r\n\r\n")
        assert await caller.exactly(5) == b"first"
        egress.environment.replace(injecting(value=f"Bearer {NEW}"))
        rotated.set()
        assert await caller.exactly(len(NEW)) == b"*" * len(NEW)


async def test_a_websocket_lasts_when_its_secret_changes_and_ends_when_it_is_taken_away(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async def echo(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(SWITCH)
        while data := await connection.receive():
            await connection.send(data)

    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        await caller.send(request(port, WEBSOCKET))
        assert b" 101 " in await caller.read_until(b"\r\n\r\n")
        egress.environment.replace(injecting(value=f"Bearer {NEW}"))
        await caller.send(b"still here")
        assert await caller.exactly(10) == b"still here"
        egress.environment.replace(allowing(HOST))
        assert await caller.rest() == b""


def request(port: int, headers: list[str]) -> bytes:
    lines = ["GET / HTTP/1.1", f"Host: {HOST}:{port}", *headers, "", ""]
    return "\r\n".join(lines).encode()
