"""Hosts with a rule: TLS ends at the proxy, secrets go in, and do not come out."""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.egress.protocol import ProxySettings
from runtime.egress.rules import HeaderInjection, HostRule, Placeholder, Rules
from tests.support.certificates import Certificates
from tests.support.egress import (
    LOOPBACK,
    Connection,
    Echo,
    Gate,
    Names,
    allowing,
    gate,
    server,
)

pytestmark = pytest.mark.anyio

HOST = "api.example.com"
SECRET = "canary-0123456789-secret"
HOLDER = "sandlot_placeholder_000001"


def injecting(name: str = "Authorization", value: str = f"Bearer {SECRET}") -> Rules:
    header = HeaderInjection(name=name, value=SecretStr(value))
    rule = HostRule(domain=HOST, headers=(header,), credential="cred_1")
    return allowing(rule, "open.example.com")


def holding(*locations: str, value: str = SECRET) -> Rules:
    holder = Placeholder.model_validate(
        {"text": HOLDER, "value": value, "domains": [HOST], "locations": list(locations)}
    )
    return Rules(hosts=(HostRule(domain="*"),), placeholders=(holder,), allow_internal=LOOPBACK)


@asynccontextmanager
async def inside(egress: Gate, port: int, host: str = HOST) -> AsyncIterator[Connection]:
    """TLS through the proxy as a sandbox that trusts nothing but the environment's authority."""
    async with egress.tunnel(f"{host}:{port}") as tunnel:
        yield await tunnel.tls(host, egress.trust)


async def test_a_secret_is_added_and_taken_out_of_the_echo(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo()
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
    ):
        async with inside(egress, port) as caller:
            own = ["Authorization: Bearer mine", "X-Api-Key: mine", "Cookie: mine=1", "X-A: b"]
            for _ in range(2):
                answer = await caller.ask("GET", "/echo?api_key=mine&a=1", own)
                assert answer.status == 200
                assert SECRET not in answer.text and "x-a: b" in answer.text
        for request in echo.requests:
            assert f"authorization: Bearer {SECRET}".encode() in request
            assert b"mine" not in request and request.startswith(b"GET /echo?a=1 ")
        assert echo.connections == 1
        event = await egress.event(kind="https")
        assert (event.host, event.rule, event.credential) == (HOST, HOST, "cred_1")
        assert (event.verdict, event.method) == ("allowed", "GET")
        assert SECRET not in event.model_dump_json()


