from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.errors import InvalidRequest, ToolFault
from runtime.guest.children import all_processes
from runtime.guest.dialogue import read_some, write_all
from runtime.guest.paths import Paths
from runtime.guest.service import StreamOperation
from runtime.guest.terminal import Terminals
from runtime.schema.conversation import Piece, PieceKind, PieceReader, size_piece

pytestmark = pytest.mark.anyio


class Person:
    """The other end of a conversation."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.output, self.errors, self.status = b"", b"", None
        self._reader = PieceReader()

    async def say(self, *pieces: Piece) -> None:
        await write_all(self.connection.fileno(), b"".join(piece.encode() for piece in pieces))

    async def type(self, text: str) -> None:
        await self.say(Piece(PieceKind.INPUT, text.encode()))

    async def wait_for(self, text: bytes) -> None:
        while text not in self.output:
            assert await self._listen(), f"it ended with {self.output!r}"

    async def wait_for_end(self) -> int:
        while await self._listen():
            continue
        assert self.status is not None
        return self.status

    async def _listen(self) -> bool:
        data = await read_some(self.connection.fileno())
        for piece in self._reader.feed(data):
            match piece.kind:
                case PieceKind.OUTPUT:
                    self.output += piece.data
                case PieceKind.ERRORS:
                    self.errors += piece.data
                case PieceKind.STATUS:
                    self.status = int(piece.data)
                case _:
                    raise AssertionError(f"nobody should be told {piece}")
        return bool(data)


@asynccontextmanager
async def conversation(operation: StreamOperation, **arguments: Any) -> AsyncGenerator[Person]:
    """A person in conversation with what the operation starts; it must end in time."""
    ours, theirs = socket.socketpair()

    async def started(info: dict[str, Any]) -> None:
        assert info == {}

    async def run() -> None:
        with theirs:
            await operation(arguments, theirs, started)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            with ours:
                yield Person(ours)


@pytest.fixture
def terminals(tmp_path: Path) -> Terminals:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PS1": "$ "}
    return Terminals(Paths(tmp_path, tmp_path), variables)


async def gone(pid: int) -> None:
    with anyio.fail_after(30):
        while any(  # noqa: ASYNC110 - it is nobody's child
            entry.pid == pid and not entry.is_zombie for entry in all_processes()
        ):
            await anyio.sleep(0.01)


# Commands


async def test_a_command_has_three_streams(terminals: Terminals) -> None:
    script = "cat; echo problem >&2; echo $COLOUR; pwd; exit 7"
    terminals.set_variables({"COLOUR": "red"})
    async with conversation(terminals.execute, argv=["sh", "-c", script]) as person:
        await person.type("input\n")
        await person.say(Piece(PieceKind.END))
        assert await person.wait_for_end() == 7
    assert person.output.startswith(b"input\nred\n")
    assert person.errors == b"problem\n"


async def test_a_command_runs_where_it_is_told_to(terminals: Terminals, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for cwd in ("d", "/workspace/d", str(tmp_path / "d")):
        async with conversation(terminals.execute, argv=["pwd"], cwd=cwd) as person:
            assert await person.wait_for_end() == 0
        assert person.output == f"{tmp_path}/d\n".encode()


@pytest.mark.parametrize(
    ("argv", "status", "errors"),
    [
        (["no-such-program"], 127, b"no-such-program: No such file or directory\n"),
        (["/etc/passwd"], 126, b"/etc/passwd: Permission denied\n"),
        (["sh", "-c", "kill -9 $$"], 137, b""),
    ],
)
async def test_commands_that_fail(
    terminals: Terminals, argv: list[str], status: int, errors: bytes
) -> None:
    async with conversation(terminals.execute, argv=argv) as person:
        assert await person.wait_for_end() == status
    assert person.errors == errors


async def test_much_goes_both_ways(terminals: Terminals) -> None:
    data = os.urandom(3_000_000)
    async with conversation(terminals.execute, argv=["cat"]) as person:

        async def send() -> None:
            for at in range(0, len(data), 100_000):
                await person.say(Piece(PieceKind.INPUT, data[at : at + 100_000]))
            await person.say(Piece(PieceKind.END))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            assert await person.wait_for_end() == 0
    assert person.output == data


async def test_input_that_is_not_read_does_no_harm(terminals: Terminals) -> None:
    async with conversation(terminals.execute, argv=["true"]) as person:
        await person.type("x" * 100_000)
        assert await person.wait_for_end() == 0


async def test_a_job_left_behind_does_not_hold_up_the_end(terminals: Terminals) -> None:
    script = "sleep 1000 & echo $!"
    async with conversation(terminals.execute, argv=["sh", "-c", script]) as person:
        assert await person.wait_for_end() == 0
    os.kill(int(person.output), 9)


@pytest.mark.parametrize("script", ["echo $$; sleep 1000", "echo $$; sleep 1000 & wait"])
async def test_hanging_up_kills_the_command(terminals: Terminals, script: str) -> None:
    async with conversation(terminals.execute, argv=["sh", "-c", script]) as person:
        await person.wait_for(b"\n")
    await gone(int(person.output))


async def test_hanging_up_is_noticed_while_input_waits(terminals: Terminals) -> None:
    async with conversation(terminals.execute, argv=["sh", "-c", "echo $$; sleep 1000"]) as person:
        await person.wait_for(b"\n")
        with anyio.move_on_after(0.2):
            await person.type("x" * 1_000_000)
    await gone(int(person.output))


async def test_nonsense_ends_the_command(terminals: Terminals) -> None:
    async with conversation(terminals.execute, argv=["sh", "-c", "echo $$; cat"]) as person:
        await person.wait_for(b"\n")
        await write_all(person.connection.fileno(), b"GET / HTTP/1.1\r\n")
        await gone(int(person.output))


@pytest.mark.parametrize("argv", [None, [], "ls", [1], ["a\0b"]])
async def test_what_is_no_command(terminals: Terminals, argv: Any) -> None:
    async def started(info: dict[str, Any]) -> None:
        raise AssertionError("it must not start")

    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(InvalidRequest, match="argv"):
        await terminals.execute({"argv": argv}, theirs, started)
    with ours, theirs, pytest.raises(ToolFault, match="does not exist"):
        await terminals.execute({"argv": ["ls"], "cwd": "none"}, theirs, started)


# Terminals


async def test_a_shell_in_a_terminal(terminals: Terminals) -> None:
    async with conversation(terminals.terminal, rows=30, cols=90) as person:
        await person.type("tty; stty size; echo $TERM; read x </dev/tty\n")
        await person.wait_for(b"30 90\r\nxterm-256color\r\n")
        await person.type("answer\n")
        await person.say(size_piece(40, 120))
        await person.type("stty size; echo got $x\n")
        await person.wait_for(b"40 120\r\ngot answer\r\n")
        await person.type("exit 5\n")
        assert await person.wait_for_end() == 5
    assert b"/dev/pts/" in person.output
    assert b"no job control" not in person.output


async def test_keys_interrupt_what_runs(terminals: Terminals) -> None:
    async with conversation(terminals.terminal) as person:
        await person.type("sh -c 'echo $((40+2)); exec sleep 1000'\n")
        await person.wait_for(b"42\r\n")
        await person.type("\x03")
        await person.wait_for(b"^C\r\n\x1b[?2004h")  # bash reads keys again
        await person.type("echo status $?; exit 3\n")
        await person.wait_for(b"status 130\r\n")
        assert await person.wait_for_end() == 3


async def test_the_end_of_input_ends_a_terminal(terminals: Terminals) -> None:
    async with conversation(terminals.terminal, argv=["cat"]) as person:
        await person.type("line\n")
        await person.wait_for(b"line\r\nline\r\n")
        await person.say(Piece(PieceKind.END))
        assert await person.wait_for_end() == 0


async def test_another_program_in_a_terminal(terminals: Terminals) -> None:
    async with conversation(
        terminals.terminal, argv=["sh", "-c", "test -t 0 && echo yes"]
    ) as person:
        await person.say(size_piece(-1, 99_999_999), Piece(PieceKind.SIZE, b"nonsense"))
        assert await person.wait_for_end() == 0
    assert person.output == b"yes\r\n"


async def test_hanging_up_ends_the_terminal(terminals: Terminals) -> None:
    async with conversation(terminals.terminal) as person:
        await person.type("sleep 1000 & echo pid $! end; sleep 1000\n")
        await person.wait_for(b" end\r\n")
    pid = int(person.output.rpartition(b"pid ")[2].split()[0])
    await gone(pid)
