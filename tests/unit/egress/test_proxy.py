"""The process itself, with the controller's end of it."""

from __future__ import annotations

import os
import signal
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from pydantic import SecretStr

from runtime.egress.protocol import EgressEvent, ProxySettings
from runtime.egress.proxy import PROCESS_UID, EgressProxy
from runtime.egress.rules import HeaderInjection, HostRule, Rules
from runtime.errors import Conflict, Internal, NotFound
from tests.support.certificates import Certificates
from tests.support.egress import (
    LOOPBACK,
    PATIENCE_SECONDS,
    Answer,
    Connection,
    Echo,
    allowing,
    server,
)

pytestmark = pytest.mark.anyio

UID = PROCESS_UID if os.geteuid() == 0 else None
RULES = allowing("127.0.0.1")
SECRET = "canary-0123456789-secret"


@asynccontextmanager
async def running(
    settings: ProxySettings | None = None,
) -> AsyncIterator[tuple[EgressProxy, list[EgressEvent]]]:
    """A proxy, and its events as they come."""
    proxy = EgressProxy(settings or ProxySettings(), uid=UID)
    events: list[EgressEvent] = []

    async def read() -> None:
        async for event in proxy.events():
            events.append(event)  # noqa: PERF401 - seen one by one

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        async with proxy.running():
            yield proxy, events


@asynccontextmanager
async def calling(path: Path) -> AsyncIterator[Connection]:
    async with await anyio.connect_unix(path) as stream:
        yield Connection(stream)


async def get(path: Path, url: str) -> Answer:
    async with calling(path) as caller:
        return await caller.ask("GET", url)


async def test_environments_are_known_by_their_sockets(tmp_path: Path) -> None:
    async with server(Echo()) as port, running() as (proxy, events):
        one = await proxy.open("env_one", tmp_path / "one.sock", RULES)
        two = await proxy.open("env_two", tmp_path / "two.sock", Rules())
        url = f"http://127.0.0.1:{port}/"
        assert (await get(one.path, url)).status == 200
        assert (await get(two.path, url)).status == 403
        health = await proxy.health()
        assert health.environments == 2 and 0 < health.memory_bytes < 200 * 1024 * 1024
    assert [(event.environment, event.verdict) for event in events] == [
        ("env_one", "allowed"),
        ("env_two", "refused"),
    ]


async def test_new_rules_are_in_force_when_replace_returns(tmp_path: Path) -> None:
    async with server(Echo()) as port, running() as (proxy, _):
        egress = await proxy.open("env", tmp_path / "e.sock", RULES)
        url = f"http://127.0.0.1:{port}/"
        async with calling(egress.path) as kept:
            assert (await kept.ask("GET", url)).status == 200
            await proxy.replace("env", Rules())
            assert (await kept.ask("GET", url)).status == 403
        await proxy.replace("env", RULES)
        assert (await get(egress.path, url)).status == 200


async def test_an_environment_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    async with running() as (proxy, _):
        egress = await proxy.open("env", tmp_path / "e.sock", RULES)
        with pytest.raises(Conflict):
            await proxy.open("env", tmp_path / "other.sock", RULES)
        async with calling(egress.path) as caller:
            await proxy.close("env")
            assert await caller.rest() == b""
        assert not await anyio.Path(egress.path).exists()
        await proxy.close("env")
        with pytest.raises(NotFound):
            await proxy.replace("env", RULES)
        again = await proxy.open("env", tmp_path / "e.sock", RULES)
        assert again.certificate != egress.certificate


async def pid_of(proxy: EgressProxy) -> int:
    with anyio.fail_after(PATIENCE_SECONDS):
        while proxy.pid is None:
            await checkpoint()
    return proxy.pid


async def test_a_process_that_is_killed_comes_back_with_rules_and_certificates(
    tmp_path: Path,
) -> None:
    async with server(Echo()) as port, running() as (proxy, events):
        one = await proxy.open("env_one", tmp_path / "one.sock", RULES)
        two = await proxy.open("env_two", tmp_path / "two.sock", RULES)
        await proxy.replace("env_two", Rules())
        url = f"http://127.0.0.1:{port}/"
        for number in range(2):
            with anyio.fail_after(PATIENCE_SECONDS):
                # What the process did not tell yet is lost when it is killed.
                while len(events) < 2 * number:
                    await checkpoint()
            before = await pid_of(proxy)
            os.kill(before, signal.SIGKILL)
            # The connection waits in the controller's socket for the next process.
            assert (await get(one.path, url)).status == 200
            assert (await get(two.path, url)).status == 403
            assert await pid_of(proxy) != before
    assert [event.verdict for event in events] == ["allowed", "refused"] * 2