async def test_the_certificate_is_for_that_host_and_by_the_environment(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async with (
        server(Echo(), certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
    ):
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            with pytest.raises(ssl.SSLCertVerificationError):
                await tunnel.tls(HOST, certificates.trusting)
        event = await egress.event(kind="tunnel")
        assert event.verdict == "failed" and "does not trust" in event.reason


async def test_hosts_without_a_rule_are_not_read(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async with (
        server(Echo(), certificates.serving("open.example.com")) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        egress.tunnel(f"open.example.com:{port}") as tunnel,
    ):
        inner = await tunnel.tls("open.example.com", certificates.trusting)
        assert (await inner.ask("GET", "/")).status == 200


async def test_a_server_with_a_bad_certificate_gets_no_secret(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo()
    for wrong, trusted in (("other.org", settings), (HOST, ProxySettings())):
        async with (
            server(echo, certificates.serving(wrong)) as port,
            gate(tmp_path, injecting(), None, trusted) as egress,
            inside(egress, port) as caller,
        ):
            answer = await caller.ask("GET", "/")
            assert answer.status == 502 and "certificate is not valid" in answer.reason
    assert echo.requests == []


async def test_another_host_behind_the_same_tunnel_is_refused(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo()
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        answer = await caller.ask("GET", "/", ["Host: evil.org"])
        assert answer.status == 421 and "evil.org" in answer.reason
    assert echo.requests == []


async def test_a_secret_goes_over_plain_http_to_what_the_operator_runs_only(
    tmp_path: Path,
) -> None:
    echo, upstream, names = Echo(), Echo(), Names()
    async with (
        server(echo) as port,
        gate(tmp_path, injecting()) as egress,
        egress.connect() as caller,
    ):
        assert (await caller.ask("GET", f"http://{HOST}:{port}/")).status == 200
    assert SECRET.encode() in echo.requests[0]
    names.set(HOST, ["8.8.8.8"])
    async with server(upstream) as port:
        settings = ProxySettings(upstream_proxy=SecretStr(f"http://127.0.0.1:{port}"))
        async with (
            gate(tmp_path, injecting(), names, settings) as egress,
            egress.connect() as caller,
        ):
            answer = await caller.ask("GET", f"http://{HOST}/")
            assert answer.status == 403 and "must go over https://" in answer.reason
    assert upstream.requests == []


def as_chunks(body: bytes) -> bytes:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def packed(coding: str, pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def answer(body: bytes) -> bytes:
        data = pack(body)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(data)}"
        return head.encode() + b"\r\n\r\n" + data

    return answer


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "with a length": lambda body: (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    ),
    "until the end": lambda body: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body,
    "byte by byte": as_chunks,
    "gzip": packed("gzip", gzip.compress),
    "two gzip members": packed(
        "x-gzip", lambda body: gzip.compress(body[:30]) + gzip.compress(body[30:])
    ),
    "deflate": packed("deflate", zlib.compress),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_a_reflected_secret_is_masked_however_it_is_sent(
    tmp_path: Path,
    certificates: Certificates,
    settings: ProxySettings,
    answer: Callable[[bytes], bytes],
) -> None:
    body = json.dumps({"authorization": f"Bearer {SECRET}", "padding": "x" * 3000}).encode()
    basic = base64.b64encode(SECRET.encode())

    async def reflect(connection: Connection) -> None:
        head = await connection.read_until(b"\r\n\r\n")
        assert b"accept-encoding: identity" in head and b"gzip" not in head
        await connection.send(answer(body + basic))

    async with (
        server(reflect, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        found = await caller.ask("GET", "/", ["Accept-Encoding: gzip, br"])
    assert found.status == 200 and len(found.body) == len(body + basic)
    assert SECRET not in found.text and basic[4:-4] not in found.body
    assert "x" * 3000 in found.text


async def test_a_reflected_secret_is_masked_in_headers_and_reasons(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async def reflect(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(
            f"HTTP/1.1 302 see {SECRET}\r\nLocation: https://evil.org/?{SECRET}\r\n"
            f"Set-Cookie: t={SECRET}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async with (
        server(reflect, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        answer = await caller.ask("GET", "/")
    assert answer.status == 302 and SECRET not in f"{answer.reason} {answer.headers}"


async def test_a_packing_that_cannot_be_searched_is_not_passed_on(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async def reflect(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(packed("br", lambda body: body)(b"whatever"))

    async with (
        server(reflect, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        answer = await caller.ask("GET", "/")
    assert answer.status == 502 and "packed its answer with 'br'" in answer.reason


async def test_a_bomb_is_unpacked_piece_by_piece(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))

    async def explode(connection: Connection) -> None:
        await connection.read_until(b"\r\n\r\n")
        await connection.send(packed("gzip", lambda _: bomb)(b""))

    async with (
        server(explode, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        await caller.send(f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        await caller.read_until(b"\r\n\r\n")
        assert b"\0" * 1000 in await caller.exactly(1024 * 1024)


async def test_masks_keep_the_frames_of_a_websocket_whole(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async def reflect(connection: Connection) -> None:
        head = await connection.read_until(b"\r\n\r\n")
        assert SECRET.encode() in head and b"sec-websocket-extensions" not in head.lower()
        frame = f"text {SECRET} end".encode()
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n\r\n\x81" + bytes((len(frame),)) + frame
        )
        await connection.rest()

    headers = ["Connection: Upgrade", "Upgrade: websocket"]
    headers.append("Sec-WebSocket-Extensions: permessage-deflate")
    async with (
        server(reflect, certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        assert (await caller.ask("GET", "/", headers)).status == 101
        frame = await caller.exactly(2 + len(f"text {SECRET} end"))
    assert frame[2:] == b"text " + b"*" * len(SECRET) + b" end"


async def test_placeholders_become_secrets_on_their_domains_only(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo()
    tls = certificates.serving(HOST, "other.example.com")
    headers = [f"Authorization: Bearer {HOLDER}", "Content-Type: application/json"]
    body = json.dumps({"token": HOLDER}).encode()
    async with (
        server(echo, tls) as port,
        gate(tmp_path, holding("header", "query", "body"), None, settings) as egress,
    ):
        async with inside(egress, port) as caller:
            answer = await caller.ask("POST", f"/?key={HOLDER}", headers, body)
            assert SECRET not in answer.text
        async with egress.tunnel(f"other.example.com:{port}") as tunnel:
            inner = await tunnel.tls("other.example.com", certificates.trusting)
            await inner.ask("POST", f"/?key={HOLDER}", headers, body)
    filled, untouched = echo.requests
    assert filled.count(SECRET.encode()) == 3 and HOLDER.encode() not in filled
    assert untouched.count(HOLDER.encode()) == 3 and SECRET.encode() not in untouched


@pytest.mark.parametrize("size", [10, 3 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_of_any_size_are_filled_in(
    tmp_path: Path,
    certificates: Certificates,
    settings: ProxySettings,
    size: int,
    chunked: bool,
) -> None:
    echo = Echo(answer=lambda _: b"ok")
    body = b"a" * size + HOLDER.encode() + b"z" * size
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, holding("body"), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        head = f"POST / HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        if chunked:
            await caller.send(f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode())
            await caller.send(body + b"\r\n0\r\n\r\n")
        else:
            await caller.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert (await caller.answer()).text == "ok"
    (request,) = echo.requests
    assert request.endswith(b"\r\n\r\n" + b"a" * size + SECRET.encode() + b"z" * size)


async def test_a_caller_that_waits_to_send_its_body_is_asked_for_it(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    echo = Echo(answer=lambda _: b"ok")
    async with (
        server(echo, certificates.serving(HOST)) as port,
        gate(tmp_path, holding("body"), None, settings) as egress,
        inside(egress, port) as caller,
    ):
        head = f"POST / HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Length: {len(HOLDER)}\r\n"
        await caller.send(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert (await caller.answer()).status == 100
        await caller.send(HOLDER.encode())
        assert (await caller.answer()).text == "ok"
    assert echo.requests[0].endswith(SECRET.encode())


async def test_a_client_that_offers_http2_gets_http1(
    tmp_path: Path, certificates: Certificates, settings: ProxySettings
) -> None:
    async with (
        server(Echo(), certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
        egress.tunnel(f"{HOST}:{port}") as tunnel,
    ):
        inner = await tunnel.tls(HOST, egress.trust, alpn=("h2", "http/1.1"))
        assert (await inner.ask("GET", "/")).status == 200


async def test_a_client_that_breaks_tls_breaks_nothing_else(
    tmp_path: Path,
    certificates: Certificates,
    settings: ProxySettings,
) -> None:
    async with (
        server(Echo(), certificates.serving(HOST)) as port,
        gate(tmp_path, injecting(), None, settings) as egress,
    ):
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            inner = await tunnel.tls(HOST, egress.trust)
            assert (await inner.ask("GET", "/")).status == 200
            await tunnel.send(b"\x17\x03\x03\x00\x05hello")
            await tunnel.rest()
        async with inside(egress, port) as caller:
            assert (await caller.ask("GET", "/")).status == 200
