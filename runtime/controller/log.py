"""The event log of interactions: persist, then wake the readers; the database is the truth."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

from runtime import clock
from runtime.controller.folding import steps_of
from runtime.controller.renderings import Renderings
from runtime.controller.signals import Signals
from runtime.controller.tails import Tails
from runtime.controller.views import interaction_head
from runtime.errors import NotFound
from runtime.schema.events import SETTLED
from runtime.schema.protocol import Fault
from runtime.schema.usage import Usage
from runtime.store import InteractionSummary, Logged, Progress, Settlement, Store

Event = dict[str, Any]
PAGE = 256


class EventLog:
    """Writes and follows the logs of interactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tails = Tails()
        self._settled = Signals()
        self.renderings = Renderings()
        """What callers were shown, until it changes."""

    async def append(self, interaction_id: str, events: list[Event]) -> int:
        """Add events to a running interaction; returns the number of the last one.

        Raises `NotFound`, `Conflict` when it has settled already, `StorageFull`,
        `StorageUnavailable`.
        """
        last, stored = await self._store.journal.append(
            interaction_id, events, clock.now(), progress_of(events)
        )
        self.renderings.drop(interaction_id)
        self._tails.add(interaction_id, stored)
        return last

    async def settle(
        self,
        interaction_id: str,
        status: str,
        usage: Usage | None = None,
        error: Fault | None = None,
    ) -> bool:
        """End an interaction with a status of `SETTLED`; its log ends with `interaction.completed`.

        False when it had settled before or is not there (any more). Without `usage` what the
        events added up to counts. Raises `StorageFull`, `StorageUnavailable`.
        """
        if status not in SETTLED:
            raise ValueError(f"{status} is not a status in which a run can end")
        moment = clock.now()

        def conclude(summary: InteractionSummary, events: list[Event]) -> Settlement:
            return _settlement(summary, events, status, usage, error, moment)

        stored = await self._store.journal.settle(interaction_id, conclude, moment)
        if stored is None:
            return False
        self.renderings.drop(interaction_id)
        self._tails.add(interaction_id, stored, settled=True)
        self._settled.ring(interaction_id)
        return True

    async def forget(self, interaction_id: str) -> bool:
        """Delete a settled interaction with its log; False when there is none.

        Raises `Conflict` while it runs.
        """
        gone = await self._store.journal.forget(interaction_id)
        self.renderings.drop(interaction_id)
        self._tails.forget(interaction_id)
        return gone

    async def follow(
        self, interaction_id: str, after: int = 0
    ) -> AsyncGenerator[tuple[int, Event]]:
        """Events with numbers above `after`, live, until the interaction has settled or is gone.

        Raises `NotFound` when there is no such interaction at the start.
        """
        async with aclosing(self.follow_stored(interaction_id, after)) as stretches:
            async for stretch in stretches:
                for one in stretch:
                    yield one.seq, one.event

    async def follow_stored(
        self, interaction_id: str, after: int = 0
    ) -> AsyncGenerator[list[Logged]]:
        """The same in stretches, as they come, and as they are stored."""
        with self._tails.follow(interaction_id) as tail:
            known = False
            while not tail.is_gone:
                bell = tail.bell
                stretch = tail.after(after)
                settled = tail.is_settled
                if stretch is None:
                    page = await self._store.events.page(interaction_id, after, PAGE)
                    if page is None:
                        break
                    stretch, settled = page.entries, page.settled
                known = True
                if stretch:
                    after = stretch[-1].seq
                    yield stretch
                elif settled:
                    return
                else:
                    await bell.wait()
            if not known:
                raise NotFound(f"There is no interaction '{interaction_id}'.")

    async def wait_settled(self, interaction_id: str) -> None:
        """Until the interaction has settled or is gone."""
        with self._settled.listen(interaction_id) as bell:
            summary = await self._store.interactions.summary_in_any_project(interaction_id)
            if summary is not None and summary.settled_at is None:
                await bell.wait()


def _settlement(
    summary: InteractionSummary,
    events: list[Event],
    status: str,
    usage: Usage | None,
    error: Fault | None,
    moment: datetime,
) -> Settlement:
    steps = steps_of(events)
    counted = usage.model_dump(exclude_none=True) if usage else summary.usage
    total = {**Usage().model_dump(exclude_none=True), **(counted or {})}
    fault = error.model_dump() if error else None
    head = interaction_head(summary, status=status, updated=moment, usage=total, error=fault)
    last: list[Event] = [{"event_type": "interaction.completed", "interaction": head}]
    if fault is not None:
        last.insert(0, {"event_type": "error", "error": fault})
    return Settlement(status, total, fault, steps, len(steps), last)


def progress_of(events: list[Event]) -> Progress:
    """What events say of how far their run is."""
    count: int | None = None
    last: str | None = None
    usage: dict[str, Any] | None = None
    for event in events:
        match event:
            case {"event_type": "step.start", "index": int(index), "step": dict(step)}:
                count = index + 1
                last = _name(step)
            case {"event_type": "step.stop", "usage": dict(total)}:
                usage = total
            case _:
                pass
    return Progress(count, last, usage)


def _name(step: dict[str, Any]) -> str:
    name = step.get("name")
    kind = str(step.get("type", "step"))
    return (f"{kind} {name}" if isinstance(name, str) else kind)[:256]
