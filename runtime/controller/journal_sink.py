"""Where the events of a run in the controller go: to the journal, a few at a time."""

from __future__ import annotations

import anyio

from runtime.controller.budgets import LogBudget
from runtime.controller.ports import Journal
from runtime.schema.events import StepEvent

JOIN_SECONDS = 0.02
"""Events are stored at most this often while nobody asks for more."""
MAX_UNSTORED = 1000
"""More events than this and the run waits for the database."""


class JournalSink:
    """Stores the first event after a pause at once, and what comes close behind it together.

    `pump` must be running in a task.
    """

    def __init__(self, journal: Journal, interaction_id: str, limit_bytes: int) -> None:
        """`limit_bytes` is what all events of the run may come to."""
        self._budget = LogBudget(limit_bytes)
        self._journal = journal
        self._interaction_id = interaction_id
        self._buffer: list[StepEvent] = []
        self._filled = anyio.Event()
        self._turn = anyio.Lock()

    async def emit(self, event: StepEvent) -> None:
        """Take one event; waits while too many are not stored yet. Raises `LimitExceeded`."""
        self._budget.spend(len(str(event)))
        self._buffer.append(event)
        self._filled.set()
        if len(self._buffer) >= MAX_UNSTORED:
            await self.flush()

    async def flush(self) -> None:
        """Store what was taken."""
        async with self._turn:
            taken, self._buffer = self._buffer, []
            self._filled = anyio.Event()
            if taken:
                events = [event.model_dump(mode="json", exclude_none=True) for event in taken]
                await self._journal.append(self._interaction_id, events)

    async def pump(self) -> None:
        """Store what comes, for ever."""
        while True:
            await self._filled.wait()
            await self.flush()
            await anyio.sleep(JOIN_SECONDS)
