"""Running a byte-stream operation of the hands against a peer on the other end of a socket."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from runtime.errors import SandlotError
from runtime.guest.service import StreamOperation

_DEPTH = 1500


@dataclass
class Exchange:
    """What came of one operation over a connection."""

    told: dict[str, Any] = field(default_factory=dict[str, Any])
    received: bytes = b""
    value: Any = None


async def exchange(operation: StreamOperation, sent: bytes, arguments: Any) -> Exchange:
    """Run the operation against a peer that sends `sent` and reads to the end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    done, failures = Exchange(), list[SandlotError]()

    async def started(info: dict[str, Any]) -> None:
        done.told = info

    def talk() -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            ours.sendall(sent)
            ours.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError), ours.makefile("rb") as file:
            done.received = file.read()

    with ours:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, talk)
            with theirs:
                try:
                    done.value = await operation(arguments, theirs, started)
                except SandlotError as error:
                    failures.append(error)
    if failures:
        raise failures[0]
    return done


async def download(operation: StreamOperation, **arguments: Any) -> Exchange:
    return await exchange(operation, b"", arguments)


async def upload(operation: StreamOperation, data: bytes, **arguments: Any) -> Any:
    return (await exchange(operation, data, arguments)).value


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def paths_of(listed: dict[str, Any]) -> list[str]:
    return [entry["path"] for entry in listed["files"]]


Content = bytes | str | None
"""Of a file, where a link leads, or nothing for a folder."""


def plant(workspace: Path) -> dict[str, Content]:
    """Fill a folder with everything there is, and say what a tar of it must hold."""
    long_name = "long" * 60
    (workspace / "b" / "deep").mkdir(parents=True)
    (workspace / "a.txt").write_bytes(b"a")
    (workspace / "b" / "big.bin").write_bytes(b"big" * 300_000)
    (workspace / "b" / "deep" / f"{long_name} é.txt").write_bytes(b"")
    (workspace / "c").symlink_to("a.txt")
    os.mkfifo(workspace / "pipe")
    return {
        "a.txt": b"a",
        "b": None,
        "b/big.bin": b"big" * 300_000,
        "b/deep": None,
        f"b/deep/{long_name} é.txt": b"",
        "c": "a.txt",
    }


@contextmanager
def very_deep(folder: Path) -> Generator[str]:
    """A path below `folder` that is deeper than Python recurses, made and taken away again."""
    names = "/".join("d" * _DEPTH)
    subprocess.run(["mkdir", "-p", names], cwd=folder, check=True)
    try:
        yield names
    finally:
        subprocess.run(["rm", "-r", "d"], cwd=folder, check=True)
