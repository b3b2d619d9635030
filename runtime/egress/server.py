"""The proxy process: obeys the controller's orders, serves the environments' sockets."""

from __future__ import annotations

import resource
import socket
from pathlib import Path
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup
from pydantic import ValidationError

from runtime.egress.certificates import Issuer
from runtime.egress.channel import Channel
from runtime.egress.environment import Environment
from runtime.egress.ledger import Ledger
from runtime.egress.listener import EnvironmentListener, Room
from runtime.egress.lookups import Lookups, Places
from runtime.egress.protocol import (
    ORDERS,
    Close,
    Configure,
    Done,
    Events,
    Health,
    Open,
    Order,
    Ping,
    Replace,
)
from runtime.egress.uplink import Uplink
from runtime.errors import InvalidRequest
from runtime.groups import collapsed
from runtime.outbound.door import Resolve
from runtime.schema.framing import FrameError

SWEEP_SECONDS = 1.0
LAST_EVENTS_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Server:
    """All environments of one proxy process."""

    def __init__(self, orders: Channel, events: Channel, resolve: Resolve) -> None:
        self._orders = orders
        self._events = events
        self._resolve = resolve
        self._ledger = Ledger()
        self._room = Room()
        self._places = Places()
        self._uplink: Uplink | None = None
        self._listeners: dict[str, EnvironmentListener] = {}
        self._tasks: TaskGroup

    async def run(self) -> None:
        """Until the controller closes its end."""
        with collapsed():
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._tell)
                tasks.start_soon(self._sweep)
                await self._obey()
                await self._finish()
                tasks.cancel_scope.cancel()

    async def _obey(self) -> None:
        while True:
            try:
                message = await self._orders.receive()
            except (anyio.IncompleteRead, anyio.BrokenResourceError):
                return
            done = await self._done(message)
            try:
                await self._orders.send(done.model_dump(mode="json"))
            except (anyio.BrokenResourceError, FrameError):
                return

    async def _finish(self) -> None:
        """End all connections and tell their last events."""
        async with anyio.create_task_group() as tasks:
            for listener in self._listeners.values():
                tasks.start_soon(listener.close)
        with anyio.move_on_after(LAST_EVENTS_SECONDS):
            await self._ledger.until_empty()

    async def _done(self, message: dict[str, Any]) -> Done:
        number = int(message.get("id", 0))
        listening: socket.socket | None = None
        try:
            if message.get("type") == "open":
                # Taken whatever becomes of the order: the next one must not get this socket.
                listening = socket.socket(fileno=self._orders.descriptor())
            return await self._carry_out(ORDERS.validate_python(message), listening)
        except ValidationError as error:
            # The default message would repeat the input, secrets included.
            places = [".".join(map(str, one["loc"])) for one in error.errors(include_url=False)]
            problem = f"malformed: {', '.join(places)}"
        except (InvalidRequest, ValueError, LookupError, OSError) as error:
            problem = str(error)
        if listening is not None:
            listening.close()
        return Done(id=number, error=problem)

    async def _carry_out(self, order: Order, listening: socket.socket | None) -> Done:
        match order:
            case Configure():
                self._uplink = Uplink(order.settings)
            case Open() if listening is not None:
                self._open(order, listening)
            case Open():
                raise LookupError("a listening socket is missing")
            case Replace():
                self._listener(order.environment).environment.replace(order.rules)
            case Close():
                await self._listeners.pop(order.environment).close()
            case Ping():
                return Done(id=order.id, health=self._health())
        return Done(id=order.id)

    def _open(self, order: Open, listening: socket.socket) -> None:
        if order.environment in self._listeners:
            raise LookupError(f"environment {order.environment} is open already")
        environment = Environment(
            order.environment,
            order.rules,
            Issuer(order.authority),
            Lookups(self._resolve, self._tasks, self._places),
            self._ledger,
        )
        listener = EnvironmentListener(environment, listening, self._configured(), self._room)
        self._listeners[order.environment] = listener
        self._tasks.start_soon(listener.serve)

    def _configured(self) -> Uplink:
        if self._uplink is None:
            raise LookupError("the proxy is not configured yet")
        return self._uplink

    def _listener(self, name: str) -> EnvironmentListener:
        found = self._listeners.get(name)
        if found is None:
            raise LookupError(f"environment {name} is not open")
        return found

    async def _tell(self) -> None:
        while True:
            events = Events(events=tuple(await self._ledger.take()))
            try:
                await self._events.send(events.model_dump(mode="json"))
            except anyio.BrokenResourceError:
                return
            finally:
                await self._ledger.told()

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(SWEEP_SECONDS)
            for listener in self._listeners.values():
                listener.environment.sweep()

    def _health(self) -> Health:
        return Health(
            environments=len(self._listeners),
            connections=self._room.taken,
            memory_bytes=_resident_bytes(),
            events_lost=self._ledger.lost,
        )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
