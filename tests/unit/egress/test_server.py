"""The process's end of the order channel, with orders that no controller would send."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.egress.certificates import new_authority
from runtime.egress.channel import Channel
from runtime.egress.protocol import MAX_ORDER_BYTES, Open, ProxySettings
from runtime.egress.rules import CLOSED, REVEAL, Rules
from runtime.egress.server import Server
from runtime.egress.sockets import listening_socket
from runtime.errors import SandboxUnavailable
from tests.support.egress import PATIENCE_SECONDS, Connection, Echo, Names, allowing, server

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serving() -> AsyncIterator[Channel]:
    """The other end of the order channel of a server."""
    pairs = [socket.socketpair() for _ in range(2)]
    (ours, orders), (our_events, events) = [
        [await Channel.of(end, MAX_ORDER_BYTES) for end in pair] for pair in pairs
    ]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Server(orders, events, Names()).run)
        yield ours
        await ours.aclose()
    for channel in (orders, our_events, events):
        await channel.aclose()


async def ask(channel: Channel, message: dict[str, Any], descriptor: int | None = None) -> Any:
    with anyio.fail_after(PATIENCE_SECONDS):
        await channel.send(message, descriptor)
        return await channel.receive()


def opening(environment: str, allowed: Rules, **changes: Any) -> dict[str, Any]:
    order = Open(id=7, environment=environment, rules=allowed, authority=new_authority(environment))
    return {**order.model_dump(mode="json", context=REVEAL), **changes}


CONFIGURE = {"type": "configure", "id": 1, "settings": ProxySettings().model_dump(mode="json")}


async def test_a_socket_never_goes_to_another_environment(tmp_path: Path) -> None:
    one, two = (listening_socket(tmp_path / name, None) for name in ("one", "two"))
    with one, two:
        async with serving() as channel, server(Echo()) as port:
            await ask(channel, CONFIGURE)
            broken = opening("env_one", CLOSED, rules={"hosts": "all of them"})
            assert "rules.hosts" in (await ask(channel, broken, one.fileno()))["error"]
            rules = allowing("127.0.0.1")
            done = await ask(channel, opening("env_two", rules), two.fileno())
            assert done == {"id": 7, "error": None, "health": None}
            async with await anyio.connect_unix(tmp_path / "two") as stream:
                answer = await Connection(stream).ask("GET", f"http://127.0.0.1:{port}/")
                assert answer.status == 200


async def test_orders_that_make_no_sense_are_answered(tmp_path: Path) -> None:
    with listening_socket(tmp_path / "e", None) as listening:
        async with serving() as channel:
            early = await ask(channel, opening("env", CLOSED), listening.fileno())
            assert "not configured" in early["error"]
            await ask(channel, CONFIGURE)
            for message, error in [
                ({"type": "shout", "id": 2}, "malformed"),
                ({"id": 3}, "malformed"),
                ({"type": "close", "id": 4, "environment": "env_none"}, "env_none"),
                (opening("env", CLOSED, authority={"certificate": "", "key": "canary"}), ""),
            ]:
                done = await ask(
                    channel, message, listening.fileno() if message["id"] == 7 else None
                )
                assert done["id"] == message["id"] and error in done["error"]
                assert "canary" not in done["error"]


def test_a_path_that_is_too_long_for_a_socket_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="too long"):
        listening_socket(tmp_path / ("x" * 120), None)
    with pytest.raises(SandboxUnavailable, match="cannot be made"):
        listening_socket(tmp_path / "none" / "e", None)
