"""One running program and the connection of the person who talks to it.

Speaks `runtime.schema.conversation`. The program ends with the connection, and the connection
gets the exit status as its last piece.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import anyio

from runtime.guest.children import Child
from runtime.schema.conversation import (
    Piece,
    PieceError,
    PieceKind,
    PieceReader,
    status_piece,
)

_READ_BYTES = 65_536
_SILENCE_SECONDS = 0.3
"""Output is waited for that long after a program ended whose children hold its streams open."""
_WATCH_SECONDS = 1.0


class HungUp(Exception):
    """The person is gone."""


class Ends(Protocol):
    """The program's side."""

    @property
    def outputs(self) -> Mapping[int, PieceKind]:
        """Non-blocking descriptors to read, and the kind of the pieces that they fill."""
        ...

    async def take(self, piece: Piece) -> None:
        """Hand a piece to the program. Raises `OSError` when it does not listen any more."""
        ...


class Line:
    """The person's side: pieces over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._reader = PieceReader()
        self._lock = anyio.Lock()

    async def send(self, piece: Piece) -> None:
        """Send one piece. Raises `HungUp`."""
        async with self._lock:
            try:
                await write_all(self._connection.fileno(), piece.encode())
            except ConnectionError as error:
                raise HungUp from error

    async def receive(self) -> list[Piece]:
        """The pieces that come next. Raises `HungUp`, also for what are no pieces."""
        try:
            data = await read_some(self._connection.fileno())
            if not data:
                raise HungUp
            return self._reader.feed(data)
        except (ConnectionError, PieceError) as error:
            raise HungUp from error

    def is_broken(self) -> bool:
        """Whether the person is gone for good, which shows also when nothing is read."""
        poll = select.poll()
        poll.register(self._connection, 0)
        return any(events & select.POLLHUP for _, events in poll.poll(0))


class Dialogue:
    """Passes pieces both ways until the program ends or the person hangs up."""

    def __init__(self, line: Line, child: Child, ends: Ends) -> None:
        self._line = line
        self._child = child
        self._ends = ends
        self._progress = 0
        self._sending = 0
        self._open = len(ends.outputs)
        self._told_all = anyio.Event()

    async def run(self) -> None:
        """Return when it is over. A person who hangs up, or cancelling, kills the program."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._child.watch)
            tasks.start_soon(self._listen, tasks.cancel_scope)
            tasks.start_soon(self._look_out, tasks.cancel_scope)
            for descriptor, kind in self._ends.outputs.items():
                tasks.start_soon(self._forward, descriptor, kind, tasks.cancel_scope)
            status = await self._child.wait()
            await self._wait_for_last_output()
            with suppress(HungUp):
                await self._line.send(status_piece(status))
            tasks.cancel_scope.cancel()

    async def _listen(self, dialogue: anyio.CancelScope) -> None:
        try:
            while True:
                for piece in await self._line.receive():
                    await self._hand_over(piece)
        except HungUp:
            dialogue.cancel()

    async def _hand_over(self, piece: Piece) -> None:
        with suppress(OSError):  # a program may close its input, and end at any time
            await self._ends.take(piece)

    async def _look_out(self, dialogue: anyio.CancelScope) -> None:
        """Notice a person who goes while a full pipe to the program keeps `_listen` waiting."""
        while not self._line.is_broken():  # noqa: ASYNC110 - nothing wakes for this alone
            await anyio.sleep(_WATCH_SECONDS)
        dialogue.cancel()

    async def _forward(self, descriptor: int, kind: PieceKind, dialogue: anyio.CancelScope) -> None:
        try:
            while data := await read_some(descriptor):
                self._sending += 1
                await self._line.send(Piece(kind, data))
                self._sending -= 1
                self._progress += 1
        except HungUp:
            dialogue.cancel()
        self._open -= 1
        if not self._open:
            self._told_all.set()

    async def _wait_for_last_output(self) -> None:
        before = -1
        while self._open and (self._sending or self._progress != before):
            before = self._progress
            with anyio.move_on_after(_SILENCE_SECONDS):
                await self._told_all.wait()


async def read_some(descriptor: int) -> bytes:
    """What can be read now, at least one byte; empty at the end. The descriptor is non-blocking."""
    while True:
        await anyio.wait_readable(descriptor)
        try:
            return os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno == errno.EIO:  # how a terminal ends whose program is gone
                return b""
            raise


async def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, waiting as long as it takes."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            await anyio.wait_writable(descriptor)
