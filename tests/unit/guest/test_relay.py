from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from runtime.guest.relay import CHUNK_BYTES, Relay

PATIENCE_SECONDS = 30.0
PLENTY = 64 * 1024 * 1024


class World:
    """A relay in a thread, and the proxy's side of it in the hands of the test."""

    def __init__(self, folder: Path, max_connections: int, connect_seconds: float) -> None:
        self.path = folder / "egress.sock"
        self._port = socket.create_server(("127.0.0.1", 0))
        self.relay = Relay(self._port, self.path, max_connections, connect_seconds)
        self._is_open = True
        self._thread = threading.Thread(target=self._run)
        self._stack = ExitStack()
        self.proxy = self.listening()
        self._thread.start()

    def listening(self) -> socket.socket:
        """A new socket in the place of the proxy's."""
        self.path.unlink(missing_ok=True)
        proxy = socket.socket(socket.AF_UNIX)
        proxy.bind(str(self.path))
        proxy.listen()
        proxy.settimeout(PATIENCE_SECONDS)
        return self._stack.enter_context(proxy)

    def call(self) -> socket.socket:
        address = self._port.getsockname()
        return self._stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))

    def answer(self) -> socket.socket:
        """The proxy's end of the next connection."""
        taken, _ = self.proxy.accept()
        taken.settimeout(PATIENCE_SECONDS)
        return self._stack.enter_context(taken)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        return self.call(), self.answer()

    def close(self) -> None:
        self._is_open = False
        self._thread.join(PATIENCE_SECONDS)
        self.relay.close()
        self._stack.close()
        self._port.close()

    def _run(self) -> None:
        while self._is_open:
            self.relay.turn(0.05)


@contextmanager
def world_in(
    folder: Path, max_connections: int = 64, connect_seconds: float = PATIENCE_SECONDS
) -> Generator[World]:
    world = World(folder, max_connections, connect_seconds)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    with world_in(tmp_path) as world:
        yield world


def until_end(side: socket.socket) -> bytes:
    data = bytearray()
    while piece := side.recv(CHUNK_BYTES):
        data += piece
    return bytes(data)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_bytes_pass_both_ways(world: World) -> None:
    caller, proxy = world.pair()
    caller.sendall(b"question")
    assert proxy.recv(100) == b"question"
    proxy.sendall(b"answer")
    assert caller.recv(100) == b"answer"


def test_a_great_deal_passes_whole(world: World) -> None:
    caller, proxy = world.pair()
    content = bytes(range(256)) * (PLENTY // 256)

    def send() -> None:
        proxy.sendall(content)
        proxy.shutdown(socket.SHUT_WR)

    thread = in_thread(send)
    assert until_end(caller) == content
    thread.join(PATIENCE_SECONDS)


@pytest.mark.parametrize("first", ["caller", "proxy"])
def test_one_side_can_end_and_go_on_reading(world: World, first: str) -> None:
    caller, proxy = world.pair()
    ends, stays = (caller, proxy) if first == "caller" else (proxy, caller)
    ends.sendall(b"all I had")
    ends.shutdown(socket.SHUT_WR)
    assert until_end(stays) == b"all I had"
    stays.sendall(b"one thing more")
    stays.shutdown(socket.SHUT_WR)
    assert until_end(ends) == b"one thing more"


def test_a_slow_reader_holds_up_its_server_and_nobody_else(world: World) -> None:
    _slow, flood = world.pair()
    flood.settimeout(0.2)
    passed = 0
    with pytest.raises(TimeoutError):
        while passed < PLENTY:
            passed += flood.send(b"x" * CHUNK_BYTES)
    assert passed < PLENTY
    caller, proxy = world.pair()
    caller.sendall(b"still here")
    assert proxy.recv(100) == b"still here"


def test_a_refusal_in_the_middle_of_a_body_arrives(world: World) -> None:
    caller, proxy = world.pair()
    caller.sendall(b"POST")
    assert proxy.recv(4) == b"POST"
    caller.sendall(b"b" * 1000)  # the proxy will not read it
    proxy.sendall(b"HTTP/1.1 403 no")
    proxy.close()
    assert until_end(caller) == b"HTTP/1.1 403 no"


def test_a_caller_that_breaks_off_ends_the_proxys_side(world: World) -> None:
    caller, proxy = world.pair()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    caller.close()
    assert until_end(proxy) == b""


def test_a_new_proxy_is_found(world: World) -> None:
    caller, proxy = world.pair()
    proxy.close()
    world.proxy.close()
    assert until_end(caller) == b""
    waiting = world.call()
    waiting.sendall(b"patient")
    world.proxy = world.listening()
    assert world.answer().recv(100) == b"patient"


def test_more_connections_than_may_be_wait_for_a_place(tmp_path: Path) -> None:
    with world_in(tmp_path, max_connections=2) as world:
        (first, first_proxy), _second = world.pair(), world.pair()
        third = world.call()
        third.sendall(b"third")
        world.proxy.settimeout(0.2)
        with pytest.raises(TimeoutError):
            world.proxy.accept()
        world.proxy.settimeout(PATIENCE_SECONDS)
        first.close()
        first_proxy.close()
        assert world.answer().recv(100) == b"third"


def test_without_a_proxy_callers_are_told(tmp_path: Path) -> None:
    with world_in(tmp_path, connect_seconds=0.5) as world:
        world.proxy.close()
        caller = world.call()
        caller.sendall(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n")
        assert until_end(caller).startswith(b"HTTP/1.1 503 the network of this sandbox")
