from __future__ import annotations

from typing import Any

import anyio
import pytest

from runtime.controller import journal_sink
from runtime.controller.journal_sink import JournalSink
from runtime.errors import LimitExceeded, StorageFull
from runtime.schema.events import StepDelta, StepStart

pytestmark = pytest.mark.anyio
ROOM = 1024**2


class Stored:
    """A journal that keeps what it is given, as slowly as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.came = anyio.Event()
        self.may_go_on = anyio.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    async def append(self, interaction_id: str, events: list[dict[str, Any]]) -> int:
        self.came.set()
        await self.may_go_on.wait()
        if self.error:
            raise self.error
        self.batches.append(events)
        return len(self.events)

    async def settle(self, *_: Any) -> bool:
        raise AssertionError("a sink settles nothing")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]


def delta(number: int) -> StepDelta:
    return StepDelta(index=0, delta={"type": "text", "text": str(number)})


async def test_a_token_before_a_pause_of_the_model_is_stored_without_another() -> None:
    journal = Stored()
    sink = JournalSink(journal, "int_1", ROOM)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.pump)
            await sink.emit(StepStart(index=0, step={"type": "model_output"}))
            await sink.emit(delta(1))
            while len(journal.events) < 2:
                await anyio.wait_all_tasks_blocked()
            # Close behind the first, and nothing after it.
            await sink.emit(delta(2))
            while len(journal.events) < 3:
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert [len(batch) for batch in journal.batches] == [2, 1]


async def test_what_comes_while_the_database_is_busy_is_stored_together_and_in_order() -> None:
    journal = Stored()
    journal.may_go_on = anyio.Event()
    sink = JournalSink(journal, "int_1", ROOM)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sink.pump)
            await sink.emit(delta(0))
            await journal.came.wait()
            for number in range(1, 50):
                await sink.emit(delta(number))
            journal.may_go_on.set()
            await sink.flush()
            assert [event["delta"]["text"] for event in journal.events] == [
                str(number) for number in range(50)
            ]
            tasks.cancel_scope.cancel()
    assert len(journal.batches) == 2


async def test_a_model_that_is_faster_than_the_database_waits() -> None:
    journal = Stored()
    journal.may_go_on = anyio.Event()
    sink = JournalSink(journal, "int_1", ROOM)
    emitted: list[int] = []

    async def run() -> None:
        for number in range(journal_sink.MAX_UNSTORED * 3):
            await sink.emit(delta(number))
            emitted.append(number)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await anyio.wait_all_tasks_blocked()
            assert len(emitted) < journal_sink.MAX_UNSTORED
            journal.may_go_on.set()
    await sink.flush()
    assert len(journal.events) == journal_sink.MAX_UNSTORED * 3


async def test_a_database_that_fails_is_told_to_the_run() -> None:
    journal = Stored()
    journal.error = StorageFull("full")
    sink = JournalSink(journal, "int_1", ROOM)
    await sink.emit(delta(1))
    with pytest.raises(StorageFull):
        await sink.flush()


async def test_an_interaction_without_room_is_told() -> None:
    sink = JournalSink(Stored(), "int_1", ROOM)
    await sink.emit(StepDelta(index=0, delta={"type": "text", "text": "x" * (ROOM // 2)}))
    with pytest.raises(LimitExceeded, match=r"more than 1 MiB"):
        await sink.emit(StepDelta(index=0, delta={"type": "text", "text": "x" * (ROOM // 2)}))
