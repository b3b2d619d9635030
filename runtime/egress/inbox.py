"""Events on their way to whoever reads them: bounded, and never in a hurry."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import anyio

from runtime.egress.protocol import EgressEvent

MAX_WAITING = 1024


class Inbox:
    """A queue of events; full, it holds up who puts in, and slows the sandboxes' network down."""

    def __init__(self) -> None:
        self._events: deque[EgressEvent] = deque()
        self._closed = False
        self._changed = anyio.Condition()

    async def put(self, event: EgressEvent) -> None:
        """Add an event; waits while the queue is full."""
        async with self._changed:
            while len(self._events) >= MAX_WAITING:
                await self._changed.wait()
            self._events.append(event)
            self._changed.notify_all()

    async def close(self) -> None:
        """No more events come."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def read(self) -> AsyncIterator[EgressEvent]:
        """Each event, for one reader, until the queue is closed and empty."""
        while True:
            async with self._changed:
                while not self._events:
                    if self._closed:
                        return
                    await self._changed.wait()
                event = self._events.popleft()
                self._changed.notify_all()
            yield event
