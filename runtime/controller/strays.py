"""Sandboxes that nobody uses and that are still there.

An earlier controller left them when it was killed, or the back end did not remove them when it was
told to. Nobody sees what runs there, and it has the files of an environment that may live again.
"""

from __future__ import annotations

import anyio
import structlog

from runtime.errors import SandboxUnavailable, SandlotError
from runtime.sandboxes.port import SandboxProvider

log = structlog.get_logger(__name__)


class Strays:
    """Knows which sandboxes of a provider are in use, and removes the others."""

    def __init__(self, provider: SandboxProvider) -> None:
        self._provider = provider
        self._used: set[str] = set()
        self._may_be_some = True
        self._sweeping = anyio.Lock()

    def adopt(self, sandbox_id: str) -> None:
        """A sandbox of this id is about to be made, and is in use."""
        self._used.add(sandbox_id)

    async def remove(self, sandbox_id: str) -> bool:
        """Remove a sandbox that is not used any more; False where that has to be tried again."""
        self._used.discard(sandbox_id)
        try:
            await self._provider.remove(sandbox_id)
        except SandlotError as error:
            self._may_be_some = True
            log.warning("sandbox not removed", sandbox=sandbox_id, error=error.message)
            return False
        return True

    async def sweep(self) -> set[str]:
        """Remove all that there are; the environments of those that could not be removed.

        Costs nothing where there is none. Raises what the provider raises when it cannot tell.
        """
        async with self._sweeping:
            return await self._sweep() if self._may_be_some else set()

    async def _sweep(self) -> set[str]:
        self._may_be_some = False
        try:
            found = await self._provider.list()
        except SandlotError:
            self._may_be_some = True
            raise
        strays = [one for one in found if one.sandbox_id not in self._used]
        return {one.environment_id for one in strays if not await self.remove(one.sandbox_id)}

    async def check(self, environment_id: str) -> None:
        """Raise `SandboxUnavailable` while an environment has a stray, which cannot be removed."""
        if environment_id in await self.sweep():
            raise SandboxUnavailable(
                "The last sandbox of this environment is still there and cannot be removed; the "
                "log says why. It is tried again every few seconds."
            )
