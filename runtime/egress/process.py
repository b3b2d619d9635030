"""One proxy process, from its start to its end."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from subprocess import DEVNULL

import anyio
from anyio.abc import Process
from pydantic import ValidationError

from runtime.egress.channel import Channel
from runtime.egress.connection import ProxyConnection
from runtime.egress.inbox import Inbox
from runtime.egress.protocol import MAX_ORDER_BYTES, Events
from runtime.interpreter import module_command
from runtime.schema.framing import FrameError

END_SECONDS = 5.0
"""How long a process may take for its last events before it is killed."""
_PASSED_ON = frozenset(
    {"PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "LOCALDOMAIN", "RES_OPTIONS"}
)
"""The controller's environment holds keys; the process gets only these of its variables."""


class ProxyProcess:
    """A process that runs; orders go through `connection`."""

    def __init__(self, process: Process, orders: Channel, events: Channel, seconds: float) -> None:
        """`seconds` is how long an order may take."""
        self.connection = ProxyConnection(orders, seconds)
        self._process = process
        self._orders = orders
        self._events = events

    @classmethod
    @asynccontextmanager
    async def start(cls, uid: int | None, seconds: float) -> AsyncGenerator[ProxyProcess]:
        """A new process; ended at the end. Raises `OSError` when it cannot be started."""
        with _pair() as (ours, theirs), _pair() as (events, their_events):
            process = await _spawned(theirs, their_events, uid)
            theirs.close()
            their_events.close()
            orders = await Channel.of(ours, MAX_ORDER_BYTES)
            inbound = await Channel.of(events, MAX_ORDER_BYTES)
            proxy = cls(process, orders, inbound, seconds)
            try:
                yield proxy
            finally:
                with anyio.CancelScope(shield=True):
                    await proxy._end()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def pass_events(self, inbox: Inbox) -> None:
        """Put the events of the process into `inbox` until it ends."""
        try:
            while True:
                batch = Events.model_validate(await self._events.receive())
                for event in batch.events:
                    await inbox.put(event)
        except (anyio.IncompleteRead, anyio.BrokenResourceError, FrameError, ValidationError):
            return

    async def finish(self) -> None:
        """Ask it to end all connections, tell their events, and exit."""
        await self._orders.finish()

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def _end(self) -> None:
        await self._orders.aclose()
        with anyio.move_on_after(END_SECONDS):
            await self._process.wait()
        self.kill()
        await self._process.wait()
        await self._events.aclose()
        await self._process.aclose()


@contextmanager
def _pair() -> Generator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


async def _spawned(orders: socket.socket, events: socket.socket, uid: int | None) -> Process:
    ends = ("--orders", str(orders.fileno()), "--events", str(events.fileno()))
    command = module_command("runtime.egress", *ends)
    if uid is not None:
        command += ["--uid", str(uid)]
    return await anyio.open_process(
        command,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=None,
        pass_fds=(orders.fileno(), events.fileno()),
        env={name: value for name, value in os.environ.items() if name in _PASSED_ON},
        start_new_session=True,
    )
