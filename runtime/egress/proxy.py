"""The controller's end of the egress proxy: starts the process, gives orders, reads events.

The listening sockets belong to the controller: connections wait in them while a process that broke
down is replaced, and a new process gets its rules before it accepts the first one.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import structlog

from runtime import clock
from runtime.boundaries import contained
from runtime.egress.certificates import new_authority
from runtime.egress.connection import ORDER_SECONDS, START_SECONDS, ProcessLost, ProxyConnection
from runtime.egress.inbox import Inbox
from runtime.egress.process import ProxyProcess
from runtime.egress.protocol import Authority, EgressEvent, Health, ProxySettings
from runtime.egress.rules import Rules
from runtime.egress.sockets import listening_socket
from runtime.errors import Conflict, Internal, NotFound, SandboxUnavailable, SandlotError
from runtime.groups import collapsed

PROCESS_UID = 61_050
"""A user id for the process where the controller may give it one: no account has it."""
_LAST_EVENTS_SECONDS = 3.0
_STOP_SECONDS = 15.0
_PAUSES = (0.0, 0.2, 1.0, 5.0)
"""Before the process is started again; the last one from then on."""
_STEADY_SECONDS = 60.0
"""A process that lasted this long broke down for the first time."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EgressSocket:
    """What a sandbox needs to use its network."""

    path: Path
    """The socket that leads to the proxy: the only way out."""
    certificate: str
    """The certificate in PEM that programs in the sandbox must trust."""


@dataclass(frozen=True, slots=True)
class _Attached:
    listening: socket.socket
    path: Path
    rules: Rules
    authority: Authority

    def remove(self) -> None:
        """Stop listening, leave nothing behind."""
        self.listening.close()
        self.path.unlink(missing_ok=True)


