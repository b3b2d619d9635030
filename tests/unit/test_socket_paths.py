from __future__ import annotations

import os
import socket
from pathlib import Path

import anyio
import pytest

from runtime.egress.sockets import listening_socket
from runtime.gateway.listener import SandboxListener
from runtime.schema.protocol import GATEWAY_SOCKET
from runtime.socket_paths import MAX_ADDRESS_BYTES, address_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    folder = tmp_path / "/".join(["a folder with a long name"] * 8)
    folder.mkdir(parents=True)
    return folder


async def test_a_short_path_is_its_own_address() -> None:
    with address_of(Path("/run/x")) as address:
        assert address == "/run/x"


def test_a_long_path_has_a_short_address(deep: Path) -> None:
    path = deep / "socket"
    before = len([*Path("/proc/self/fd").iterdir()])
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as caller:
        with address_of(path) as address:
            assert len(address) <= MAX_ADDRESS_BYTES < len(str(path))
            listening.bind(address)
            listening.listen()
        assert path.is_socket()
        with address_of(path) as address:
            caller.connect(address)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


async def test_a_folder_that_is_not_there(deep: Path) -> None:
    with pytest.raises(FileNotFoundError), address_of(deep / "none" / "socket"):
        pass


async def test_a_sandbox_listens_below_a_long_path(deep: Path) -> None:
    listener = SandboxListener(deep / "sandbox")
    await listener.bind(os.getuid())
    path = deep / "sandbox" / GATEWAY_SOCKET
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve)
        with address_of(path) as address:
            async with await anyio.connect_unix(address) as stream:
                await stream.send(b"\0\0\0\2{}")
                with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
                    await stream.receive()
        tasks.cancel_scope.cancel()
    listener.remove()
    assert not path.exists()


async def test_an_environments_network_listens_below_a_long_path(deep: Path) -> None:
    for _ in range(2):
        with (
            listening_socket(deep / "proxy", None),
            socket.socket(socket.AF_UNIX) as caller,
            address_of(deep / "proxy") as address,
        ):
            caller.connect(address)
