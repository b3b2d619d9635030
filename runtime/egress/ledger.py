"""Keeps the events until the controller has taken them; a full ledger holds up who fills it."""

from __future__ import annotations

from collections import deque

import anyio

from runtime.egress.protocol import EVENTS_PER_FRAME, EgressEvent

MAX_WAITING = 256
"""Events of one environment that may wait."""
PATIENCE_SECONDS = 10.0
"""How long a connection waits for its event to be taken; then the event counts as lost."""


class Ledger:
    """Queues of events, one per environment, emptied in turn."""

    def __init__(self) -> None:
        self.lost = 0
        self._waiting: dict[str, deque[EgressEvent]] = {}
        self._is_telling = False
        self._changed = anyio.Condition()

    async def record(self, event: EgressEvent) -> None:
        """Put `event` in its queue; waits while that is full, also when the caller is cancelled."""
        with anyio.move_on_after(PATIENCE_SECONDS, shield=True):
            async with self._changed:
                while not self._admitted(event):
                    await self._changed.wait()
                self._changed.notify_all()
                return
        self.lost += event.count

    async def take(self) -> list[EgressEvent]:
        """At least one event, at most one frame of them; waits for the first."""
        async with self._changed:
            while not self._waiting:
                await self._changed.wait()
            taken: list[EgressEvent] = []
            while self._waiting and len(taken) < EVENTS_PER_FRAME:
                taken.append(self._next())
            self._is_telling = True
            self._changed.notify_all()
            return taken

    async def told(self) -> None:
        """What was taken has been told."""
        async with self._changed:
            self._is_telling = False
            self._changed.notify_all()

    async def until_empty(self) -> None:
        """Wait until all was told."""
        async with self._changed:
            while self._waiting or self._is_telling:
                await self._changed.wait()

    def _admitted(self, event: EgressEvent) -> bool:
        queue = self._waiting.setdefault(event.environment, deque())
        if _joined(queue, event):
            return True
        if len(queue) < MAX_WAITING:
            queue.append(event)
            return True
        return False

    def _next(self) -> EgressEvent:
        environment = next(iter(self._waiting))
        queue = self._waiting.pop(environment)
        event = queue.popleft()
        if queue:
            # Behind the others: an environment with many events must not hold theirs up.
            self._waiting[environment] = queue
        return event


def _joined(queue: deque[EgressEvent], event: EgressEvent) -> bool:
    """Whether `event` is a refusal like one that waits, and was counted there."""
    if event.verdict != "refused":
        return False
    for index, other in enumerate(queue):
        if _is_like(other, event):
            queue[index] = other.model_copy(update={"count": other.count + event.count})
            return True
    return False


def _is_like(one: EgressEvent, other: EgressEvent) -> bool:
    return (one.verdict, one.host, one.port, one.reason, one.method, one.kind) == (
        other.verdict,
        other.host,
        other.port,
        other.reason,
        other.method,
        other.kind,
    )