async def test_orders_while_there_is_no_process_hold_for_the_next_one(tmp_path: Path) -> None:
    async with server(Echo()) as port, running() as (proxy, _):
        egress = await proxy.open("env", tmp_path / "e.sock", RULES)
        os.kill(await pid_of(proxy), signal.SIGKILL)
        await proxy.replace("env", Rules())
        later = await proxy.open("env_later", tmp_path / "later.sock", RULES)
        url = f"http://127.0.0.1:{port}/"
        assert (await get(egress.path, url)).status == 403
        assert (await get(later.path, url)).status == 200


async def test_a_process_that_hangs_is_replaced(tmp_path: Path) -> None:
    proxy = EgressProxy(ProxySettings(), uid=UID, order_seconds=1.0)
    async with server(Echo()) as port, proxy.running():
        egress = await proxy.open("env", tmp_path / "e.sock", RULES)
        before = await pid_of(proxy)
        os.kill(before, signal.SIGSTOP)
        await proxy.replace("env", Rules())
        assert (await get(egress.path, f"http://127.0.0.1:{port}/")).status == 403
        assert await pid_of(proxy) != before


async def test_settings_that_cannot_be_read_are_an_error_at_the_start() -> None:
    with pytest.raises(Internal, match="upstream proxy"):
        async with EgressProxy(ProxySettings(upstream_proxy=SecretStr("socks5://x"))).running():
            pytest.fail("it must not start")


@pytest.mark.skipif(UID is None, reason="needs the right to change user ids")
async def test_the_process_has_no_rights_and_no_secrets_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PROVIDER_KEY", "canary-key-of-the-controller")
    header = HeaderInjection(name="X-Key", value=SecretStr(SECRET))
    rules = Rules(hosts=(HostRule(domain="a.com", headers=(header,)),))
    async with running() as (proxy, _):
        await proxy.open("env", tmp_path / "e.sock", rules)
        process = Path(f"/proc/{await pid_of(proxy)}")
        status = process.joinpath("status").read_text(encoding="ascii")
        assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in status
        assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
        for name in ("cmdline", "environ"):
            assert b"canary" not in process.joinpath(name).read_bytes()


async def test_a_sandbox_alone_may_connect_to_its_socket(tmp_path: Path) -> None:
    async with running() as (proxy, _):
        await proxy.open("env", tmp_path / "e.sock", RULES, guest_uid=1000)
        mode = (tmp_path / "e.sock").stat()
        if UID is None:
            assert stat.S_IMODE(mode.st_mode) == 0o666
        else:
            assert (mode.st_uid, stat.S_IMODE(mode.st_mode)) == (1000, 0o600)


async def test_secrets_go_in_by_the_process_and_never_into_events(tmp_path: Path) -> None:
    certificates, echo = Certificates(), Echo()
    header = HeaderInjection(name="Authorization", value=SecretStr(f"Bearer {SECRET}"))
    rule = HostRule(domain="127.0.0.1", headers=(header,), credential="cred_1")
    rules = Rules(hosts=(rule,), allow_internal=LOOPBACK)
    settings = ProxySettings(certificates=certificates.pem)
    async with (
        server(echo, certificates.serving("127.0.0.1")) as port,
        running(settings) as (proxy, events),
    ):
        egress = await proxy.open("env", tmp_path / "e.sock", rules)
        async with calling(egress.path) as caller:
            assert (await caller.ask("CONNECT", f"127.0.0.1:{port}")).status == 200
            trusted = ssl.create_default_context(cadata=egress.certificate)
            inner = await caller.tls("127.0.0.1", trusted)
            inner.host = f"127.0.0.1:{port}"
            answer = await inner.ask("GET", "/")
        assert answer.status == 200 and SECRET not in answer.text
    assert SECRET.encode() in echo.requests[0]
    (event,) = events
    assert event.credential == "cred_1" and SECRET not in event.model_dump_json()


async def test_open_connections_are_told_of_at_the_end(tmp_path: Path) -> None:
    async with server(Echo()) as port, running() as (proxy, events):
        egress = await proxy.open("env", tmp_path / "e.sock", RULES)
        caller = Connection(await anyio.connect_unix(egress.path))
        assert (await caller.ask("CONNECT", f"127.0.0.1:{port}")).status == 200
    assert [event.kind for event in events] == ["tunnel"]
    await caller.aclose()


async def test_events_that_nobody_reads_stop_the_traffic_and_nothing_else(tmp_path: Path) -> None:
    proxy = EgressProxy(ProxySettings(), uid=UID)
    async with server(Echo()) as port, proxy.running():
        egress = await proxy.open("env", tmp_path / "e.sock", RULES)
        url = f"http://127.0.0.1:{port}/"
        async with calling(egress.path) as caller:
            for _ in range(300):
                assert (await caller.ask("GET", url)).status == 200
        await proxy.replace("env", Rules())
        assert (await proxy.health()).events_lost == 0
        assert (await get(egress.path, url)).status == 403
    assert len([event async for event in proxy.events()]) == 301
