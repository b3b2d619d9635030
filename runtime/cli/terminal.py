"""`sandlot shell` and `sandlot exec`: a terminal, or one command, in a live sandbox."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Generator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import typer
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from runtime.cli.connection import controller
from runtime.cli.exits import Misuse
from runtime.cli.sockets import environment_socket, exit_status_of, went_away
from runtime.cli.standard_input import pieces
from runtime.client import ControllerUnreachable
from runtime.client.discovery import Endpoint
from runtime.errors import SandlotError

_END_OF_INPUT = b"\x04"
_STDOUT, _STDERR = 1, 2


@dataclass(slots=True)
class _Session:
    """One connection and how it ended."""

    socket: ClientConnection
    status: int | None = None
    problem: SandlotError | None = None

    def exit_status(self) -> int:
        if self.problem is not None:
            raise self.problem
        if self.status is None:
            raise ControllerUnreachable("the sandbox went away before the command ended")
        return self.status

    async def send(self, message: str | bytes) -> None:
        """Send, unless the other side has ended."""
        with suppress(ConnectionClosed):
            await self.socket.send(message)

    async def receive(self, write: Callable[[bytes], None]) -> None:
        """Pass binary frames to `write` until the exit status comes."""
        try:
            async for message in self.socket:
                if isinstance(message, bytes):
                    write(message)
                else:
                    self.status = exit_status_of(message)
                if self.status is not None:
                    return
        except ConnectionClosed as closed:
            self.problem = went_away(closed)
        except SandlotError as fault:
            self.problem = fault


def _announce(text: str) -> None:
    typer.echo(text, err=True)


def shell(state_dir: Path | None, environment: str) -> int:
    """A terminal in the environment's sandbox; returns the shell's exit status."""
    with controller(state_dir, _announce) as endpoint:
        return anyio.run(_shell, endpoint, environment)


def execute(state_dir: Path | None, environment: str, argv: list[str], cwd: str | None) -> int:
    """One command in the environment's sandbox; returns its exit status."""
    argv = _command_of(argv)
    with controller(state_dir, _announce) as endpoint:
        return anyio.run(_execute, endpoint, environment, argv, cwd)


def _command_of(argv: list[str]) -> list[str]:
    """What comes after the environment, without the `--` that may stand before it."""
    if argv == ["--"]:
        raise Misuse("say what to run: sandlot exec ENV -- CMD")
    if argv[0] == "--":
        return argv[1:]
    if argv[0].startswith("-"):
        raise Misuse(
            f"{argv[0]} stands after the environment, where the command begins: options of "
            f"sandlot come before it (sandlot exec {argv[0]} … ENV -- CMD)"
        )
    return argv


async def _shell(endpoint: Endpoint, environment: str) -> int:
    rows, columns = _size()
    query = {"rows": rows, "cols": columns, "term": os.environ.get("TERM", "")}
    async with environment_socket(endpoint, environment, "terminal", query) as socket:
        session = _Session(socket)
        with _raw(sys.stdin.fileno()):
            async with anyio.create_task_group() as group:
                group.start_soon(_send_keys, session)
                group.start_soon(_send_sizes, session)
                await session.receive(partial(_write, _STDOUT))
                group.cancel_scope.cancel()
    return session.exit_status()


async def _execute(endpoint: Endpoint, environment: str, argv: list[str], cwd: str | None) -> int:
    async with environment_socket(endpoint, environment, "exec") as socket:
        session = _Session(socket)
        await session.send(json.dumps({"argv": argv, "cwd": cwd}))
        async with anyio.create_task_group() as group:
            group.start_soon(_send_input, session)
            await session.receive(_write_tagged)
            group.cancel_scope.cancel()
    return session.exit_status()


async def _send_keys(session: _Session) -> None:
    async with aclosing(pieces(sys.stdin.fileno())) as keys:
        async for piece in keys:
            await session.send(piece)
    await session.send(_END_OF_INPUT)


async def _send_input(session: _Session) -> None:
    async with aclosing(pieces(sys.stdin.fileno())) as found:
        async for piece in found:
            await session.send(piece)
    await session.send(json.dumps({"eof": True}))


async def _send_sizes(session: _Session) -> None:
    with anyio.open_signal_receiver(signal.SIGWINCH) as signals:
        async for _ in signals:
            await session.send(json.dumps({"resize": _size()}))


def _size() -> tuple[int, int]:
    columns, rows = shutil.get_terminal_size()
    return rows, columns


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _write_tagged(message: bytes) -> None:
    """A frame of `exec`: its first byte says which stream the rest belongs to."""
    _write(_STDERR if message[:1] == b"\x02" else _STDOUT, message[1:])


@contextmanager
def _raw(descriptor: int) -> Generator[None]:
    """The terminal in raw mode for the block; nothing where there is no terminal."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        # What was typed meanwhile is kept.
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
