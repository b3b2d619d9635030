"""Keeps what the egress proxy decides, in batches, so that users can read it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from runtime import clock
from runtime.boundaries import contained
from runtime.controller.networks import environment_of
from runtime.egress.protocol import EgressEvent
from runtime.egress.proxy import EgressProxy
from runtime.store.egress_events import EgressEvents, EgressRecord

BATCH = 200
PAUSE_SECONDS = 0.1
"""How long decisions wait for more of them, so that many are stored in one go."""


class EgressLog:
    """Moves decisions from the proxy into the store, for as long as it is open."""

    def __init__(self, proxy: EgressProxy, records: EgressEvents) -> None:
        self._proxy = proxy
        self._records = records
        self._waiting: list[EgressRecord] = []
        self._changed = anyio.Condition()
        self._ended = False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Decisions are kept inside, and those that are told while it closes."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read)
            tasks.start_soon(self._write)
            yield

    async def _read(self) -> None:
        async for event in self._proxy.events():
            async with self._changed:
                # The proxy holds up the traffic of sandboxes rather than lose a decision.
                while len(self._waiting) >= BATCH:
                    await self._changed.wait()
                self._waiting.append(_record(event))
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def _write(self) -> None:
        while True:
            async with self._changed:
                while not self._waiting and not self._ended:
                    await self._changed.wait()
                if not self._waiting:
                    return
            await anyio.sleep(PAUSE_SECONDS)
            async with self._changed:
                batch, self._waiting = self._waiting, []
                self._changed.notify_all()
            await self._store(batch)

    async def _store(self, batch: Sequence[EgressRecord]) -> None:
        with contained("decisions of the egress proxy lost", count=len(batch)):
            await self._records.add(batch)


def _record(event: EgressEvent) -> EgressRecord:
    return EgressRecord(environment_of(event.environment), event.at, event_view(event))


def event_view(event: EgressEvent) -> dict[str, Any]:
    """A decision as users see it; what there is nothing to say of is left out."""
    shown = event.model_dump(mode="json", exclude={"environment", "at"}, exclude_none=True)
    shown["duration_seconds"] = round(event.duration_seconds, 3)
    if not event.reason:
        del shown["reason"]
    return {"time": clock.rfc3339(event.at), **shown}
