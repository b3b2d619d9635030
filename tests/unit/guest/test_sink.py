from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from runtime.guest.sink import RunSink
from runtime.schema.events import StepDelta, StepStart, StepStop, fold
from runtime.schema.protocol import RunEvents

pytestmark = pytest.mark.anyio


class Controller:
    """Takes batches; acknowledges them when told to."""

    def __init__(self) -> None:
        self.batches: list[RunEvents] = []
        self.arrived = anyio.Event()
        self.acknowledge: Callable[[int], Awaitable[None]] | None = None

    async def send(self, batch: RunEvents) -> None:
        self.batches.append(batch)
        self.arrived.set()
        if self.acknowledge is not None:
            await self.acknowledge(self.received())

    def received(self) -> int:
        if not self.batches:
            return 0
        last = self.batches[-1]
        return last.first + len(last.events) - 1


@asynccontextmanager
async def pumping(controller: Controller) -> AsyncGenerator[RunSink]:
    sink = RunSink("run_1", controller.send)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.pump)
        yield sink
        tasks.cancel_scope.cancel()


def text(piece: str, index: int = 0) -> StepDelta:
    return StepDelta(index=index, delta={"type": "text", "text": piece})


async def flush_acknowledged(sink: RunSink, controller: Controller) -> None:
    controller.acknowledge = sink.stored
    await sink.stored(controller.received())
    await sink.flush()


async def test_neighbouring_text_is_joined_before_it_is_numbered() -> None:
    controller = Controller()
    async with pumping(controller) as sink:
        await sink.emit(StepStart(index=0, step={"type": "model_output"}))
        for piece in "abcdefghijklmnopqrst":
            await sink.emit(text(piece))
        await sink.emit(StepStop(index=0))
        with anyio.fail_after(30):
            await flush_acknowledged(sink, controller)
    events = [event for batch in controller.batches for event in batch.events]
    assert len(events) <= 5, "start, the leading delta, the joined rest, stop"
    folded = fold([event.model_dump(exclude_none=True) for event in events])
    assert folded[0]["content"][0]["text"] == "abcdefghijklmnopqrst"


async def test_flush_waits_for_the_acknowledgement() -> None:
    controller = Controller()
    async with pumping(controller) as sink:
        await sink.emit(text("a"))
        with anyio.move_on_after(0.1) as scope:
            await sink.flush()
        assert scope.cancelled_caught
        await sink.stored(1)
        with anyio.fail_after(30):
            await sink.flush()


async def test_what_was_not_acknowledged_is_sent_again_with_its_numbers() -> None:
    controller = Controller()
    async with pumping(controller) as sink:
        for index in range(3):
            await sink.emit(text(str(index), index))
        await controller.arrived.wait()
        with anyio.move_on_after(0.1):
            await sink.flush()
        await sink.stored(1)
        controller.batches.clear()
        await sink.resend()
    (batch,) = controller.batches
    assert batch.first == 2 and len(batch.events) == 2


async def test_an_acknowledgement_of_more_than_was_sent_does_no_harm() -> None:
    controller = Controller()
    async with pumping(controller) as sink:
        await sink.stored(99)
        await sink.emit(text("a"))
        with anyio.fail_after(30):
            await flush_acknowledged(sink, controller)
    assert controller.batches[0].first == 1
