"""The socket of one environment: accepts its connections. The socket says who is calling."""

from __future__ import annotations

import resource
import socket

import anyio
import structlog

from runtime.egress.caller import Caller
from runtime.egress.environment import Environment
from runtime.egress.heads import announces_body, tunnel_target
from runtime.egress.refusals import Refusal, Stopped
from runtime.egress.session import Session
from runtime.egress.tunnel import Tunnel
from runtime.egress.uplink import Uplink
from runtime.egress.wire import Wire

CLOSE_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
_DESCRIPTORS_PER_CONNECTION = 4
"""Two sockets, and a pipe for bulk."""

log = structlog.get_logger(__name__)

_ENDED = (
    Stopped,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""How a connection may end at any time."""


class Room:
    """How many connections the process takes, over all environments."""

    def __init__(self) -> None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.limit = max(16, (descriptors - 64) // _DESCRIPTORS_PER_CONNECTION)
        self.taken = 0


class EnvironmentListener:
    """Serves one environment until it is closed."""

    def __init__(
        self, environment: Environment, listening: socket.socket, uplink: Uplink, room: Room
    ) -> None:
        listening.setblocking(False)
        self.environment = environment
        self._listening = listening
        self._uplink = uplink
        self._room = room
        self._scope = anyio.CancelScope()
        self._finished = anyio.Event()

    async def serve(self) -> None:
        """Accept connections until `close`."""
        try:
            with self._scope, self._listening:
                async with anyio.create_task_group() as tasks:
                    while True:
                        accepted = await self._accept()
                        if accepted is not None:
                            tasks.start_soon(self._serve, Wire(accepted))
        finally:
            self._finished.set()

    async def close(self) -> None:
        """End all connections and stop listening; waits for their ends, but not long."""
        self._scope.cancel()
        with anyio.move_on_after(CLOSE_SECONDS):
            await self._finished.wait()

    async def _accept(self) -> socket.socket | None:
        await anyio.wait_readable(self._listening)
        try:
            return self._listening.accept()[0]
        except BlockingIOError:
            return None
        except OSError as error:
            log.warning("cannot accept a connection", error=error.strerror)
            await anyio.sleep(_PAUSE_SECONDS)
            return None

    async def _serve(self, wire: Wire) -> None:
        environment, room = self.environment, self._room
        environment.connections += 1
        room.taken += 1
        try:
            await self._guarded(wire)
        finally:
            environment.connections -= 1
            room.taken -= 1
            with anyio.CancelScope(shield=True):
                await wire.aclose()

    async def _guarded(self, wire: Wire) -> None:
        try:
            await self._talk(wire)
        except _ENDED:
            return
        except BaseExceptionGroup as group:
            if group.split(_ENDED)[1] is not None:
                log.exception("a connection failed", environment=self.environment.name)
        except Exception:
            # Whatever one connection does must not take the others down with it.
            log.exception("a connection failed", environment=self.environment.name)

    async def _talk(self, wire: Wire) -> None:
        environment = self.environment
        limits = environment.policy.rules.limits
        caller = Caller(wire, limits)
        crowded = self._crowded(limits.connections)
        if crowded is not None:
            await environment.refused(crowded, None)
            await caller.refuse(crowded, "", linger=False)
            return
        session = Session(caller, environment, self._uplink)
        request = await session.serve()
        if request is None:
            return
        try:
            if announces_body(request.headers):
                raise Refusal(400, "CONNECT has no body")
            authority = tunnel_target(request.target)
        except Refusal as refusal:
            await environment.refused(refusal, "CONNECT")
            await caller.refuse(refusal, "")
            return
        await Tunnel(caller, wire, authority, environment, self._uplink).run()

    def _crowded(self, limit: int) -> Refusal | None:
        if self.environment.connections > limit:
            return Refusal(429, f"this environment has {limit} connections open")
        if self._room.taken > self._room.limit:
            return Refusal(503, "the egress proxy has no room for more connections")
        return None
