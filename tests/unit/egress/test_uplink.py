"""Servers behind an upstream proxy."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from runtime.egress.lookups import PER_ENVIRONMENT
from runtime.egress.protocol import ProxySettings
from runtime.egress.rules import Limits
from runtime.egress.uplink import KNOWN_SECONDS
from tests.support.certificates import Certificates
from tests.support.egress import (
    PATIENCE_SECONDS,
    Answer,
    Connection,
    Echo,
    Names,
    allowing,
    gate,
    server,
)

pytestmark = pytest.mark.anyio

HOST = "shop.example.com"
PUBLIC = allowing("*.example.com", internal=())


@dataclass
class CorporateProxy:
    """A proxy that leads every tunnel to one port of loopback and answers plain requests itself."""

    port: int
    asked: list[str] = field(default_factory=list[str])
    status: str = "200 OK"

    async def __call__(self, connection: Connection) -> None:
        head = (await connection.read_until(b"\r\n\r\n")).decode()
        self.asked.append(head)
        if not head.startswith("CONNECT"):
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy")
            return
        await connection.send(f"HTTP/1.1 {self.status}\r\nX: y\r\n\r\n".encode())
        if not self.status.startswith("200"):
            return
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            target = Connection(stream)
            async with anyio.create_task_group() as tasks:
                for source, sink in ((connection, target), (target, connection)):
                    tasks.start_soon(copy, source, sink, tasks.cancel_scope)


async def copy(source: Connection, sink: Connection, both: anyio.CancelScope) -> None:
    try:
        while True:
            await sink.send(await source.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        both.cancel()


def settings(port: int, certificates: Certificates | None = None, **parts: str) -> ProxySettings:
    scheme, user = parts.get("scheme", "http"), parts.get("user", "")
    return ProxySettings(
        upstream_proxy=SecretStr(f"{scheme}://{user}127.0.0.1:{port}"),
        certificates=certificates.pem if certificates else "",
    )


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def names() -> Names:
    """A machine that knows public addresses only."""
    names = Names()
    names.set(HOST, ["93.184.215.14"])
    return names


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_tunnels_and_plain_requests_go_through_the_upstream_proxy(
    tmp_path: Path, certificates: Certificates, names: Names, scheme: str
) -> None:
    async with server(Echo(), certificates.serving(HOST)) as target:
        proxy = CorporateProxy(target)
        tls = certificates.serving("127.0.0.1") if scheme == "https" else None
        async with server(proxy, tls) as port:
            found = settings(port, certificates, scheme=scheme, user="me:w%40rd@")
            async with gate(tmp_path, PUBLIC, names, found) as egress:
                async with egress.tunnel(f"{HOST}:443") as tunnel:
                    inner = await tunnel.tls(HOST, certificates.trusting)
                    assert (await inner.ask("GET", "/")).status == 200
                async with egress.connect() as caller:
                    answer = await caller.ask("GET", f"http://{HOST}/plain?q")
                    assert answer.text == "proxy"
                assert (await egress.event(kind="tunnel")).address is None
    connect, plain = proxy.asked
    assert connect.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n")
    assert plain.startswith(f"GET http://{HOST}/plain?q HTTP/1.1\r\n")
    authorization = "Basic " + base64.b64encode(b"me:w@rd").decode()
    assert all(f"roxy-authorization: {authorization}".lower() in one.lower() for one in proxy.asked)


async def test_a_tunnel_that_the_upstream_proxy_refuses_is_told(
    tmp_path: Path, names: Names
) -> None:
    proxy = CorporateProxy(9, status="407 Proxy Authentication Required")
    async with (
        server(proxy) as port,
        gate(tmp_path, PUBLIC, names, settings(port, user="me:secret-word@")) as egress,
        egress.connect() as caller,
    ):
        answer = await caller.ask("CONNECT", f"{HOST}:443")
        assert answer.status == 502 and "407" in answer.reason
        assert "secret-word" not in answer.text


async def test_what_this_machine_knows_to_lead_inside_is_refused_all_the_same(
    tmp_path: Path,
) -> None:
    names, proxy = Names(), CorporateProxy(9)
    names.set("intranet.example.com", ["10.1.2.3"])
    async with (
        server(proxy) as port,
        gate(tmp_path, PUBLIC, names, settings(port)) as egress,
        egress.connect() as caller,
    ):
        answer = await caller.ask("CONNECT", "intranet.example.com:443")
        assert answer.status == 403 and "not public" in answer.reason
    assert proxy.asked == []


async def test_nor_is_it_left_unchecked_while_all_places_for_lookups_are_taken(
    tmp_path: Path,
) -> None:
    async def slow(host: str, port: int) -> list[str]:
        if host.startswith("slow"):
            await anyio.sleep_forever()
        return ["10.1.2.3"]

    proxy = CorporateProxy(9)
    async with (
        server(proxy) as port,
        gate(tmp_path, PUBLIC, slow, settings(port)) as egress,
        anyio.create_task_group() as tasks,
    ):

        async def ask(host: str) -> Answer:
            async with egress.connect() as caller:
                return await caller.ask("GET", f"http://{host}.example.com/")

        for number in range(PER_ENVIRONMENT):
            tasks.start_soon(ask, f"slow{number}")
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(proxy.asked) < PER_ENVIRONMENT:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        impatient = Limits(connect_seconds=KNOWN_SECONDS + 1)
        egress.environment.replace(allowing("*.example.com", internal=(), limits=impatient))
        assert (await ask("intranet")).status == 504
    assert not [head for head in proxy.asked if "intranet" in head]


async def test_a_name_that_this_machine_cannot_look_up_is_left_to_the_upstream_proxy(
    tmp_path: Path,
) -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("no name service here")

    proxy = CorporateProxy(9)
    async with (
        server(proxy) as port,
        gate(tmp_path, PUBLIC, unknown, settings(port)) as egress,
        egress.connect() as caller,
    ):
        assert (await caller.ask("GET", f"http://{HOST}/")).text == "proxy"


async def test_what_the_operator_allows_inside_is_dialled_directly(tmp_path: Path) -> None:
    proxy, echo = CorporateProxy(9), Echo()
    async with server(echo) as target, server(proxy) as port:
        rules = allowing("127.0.0.1", "db.internal", internal=("127.0.0.1", "db.internal"))
        async with gate(tmp_path, rules, None, settings(port)) as egress:
            for host in ("127.0.0.1", "db.internal"):
                async with egress.connect() as caller:
                    assert (await caller.ask("GET", f"http://{host}:{target}/")).status == 200
    assert proxy.asked == [] and len(echo.requests) == 2
