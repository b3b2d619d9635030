"""Environments that are being set up: nobody sees them before they have what they begin with.

The record says it, so that it holds for a controller that is started again, too.
"""

from __future__ import annotations

import anyio

from runtime.controller.placement import no_environment
from runtime.controller.plan import EnvironmentPlan
from runtime.controller.signals import Signals
from runtime.errors import Conflict
from runtime.store.environments import EnvironmentRecord, Environments

PATIENCE_SECONDS = 20.0
"""How long a call about files waits for an environment that is being set up."""


class SetUps:
    """Who may use which environments, as far as that depends on their being ready."""

    def __init__(self, records: Environments, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._records = records
        self._patience = patience_seconds
        self._signals = Signals()

    async def check(self, plan: EnvironmentPlan) -> None:
        """Raise `NotFound` for an environment that has ended, or has nobody who sets it up."""
        record = await self._records.get(plan.project_id, plan.environment_id)
        if record is None or record.status != "active" or (record.pending and not plan.is_new):
            raise no_environment(plan.environment_id, record)

    async def finish(self, environment_id: str) -> None:
        """The environment has what it begins with."""
        await self._records.set_up(environment_id)
        self._signals.ring(environment_id)

    def give_up(self, environment_id: str) -> None:
        """The environment has ended; whoever waits for it looks again."""
        self._signals.ring(environment_id)

    async def ready(self, project_id: str, environment_id: str) -> EnvironmentRecord:
        """An active environment that is ready; waits for one that is being set up, for a while.

        Raises `NotFound`, and `Conflict` where that takes longer.
        """
        with (
            self._signals.listen(environment_id) as bell,
            anyio.move_on_after(self._patience),
        ):
            record = await self._record(project_id, environment_id)
            if not record.pending:
                return record
            await bell.wait()
            record = await self._record(project_id, environment_id)
            if not record.pending:
                return record
        raise Conflict(
            f"The environment '{environment_id}' is still being set up: what it begins with is "
            "brought into it, or it waits for a place to run. Try again in a while."
        )

    async def _record(self, project_id: str, environment_id: str) -> EnvironmentRecord:
        record = await self._records.get(project_id, environment_id)
        if record is None or record.status != "active":
            raise no_environment(environment_id, record)
        return record
