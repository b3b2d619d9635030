"""The live sandboxes: at most one per environment, at most so many at once, none for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from weakref import WeakValueDictionary

import anyio
import structlog
from anyio.abc import TaskGroup

from runtime import clock
from runtime.boundaries import contained
from runtime.controller.allowances import within
from runtime.controller.live_sandbox import LiveSandbox
from runtime.controller.places import Free, Places, Share, Taken
from runtime.controller.plan import EnvironmentPlan
from runtime.controller.provision import provision
from runtime.controller.repositories import clone_all
from runtime.controller.set_ups import SetUps
from runtime.controller.strays import Strays
from runtime.errors import (
    NotFound,
    SandboxLost,
    SandboxOutOfMemory,
    SandboxUnavailable,
)
from runtime.gateway.listener import SandboxListener
from runtime.gateway.session import GuestSession
from runtime.ids import new_id
from runtime.sandboxes.port import SandboxProvider, SandboxSpec
from runtime.schema.protocol import EGRESS_SOCKET, Bind, GuestNetwork
from runtime.schema.settings import SandboxSettings

REAP_SECONDS = 5.0

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
        set_ups: SetUps | None = None,
    ) -> None:
        """`share` is how many sandboxes of a project may live at once."""
        self._share = share
        self._set_ups = set_ups
        self._strays = Strays(provider)
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
        with contained("sandboxes of an earlier run not removed"):
            await self._strays.sweep()
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

    async def discard(self, environment_id: str, only: LiveSandbox | None = None) -> None:
        """Kill and remove the sandbox of an environment, if there is one; its files stay.

        With `only`, if it is that one: another may have taken its place meanwhile.
        """
        sandbox = self._live.get(environment_id)
        if sandbox is None or only not in (None, sandbox):
            return
        del self._live[environment_id]
        # It is in no list any more: nobody else would do what is left undone here.
        with anyio.CancelScope(shield=True):
            await self._end(sandbox)
            await self._tell()

    async def _end(self, sandbox: LiveSandbox) -> None:
        sandbox.scope.cancel()
        await self._strays.remove(sandbox.sandbox_id)
        with contained("network not closed", sandbox=sandbox.sandbox_id):
            await self._networks.detach(sandbox.environment_id, sandbox.sandbox_id)
        sandbox.listener.remove()

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

    async def workspaces(self) -> list[str]:
        """The environments that kept something."""
        return await self._provider.workspaces()

    async def _claim(self, plan: EnvironmentPlan) -> LiveSandbox:
        lock = self._starting.setdefault(plan.environment_id, anyio.Lock())
        async with lock:
            sandbox = await self._living(plan.environment_id)
            is_started = sandbox is None
            if sandbox is None:
                sandbox = await self._start_with_place(plan)
            # In use from here on: one that idles may have to make room for others.
            sandbox.users += 1
            try:
                await self._make_ready(sandbox, plan, is_started=is_started)
            except BaseException:
                sandbox.users -= 1
                await self._tell()
                raise
            return sandbox

    async def _living(self, environment_id: str) -> LiveSandbox | None:
        """The sandbox of an environment, unless it is of no use; then it is discarded."""
        sandbox = self._live.get(environment_id)
        if sandbox is None or sandbox.users:
            return sandbox
        if sandbox.is_stale or await sandbox.has_ended():
            await self.discard(environment_id, sandbox)
        return self._live.get(environment_id)

    async def _make_ready(
        self, sandbox: LiveSandbox, plan: EnvironmentPlan, *, is_started: bool
    ) -> None:
        if is_started and self._set_ups is not None:
            try:
                await self._set_ups.check(plan)
            except NotFound:
                # It was deleted by somebody who did not see yet that a sandbox was started.
                with anyio.CancelScope(shield=True):
                    await self.delete(plan.environment_id)
                raise
        if plan.is_new and plan.has_contents:
            await self._fill(sandbox, plan)

    async def _fill(self, sandbox: LiveSandbox, plan: EnvironmentPlan) -> None:
        """Give a new environment what it begins with: repositories, then files over them."""
        seconds = self._settings.start_timeout_seconds
        try:
            session = await sandbox.session()
            await clone_all(session, plan.environment_id, plan.repositories, self._settings)
            with anyio.fail_after(seconds):
                await provision(session, plan)
            if self._set_ups is not None:
                await self._set_ups.finish(plan.environment_id)
        except TimeoutError as error:
            raise SandboxUnavailable(
                f"The files of the environment were not written within {seconds:g} s."
            ) from error
        except SandboxLost as error:
            reason = await sandbox.why_lost()
            if isinstance(reason, SandboxOutOfMemory):
                raise reason from error
            raise SandboxLost("The sandbox went away while it was set up.") from error

    async def _start_with_place(self, plan: EnvironmentPlan) -> LiveSandbox:
        await self._reserve(plan.project_id)
        try:
            if self._set_ups is not None:
                await self._set_ups.check(plan)
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
        await self._strays.check(plan.environment_id)
        sandbox_id = new_id("sbx")
        self._strays.adopt(sandbox_id)
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
        try:
            spec = SandboxSpec(
                sandbox_id=sandbox_id,
                environment_id=plan.environment_id,
                image=await self._image(),
                socket_directory=listener.directory,
                settings=settings,
            )
            network = await self._attach(sandbox)
            await self._provider.start(spec)
            await self._bind(sandbox, plan, network)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._end(sandbox)
            raise
        return sandbox

    async def _attach(self, sandbox: LiveSandbox) -> GuestNetwork | None:
        path = sandbox.listener.directory / EGRESS_SOCKET
        return await self._networks.attach(
            sandbox.environment_id, sandbox.sandbox_id, path, self._provider.relay_uid
        )

    async def _serve(self, listener: SandboxListener, scope: anyio.CancelScope) -> None:
        with scope, contained("a sandbox's socket is not served any more"):
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
            raise await sandbox.why_lost() from error

    async def _reap(self) -> None:
        while True:
            await anyio.sleep(REAP_SECONDS)
            with contained("sandboxes not looked at"):
                await self._reap_once()

    async def _reap_once(self) -> None:
        for sandbox in list(self._live.values()):
            idle = clock.monotonic() - sandbox.last_used
            if sandbox.users == 0 and idle > self._settings.idle_seconds:
                await self.discard(sandbox.environment_id, sandbox)
        await self._strays.sweep()