class EgressProxy:
    """The proxy process of a controller, and the environments that go through it."""

    def __init__(
        self,
        settings: ProxySettings,
        uid: int | None = None,
        order_seconds: float = ORDER_SECONDS,
    ) -> None:
        """`uid` is what the process runs as; None leaves it as it is started.

        A process that does not obey an order within `order_seconds` is replaced.
        """
        self._order_seconds = order_seconds
        self._settings = settings
        self._uid = uid
        self._attached: dict[str, _Attached] = {}
        self._connection: ProxyConnection | None = None
        self._process: ProxyProcess | None = None
        self._orders = anyio.Lock()
        self._inbox = Inbox()
        self._started = anyio.Event()
        self._stopped = anyio.Event()
        self._is_stopping = False
        self._problem: SandlotError | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The process runs inside, and is started again when it breaks down.

        Raises `SandboxUnavailable` when it does not come up, `Internal` for wrong settings.
        """
        with collapsed():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_running)
                try:
                    await self._until_started()
                    yield
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._stop()
                    tasks.cancel_scope.cancel()

    async def open(
        self, environment: str, path: Path, rules: Rules, guest_uid: int | None = None
    ) -> EgressSocket:
        """Listen on `path` for an environment; `guest_uid` alone may connect, None lets anybody.

        Raises `Conflict` when it is open already, `StorageFull`, `SandboxUnavailable`.
        """
        if environment in self._attached:
            raise Conflict(f"The network of environment {environment} is open already.")
        authority = new_authority(environment)
        listening = listening_socket(path, guest_uid)
        async with self._orders:
            attached = _Attached(listening, path, rules, authority)
            self._attached[environment] = attached
            try:
                if self._connection is not None:
                    await _attach(self._connection, environment, attached)
            except ProcessLost:
                # The next process is told of it when it starts.
                self._end_process()
            except BaseException:
                self._attached.pop(environment).remove()
                raise
        return EgressSocket(path, authority.certificate)

    async def replace(self, environment: str, rules: Rules) -> None:
        """New rules, in force when this returns; connections that they do not allow are closed.

        Raises `NotFound` for an environment that is not open.
        """
        async with self._orders:
            attached = self._attached.get(environment)
            if attached is None:
                raise NotFound(f"The network of environment {environment} is not open.")
            # Kept first: a process that breaks down now starts again with the new rules.
            self._attached[environment] = replace(attached, rules=rules)
            if self._connection is not None:
                try:
                    await self._connection.replace(environment, rules)
                except ProcessLost:
                    self._end_process()

    async def close(self, environment: str) -> None:
        """End all connections of an environment and remove its socket; fine when it is not open."""
        async with self._orders:
            attached = self._attached.pop(environment, None)
            if attached is None:
                return
            try:
                if self._connection is not None:
                    await self._connection.close(environment)
            except ProcessLost:
                self._end_process()
            finally:
                attached.remove()

    def events(self) -> AsyncIterator[EgressEvent]:
        """What is decided, as it happens, for one reader; ends after the proxy has stopped.

        A reader that stops reading slows the sandboxes' network down: requests wait for it.
        """
        return self._inbox.read()

    async def health(self) -> Health:
        """How the process does. Raises `SandboxUnavailable` while there is none."""
        try:
            if self._connection is not None:
                return await self._connection.health()
        except ProcessLost:
            self._end_process()
        raise SandboxUnavailable("The egress proxy is being started again.")

    @property
    def pid(self) -> int | None:
        """The process that carries traffic now; None between two."""
        return None if self._connection is None or self._process is None else self._process.pid

    async def _until_started(self) -> None:
        with anyio.move_on_after(START_SECONDS):
            await self._started.wait()
        if self._problem is not None:
            raise self._problem
        if not self._started.is_set():
            raise SandboxUnavailable(f"The egress proxy did not start in {START_SECONDS:g} s.")

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            began = clock.monotonic()
            with contained("the egress proxy cannot be started"):
                await self._run_once()
            if self._is_stopping:
                break
            if failures and not self._started.is_set():
                self._problem = SandboxUnavailable(
                    "The egress proxy does not come up; the log says more."
                )
                self._started.set()
                return
            if clock.monotonic() - began > _STEADY_SECONDS:
                failures = 0
            log.error("the egress proxy ended and is started again")
            await anyio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1
        self._stopped.set()

    async def _run_once(self) -> None:
        """One process, from its start to its end."""
        with collapsed():
            async with (
                ProxyProcess.start(self._uid, self._order_seconds) as process,
                anyio.create_task_group() as tasks,
            ):
                self._process = process
                passing = anyio.Event()
                tasks.start_soon(self._pass_events, process, passing)
                tasks.start_soon(self._introduce, process.connection)
                await process.connection.read()
                self._connection = None
                with anyio.move_on_after(_LAST_EVENTS_SECONDS):
                    await passing.wait()
                tasks.cancel_scope.cancel()

    async def _pass_events(self, process: ProxyProcess, passed: anyio.Event) -> None:
        await process.pass_events(self._inbox)
        passed.set()

    async def _introduce(self, connection: ProxyConnection) -> None:
        """Tell a new process all there is; only then it is used."""
        async with self._orders:
            try:
                await connection.configure(self._settings)
                for environment, attached in self._attached.items():
                    await _attach(connection, environment, attached)
            except ProcessLost:
                self._end_process()
                return
            except Internal as error:
                self._problem = self._problem or error
            else:
                self._connection = connection
            self._started.set()

    def _end_process(self) -> None:
        """Make sure that a process that does not obey passes nothing any more."""
        self._connection = None
        if self._process is not None:
            self._process.kill()

    async def _stop(self) -> None:
        self._is_stopping = True
        if self._process is not None:
            await self._process.finish()
        with anyio.move_on_after(_STOP_SECONDS):
            await self._stopped.wait()
        for attached in self._attached.values():
            attached.remove()
        self._attached.clear()
        await self._inbox.close()


async def _attach(connection: ProxyConnection, environment: str, attached: _Attached) -> None:
    await connection.open(
        environment, attached.rules, attached.authority, attached.listening.fileno()
    )
