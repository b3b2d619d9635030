"""One sandbox that runs, and its guest."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup

from runtime import clock
from runtime.errors import SandboxFault, SandboxLost, SandboxOutOfMemory
from runtime.gateway.listener import SandboxListener
from runtime.gateway.session import GuestSession
from runtime.groups import collapsed
from runtime.sandboxes.port import SandboxProvider
from runtime.schema.settings import SandboxSettings

RECONNECT_SECONDS = 10.0
WATCH_SECONDS = 0.3
"""How often a sandbox that is waited for is looked at."""

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
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

    async def has_ended(self) -> bool:
        """Whether its guest is gone for good. Raises `SandboxUnavailable` when nobody can tell."""
        return not self.listener.is_connected and not await self._is_running()

    async def why_lost(self) -> SandboxFault:
        """The error for a guest that went away; logs what it printed last."""
        try:
            state = await self.provider.state(self.sandbox_id)
            tail = await self.provider.log_tail(self.sandbox_id)
        except SandboxFault as error:
            return error
        log.warning("sandbox lost", sandbox=self.sandbox_id, state=str(state), log=tail)
        if state is not None and state.out_of_memory:
            limit = self.settings.memory_bytes // 1024**2
            return SandboxOutOfMemory(f"The sandbox used up its memory ({limit} MiB).")
        return SandboxLost("The sandbox went away in the middle of a run. Its files are kept.")

    async def _is_running(self) -> bool:
        state = await self.provider.state(self.sandbox_id)
        return state is not None and state.running

    async def _watch(self, tasks: TaskGroup) -> None:
        while True:
            await anyio.sleep(WATCH_SECONDS)
            if not await self._is_running():
                tasks.cancel_scope.cancel()
