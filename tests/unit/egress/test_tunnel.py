"""CONNECT, against real servers with real TLS on loopback."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from runtime.egress.client_hello import ACCESS_DENIED
from runtime.egress.pump import BULK_BYTES
from runtime.egress.rules import OPEN, Limits, Rules
from runtime.egress.tunnel import is_plain_http
from tests.support.certificates import Certificates
from tests.support.egress import Connection, Echo, Gate, allowing, gate, server
from tests.unit.egress.test_client_hello import extension, hello, message, record, server_name

pytestmark = pytest.mark.anyio

HOST = "shop.example.com"
RULES = allowing("*.example.com", "127.0.0.1")


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@asynccontextmanager
async def tls_echo(certificates: Certificates, *names: str) -> AsyncIterator[tuple[Echo, int]]:
    echo = Echo()
    async with server(echo, certificates.serving(*(names or (HOST,)))) as port:
        yield echo, port


async def test_tls_goes_through_unread(tmp_path: Path, certificates: Certificates) -> None:
    async with tls_echo(certificates) as (_, port), gate(tmp_path, RULES) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            inner = await tunnel.tls(HOST, certificates.trusting)
            for path in ("/a", "/b"):
                assert (await inner.ask("GET", path)).text.startswith(f"GET {path} ")
        event = await egress.event(kind="tunnel")
        assert (event.host, event.rule, event.verdict) == (HOST, "*.example.com", "allowed")
        assert event.bytes_out > 500 and event.bytes_in > 500 and event.duration_seconds > 0


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("evil.org:443", 403),
        (f"{HOST}:22", 403),
        (f"{HOST}:25", 403),
        (f"{HOST}:2375", 403),
        ("169.254.169.254:80", 403),
        ("[::1]:443", 403),
        ("[::ffff:169.254.169.254]:80", 403),
        ("0x7f.1:443", 403),
        ("2130706433:443", 403),
        (HOST, 400),
        (f"{HOST}:0", 400),
        (f"user@{HOST}:443", 400),
        (f"http://{HOST}:443", 400),
    ],
)
async def test_tunnels_that_are_refused(tmp_path: Path, target: str, status: int) -> None:
    rules = allowing("*.example.com", "169.254.169.254", "::1", internal=())
    async with gate(tmp_path, rules) as egress, egress.connect() as caller:
        answer = await caller.ask("CONNECT", target)
        assert answer.status == status, answer.reason
        assert await caller.rest() == b""
        assert (await egress.event(verdict="refused")).method == "CONNECT"


async def test_a_connect_with_a_body_is_refused(tmp_path: Path) -> None:
    async with gate(tmp_path, RULES) as egress, egress.connect() as caller:
        assert (await caller.ask("CONNECT", f"{HOST}:443", body=b"hello")).status == 400


async def test_a_server_that_cannot_be_reached_is_told_before_the_tunnel_stands(
    tmp_path: Path,
) -> None:
    async with gate(tmp_path, RULES) as egress, egress.connect() as caller:
        answer = await caller.ask("CONNECT", f"{HOST}:9")
        assert answer.status == 502 and "Connection refused" in answer.reason
        assert (await egress.event(verdict="failed")).host == HOST


@pytest.mark.parametrize(
    ("opening", "reason"),
    [
        (hello("other.example.com"), "names the server 'other.example.com'"),
        (hello("evil.org"), "names the server 'evil.org'"),
        (hello(None), "must name the server (SNI)"),
        (record(message(server_name(HOST.encode()), extension(0xFE0D, b"x"))), "Encrypted"),
        (record(message(server_name(HOST.encode(), b"evil.org"))), "more than one server"),
        (record(message(server_name(f"{HOST}\0.evil.org".encode()))), "names the server"),
    ],
    ids=["another host", "a refused host", "none", "encrypted", "two", "NUL"],
)
async def test_tls_for_another_server_is_refused(
    tmp_path: Path, certificates: Certificates, opening: bytes, reason: str
) -> None:
    async with tls_echo(certificates) as (echo, port), gate(tmp_path, RULES) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            await tunnel.send(opening)
            assert await tunnel.rest() == ACCESS_DENIED
        event = await egress.event(verdict="refused")
        assert event.host == HOST and reason in event.reason
        assert echo.requests == []


@pytest.mark.parametrize(
    "opening",
    [b"SSH-2.0-x\r\n", b"\x00\x01\x02", b"EHLO me\r\n", b"\x80\x2e\x01\x00\x02", b"get / HTTP/1.1"],
)
async def test_what_is_neither_tls_nor_http_is_refused(tmp_path: Path, opening: bytes) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            await tunnel.send(opening + b"\r\n\r\n")
            await tunnel.rest()
        assert echo.requests == []


@pytest.mark.parametrize("port", [443, 8443])
def test_plain_http_is_not_for_the_ports_of_tls(port: int) -> None:
    assert is_plain_http(b"GET / HTTP/1.1", 80)
    assert not is_plain_http(b"GET / HTTP/1.1", port)
    assert not any(is_plain_http(data, 80) for data in (b"", b"\x16\x03", b"get", b"1", b"\xc9"))


async def test_plain_http_in_a_tunnel_is_read_like_any_other(tmp_path: Path) -> None:
    echo = Echo()
    async with server(echo) as port, gate(tmp_path, RULES) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            host = f"Host: {HOST}:{port}"
            for path in ("/a", "/b"):
                answer = await tunnel.ask("GET", path, [host, "Via: me"])
                assert answer.text.startswith(f"GET {path} ") and "via" not in answer.text
            assert (await tunnel.ask("GET", "/c", ["Host: evil.org"])).status == 421
        assert echo.connections == 1
        events = [await egress.event(kind="http", verdict="allowed") for _ in range(2)]
        assert [event.host for event in events] == [HOST, HOST]


async def test_an_address_needs_no_server_name(tmp_path: Path, certificates: Certificates) -> None:
    async with (
        tls_echo(certificates, "127.0.0.1") as (_, port),
        gate(tmp_path, RULES) as egress,
        egress.tunnel(f"127.0.0.1:{port}") as tunnel,
    ):
        inner = await tunnel.tls("127.0.0.1", certificates.trusting)
        assert (await inner.ask("GET", "/")).status == 200


async def test_encrypted_client_hello_passes_where_every_host_is_allowed(tmp_path: Path) -> None:
    got: list[bytes] = []

    async def keep(connection: Connection) -> None:
        got.append(await connection.exactly(len(opening)))

    opening = record(message(server_name(HOST.encode()), extension(0xFE0D, b"x")))
    rules = Rules(hosts=OPEN.hosts, allow_internal=("127.0.0.1",))
    async with (
        server(keep) as port,
        gate(tmp_path, rules) as egress,
        egress.tunnel(f"{HOST}:{port}") as tunnel,
    ):
        await tunnel.send(opening)
        await tunnel.rest()
    assert got == [opening]


@pytest.mark.parametrize("size", [0, 1, 100_000, BULK_BYTES + 12_345, 24 * 1024 * 1024])
async def test_bytes_arrive_as_they_were_sent(tmp_path: Path, size: int) -> None:
    data = hashlib.shake_256(b"seed").digest(size)
    opening = hello(HOST)

    async def mirror(connection: Connection) -> None:
        received = await connection.rest()
        await connection.send(received)

    async with server(mirror) as port, gate(tmp_path, RULES) as egress:
        async with (
            egress.tunnel(f"{HOST}:{port}") as tunnel,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(send_all, tunnel, opening + data)
            assert await tunnel.rest() == opening + data
        event = await egress.event(kind="tunnel")
        assert event.bytes_in == event.bytes_out == len(opening) + size


async def send_all(connection: Connection, data: bytes) -> None:
    """Send, then say that no more comes; the other direction stays open."""
    await connection.send(data)
    await connection.stream.send_eof()


async def test_a_tunnel_whose_client_says_nothing_is_closed(tmp_path: Path) -> None:
    rules = allowing("*.example.com", limits=Limits(header_seconds=0.2))
    async with server(Echo()) as port, gate(tmp_path, rules) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            assert await tunnel.rest() == b""
        assert "nothing came through the tunnel" in (await egress.event(verdict="failed")).reason


async def test_an_idle_tunnel_is_closed(tmp_path: Path, certificates: Certificates) -> None:
    rules = allowing("*.example.com", limits=Limits(idle_seconds=1.5))
    async with tls_echo(certificates) as (_, port), gate(tmp_path, rules) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            inner = await tunnel.tls(HOST, certificates.trusting)
            assert await inner.rest() == b""
        assert "no byte passed" in (await egress.event(verdict="closed")).reason


async def test_a_tunnel_that_one_side_has_ended_does_not_stay(tmp_path: Path) -> None:
    async def stay(connection: Connection) -> None:
        await anyio.sleep_forever()

    rules = allowing("*.example.com", limits=Limits(half_closed_seconds=0.3))
    async with server(stay) as port, gate(tmp_path, rules) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            await tunnel.send(hello(HOST))
            await tunnel.stream.send_eof()
            assert await tunnel.rest() == b""
        assert "no byte passed for 0.3" in (await egress.event(verdict="closed")).reason


async def test_a_tunnel_ends_when_the_bytes_are_used_up(tmp_path: Path) -> None:
    async def pour(connection: Connection) -> None:
        while True:
            await connection.send(b"x" * 65536)

    rules = allowing("*.example.com", limits=Limits(bytes_in=4 * 1024 * 1024))
    async with server(pour) as port, gate(tmp_path, rules) as egress:
        async with egress.tunnel(f"{HOST}:{port}") as tunnel:
            await tunnel.send(hello(HOST))
            assert len(await tunnel.rest()) <= 4 * 1024 * 1024
        assert (await egress.event(verdict="closed")).bytes_in >= 4 * 1024 * 1024


async def open_tunnel(egress: Gate, certificates: Certificates, port: int) -> Connection:
    caller = Connection(await anyio.connect_unix(egress.path))
    assert (await caller.ask("CONNECT", f"{HOST}:{port}")).status == 200
    inner = await caller.tls(HOST, certificates.trusting)
    assert (await inner.ask("GET", "/")).status == 200
    return inner


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        allowing("other.example.com"),
        allowing("*.example.com", internal=()),
        allowing("*.example.com:443"),
    ],
)
async def test_open_tunnels_end_with_rules_that_do_not_allow_them(
    tmp_path: Path, certificates: Certificates, rules: Rules
) -> None:
    async with tls_echo(certificates) as (_, port), gate(tmp_path, RULES) as egress:
        inner = await open_tunnel(egress, certificates, port)
        egress.environment.replace(rules)
        assert await inner.rest() == b""
        event = await egress.event(verdict="closed")
        assert event.reason == "the rules of this environment have changed"
        await inner.aclose()


async def test_open_tunnels_stay_with_rules_that_allow_them(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with tls_echo(certificates) as (_, port), gate(tmp_path, RULES) as egress:
        inner = await open_tunnel(egress, certificates, port)
        egress.environment.replace(allowing(HOST))
        assert (await inner.ask("GET", "/")).status == 200
        await inner.aclose()


async def test_closing_an_environment_ends_everything(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with tls_echo(certificates) as (_, port), gate(tmp_path, RULES) as egress:
        inner = await open_tunnel(egress, certificates, port)
        await egress.listener.close()
        assert await inner.rest() == b""
        with pytest.raises(OSError, match="refused"):
            await anyio.connect_unix(egress.path)
        await inner.aclose()


async def test_a_certificate_for_another_host_is_the_clients_to_refuse(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with (
        tls_echo(certificates, "other.org") as (_, port),
        gate(tmp_path, RULES) as egress,
        egress.tunnel(f"{HOST}:{port}") as tunnel,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await tunnel.tls(HOST, certificates.trusting)
