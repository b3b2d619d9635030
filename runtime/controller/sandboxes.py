"""The live sandboxes: at most one per environment, at most so many at once, none for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from weakref import WeakValueDictionary

import anyio
import structlog
from anyio.abc import TaskGroup

from runtime import clock
from runtime.controller.allowances import within
from runtime.controller.places import Free, Places, Share, Taken
from runtime.controller.plan import EnvironmentPlan
from runtime.controller.provision import provision
from runtime.controller.repositories import clone_all
from runtime.errors import SandboxFault, SandboxLost, SandboxOutOfMemory, SandboxUnavailable
from runtime.gateway.listener import SandboxListener
from runtime.gateway.session import GuestSession
from runtime.groups import collapsed
from runtime.ids import new_id
from runtime.sandboxes.port import SandboxProvider, SandboxSpec
from runtime.schema.protocol import EGRESS_SOCKET, Bind, GuestNetwork
from runtime.schema.settings import SandboxSettings

REAP_SECONDS = 5.0
RECONNECT_SECONDS = 10.0
WATCH_SECONDS = 0.3
"""How often a sandbox that is waited for is looked at."""

log = structlog.get_logger(__name__)
Image = Callable[[], Awaitable[str]]
"""Gives the name of the sandbox image. Raises `SandboxUnavailable` when there is none."""


class SandboxNetworks(Protocol):
    """Where sandboxes get their networks from."""

    async def attach(
        self, environment_id: str, sandbox_id: str, path: Path, uid: int
    ) -> GuestNetwork | None:
        """Open the network of a new sandbox on the socket `path`; None where it has none."""
        ...

    async def detach(self, environment_id: str, sandbox_id: str) -> None:
        """End all connections of a sandbox; fine when it has no network."""
        ...

    async def renew(self, environment_id: str) -> bool:
        """Put new rules in force; False where that needs a new sandbox."""
        ...


@dataclass(eq=False, frozen=True, slots=True)
class _Ticket:
    """One who waits for a place."""

    project_id: str


def _no_share(_project_id: str) -> int | None:
    return None


@dataclass(slots=True)
class LiveSandbox:
    """One running sandbox and its guest."""

    sandbox_id: str
    environment_id: str
    project_id: str
    listener: SandboxListener
    scope: anyio.CancelScope
    provider: SandboxProvider
    settings: SandboxSettings
    """With the limits of its environment."""
    users: int = 0
    is_stale: bool = False
    """Whether its environment has a network now and it was begun without."""
    last_used: float = field(default_factory=clock.monotonic)

    async def session(self, within_seconds: float | None = RECONNECT_SECONDS) -> GuestSession:
        """The guest, connected or soon to be. Raises `SandboxLost`, at once when it has ended."""
        with anyio.move_on_after(within_seconds), collapsed():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, tasks)
                session = await self.listener.session()
                tasks.cancel_scope.cancel()
                return session
        raise SandboxLost("The sandbox has ended, or does not connect.")

    async def _watch(self, tasks: TaskGroup) -> None:
        while True:
            await anyio.sleep(WATCH_SECONDS)
            state = await self.provider.state(self.sandbox_id)
            if state is None or not state.running:
                tasks.cancel_scope.cancel()


class Sandboxes:
    """Claims sandboxes for environments. `open` must have been entered."""

    def __init__(
        self,
        provider: SandboxProvider,
        settings: SandboxSettings,
        sockets: Path,
        image: Image,
        networks: SandboxNetworks,
        share: Share = _no_share,
    ) -> None:
        """`share` is how many sandboxes of a project may live at once."""
        self._share = share
        self._provider = provider
        self._networks = networks
        self._settings = settings
        self._sockets = sockets
        self._image = image
        self._live: dict[str, LiveSandbox] = {}
        self._starting: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._changed = anyio.Condition()
        self._waiting: list[_Ticket] = []
        self._reserved: list[str] = []
        """The projects of sandboxes that are about to live."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Remove what an earlier controller left behind, then serve; at the end remove all."""
        await self._remove_leftovers()
        async with anyio.create_task_group() as tasks:
            self._tasks: TaskGroup = tasks
            tasks.start_soon(self._reap)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    for environment_id in list(self._live):
                        await self.discard(environment_id)
                tasks.cancel_scope.cancel()

    def live(self) -> dict[str, LiveSandbox]:
        """The live sandboxes by environment."""
        return dict(self._live)

    @asynccontextmanager
    async def use(self, plan: EnvironmentPlan) -> AsyncGenerator[LiveSandbox]:
        """The sandbox of an environment, started where none lives; kept while in use.

        A new environment gets first what it begins with; where that fails it must be deleted.
        Raises `SandboxUnavailable`, `SandboxLost`, `StorageFull`, `ProtocolMismatch`,
        `SourceFailed`.
        """
        sandbox = await self._claim(plan)
        try:
            yield sandbox
        finally:
            sandbox.users -= 1
            sandbox.last_used = clock.monotonic()
            await self._tell()

    async def discard(self, environment_id: str) -> None:
        """Kill and remove the sandbox of an environment, if there is one; its files stay."""
        sandbox = self._live.pop(environment_id, None)
        if sandbox is None:
            return
        sandbox.scope.cancel()
        try:
            await self._provider.remove(sandbox.sandbox_id)
        except SandboxFault as error:
            log.warning("sandbox not removed", sandbox=sandbox.sandbox_id, error=error.message)
        await self._networks.detach(environment_id, sandbox.sandbox_id)
        sandbox.listener.remove()
        async with self._changed:
            self._changed.notify_all()

    async def renew_network(self, environment_id: str) -> None:
        """Put the environment's new rules in force, for connections that stand as well.

        A sandbox that was begun without a network gets one with its next start, once idle.
        """
        if not await self._networks.renew(environment_id):
            sandbox = self._live.get(environment_id)
            if sandbox is not None:
                sandbox.is_stale = True

    async def delete(self, environment_id: str) -> None:
        """Discard the sandbox and delete the workspace."""
        await self.discard(environment_id)
        await self._provider.delete_workspace(environment_id)

    async def why_lost(self, sandbox: LiveSandbox) -> SandboxFault:
        """The error for a sandbox whose guest went away; logs what it printed last."""
        try:
            state = await self._provider.state(sandbox.sandbox_id)
            tail = await self._provider.log_tail(sandbox.sandbox_id)
        except SandboxFault as error:
            return error
        log.warning("sandbox lost", sandbox=sandbox.sandbox_id, state=str(state), log=tail)
        if state is not None and state.out_of_memory:
            limit = sandbox.settings.memory_bytes // 1024**2
            return SandboxOutOfMemory(f"The sandbox used up its memory ({limit} MiB).")
        return SandboxLost("The sandbox went away in the middle of a run. Its files are kept.")

    async def _claim(self, plan: EnvironmentPlan) -> LiveSandbox:
        lock = self._starting.setdefault(plan.environment_id, anyio.Lock())
        async with lock:
            sandbox = self._live.get(plan.environment_id)
            if sandbox is not None and sandbox.is_stale and sandbox.users == 0:
                await self.discard(plan.environment_id)
                sandbox = None
            if sandbox is None:
                sandbox = await self._start_with_capacity(plan)
            sandbox.users += 1
            try:
                if plan.is_new and plan.has_contents:
                    await self._fill(sandbox, plan)
            except BaseException:
                sandbox.users -= 1
                await self._tell()
                raise
            return sandbox

    async def _fill(self, sandbox: LiveSandbox, plan: EnvironmentPlan) -> None:
        """Give a new environment what it begins with: repositories, then files over them."""
        seconds = self._settings.start_timeout_seconds
        try:
            session = await sandbox.session()
            await clone_all(session, plan.environment_id, plan.repositories, self._settings)
            with anyio.fail_after(seconds):
                await provision(session, plan)
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"The files of the environment were not written within {seconds:g} s."
            ) from error
        except SandboxLost as error:
            reason = await self.why_lost(sandbox)
            if isinstance(reason, SandboxOutOfMemory):
                raise reason from error
            raise SandboxLost("The sandbox went away while it was set up.") from error

    async def _start_with_capacity(self, plan: EnvironmentPlan) -> LiveSandbox:
        await self._reserve(plan.project_id)
        try:
            sandbox = await self._start(plan)
            self._live[plan.environment_id] = sandbox
            return sandbox
        finally:
            self._reserved.remove(plan.project_id)
            if plan.environment_id not in self._live:
                await self._tell()

    async def _reserve(self, project_id: str) -> None:
        """Wait for a place, which may be that of a sandbox that idles."""
        ticket = _Ticket(project_id)
        self._waiting.append(ticket)
        try:
            while (step := await self._next_step(ticket)) != "take":
                await self.discard(step.environment_id)
        finally:
            self._waiting.remove(ticket)
            await self._tell()

    async def _next_step(self, ticket: _Ticket) -> Free | Literal["take"]:
        # Looked at with the lock held: whoever changes something tells it with the lock.
        async with self._changed:
            while (step := self._places().step(self._waiting.index(ticket))) == "wait":
                await self._changed.wait()
            if step == "take":
                self._reserved.append(ticket.project_id)
            return step

    def _places(self) -> Places:
        live = [
            Taken(one.environment_id, one.project_id, None if one.users else one.last_used)
            for one in self._live.values()
        ]
        waiting = [one.project_id for one in self._waiting]
        return Places(self._settings.max_running, live, self._reserved, waiting, self._share)

    async def _tell(self) -> None:
        """Let those look again who wait for a place."""
        with anyio.CancelScope(shield=True):
            async with self._changed:
                self._changed.notify_all()

    async def _start(self, plan: EnvironmentPlan) -> LiveSandbox:
        sandbox_id = new_id("sbx")
        listener = SandboxListener(self._sockets / sandbox_id[-16:])
        scope = anyio.CancelScope()
        await listener.bind(self._provider.guest_uid)
        self._tasks.start_soon(self._serve, listener, scope)
        settings = within(self._settings, plan.limits)
        sandbox = LiveSandbox(
            sandbox_id,
            plan.environment_id,
            plan.project_id,
            listener,
            scope,
            self._provider,
            settings,
        )
        spec = SandboxSpec(
            sandbox_id=sandbox_id,
            environment_id=plan.environment_id,
            image=await self._image(),
            socket_directory=listener.directory,
            settings=sandbox.settings,
        )
        try:
            network = await self._attach(sandbox)
            await self._provider.start(spec)
            await self._bind(sandbox, plan, network)
        except BaseException:
            with anyio.CancelScope(shield=True):
                scope.cancel()
                await self._remove_quietly(sandbox_id)
                await self._networks.detach(plan.environment_id, sandbox_id)
                listener.remove()
            raise
        return sandbox

    async def _attach(self, sandbox: LiveSandbox) -> GuestNetwork | None:
        path = sandbox.listener.directory / EGRESS_SOCKET
        return await self._networks.attach(
            sandbox.environment_id, sandbox.sandbox_id, path, self._provider.relay_uid
        )

    async def _serve(self, listener: SandboxListener, scope: anyio.CancelScope) -> None:
        with scope:
            await listener.serve()

    async def _bind(
        self, sandbox: LiveSandbox, plan: EnvironmentPlan, network: GuestNetwork | None
    ) -> None:
        seconds = self._settings.start_timeout_seconds
        try:
            with anyio.fail_after(seconds):
                session = await self._first_session(sandbox)
                await session.send(
                    Bind(
                        environment_id=plan.environment_id,
                        variables=plan.variables,
                        network=network,
                    )
                )
                await session.wait_bound()
        except TimeoutError as error:
            tail = await self._provider.log_tail(sandbox.sandbox_id)
            log.error("sandbox did not start", sandbox=sandbox.sandbox_id, log=tail)
            raise SandboxUnavailable(f"The sandbox was not ready within {seconds:g} s.") from error

    async def _first_session(self, sandbox: LiveSandbox) -> GuestSession:
        try:
            return await sandbox.session(None)
        except SandboxLost as error:
            raise await self.why_lost(sandbox) from error

    async def _reap(self) -> None:
        while True:
            await anyio.sleep(REAP_SECONDS)
            for sandbox in list(self._live.values()):
                idle = clock.monotonic() - sandbox.last_used
                if sandbox.users == 0 and idle > self._settings.idle_seconds:
                    await self.discard(sandbox.environment_id)

    async def _remove_leftovers(self) -> None:
        try:
            for state in await self._provider.list():
                await self._remove_quietly(state.sandbox_id)
        except SandboxFault as error:
            log.warning("sandboxes of an earlier run not removed", error=error.message)

    async def _remove_quietly(self, sandbox_id: str) -> None:
        try:
            await self._provider.remove(sandbox_id)
        except SandboxFault as error:
            log.warning("sandbox not removed", sandbox=sandbox_id, error=error.message)
