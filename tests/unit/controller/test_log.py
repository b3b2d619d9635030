from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.controller.log import EventLog, progress_of
from runtime.controller.signals import Signals
from runtime.errors import Conflict, NotFound
from runtime.schema.protocol import Fault
from runtime.schema.usage import Usage
from runtime.store import Progress, Store
from tests.unit.store.records import beginning

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    async with Store.open(tmp_path) as opened:
        await opened.journal.begin(beginning("int_1"))
        yield opened


@pytest.fixture
def log(store: Store) -> EventLog:
    return EventLog(store)


def start(index: int, **step: Any) -> dict[str, Any]:
    return {"event_type": "step.start", "index": index, "step": step}


def text(index: int, words: str) -> dict[str, Any]:
    delta = {"type": "text", "text": words}
    return {"event_type": "step.delta", "index": index, "delta": delta}


async def test_followers_see_everything_once_and_in_order_while_it_is_written(
    log: EventLog,
) -> None:
    seen: list[list[int]] = [[] for _ in range(8)]

    async def follow(into: list[int]) -> None:
        async for seq, _ in log.follow("int_1"):
            into.append(seq)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for into in seen:
                tasks.start_soon(follow, into)
            for number in range(100):
                await log.append("int_1", [text(0, str(number)), text(0, "!")])
            await log.settle("int_1", "completed")
    assert seen == [list(range(1, 203))] * 8


async def test_a_late_follower_reads_from_where_it_says(log: EventLog) -> None:
    await log.append("int_1", [text(0, "a"), text(0, "b")])
    await log.settle("int_1", "completed")
    assert [seq async for seq, _ in log.follow("int_1", 2)] == [3, 4]
    assert [seq async for seq, _ in log.follow("int_1", 4)] == []


async def test_following_a_long_log_goes_page_by_page(log: EventLog) -> None:
    await log.append("int_1", [text(0, "x")] * 600)
    await log.settle("int_1", "completed")
    assert [seq async for seq, _ in log.follow("int_1")] == list(range(1, 603))


async def test_an_unknown_log_cannot_be_followed(log: EventLog) -> None:
    with pytest.raises(NotFound):
        await anext(log.follow("int_9"))


async def test_following_ends_when_the_interaction_is_forgotten(log: EventLog) -> None:
    await log.settle("int_1", "completed")
    reader = log.follow("int_1")
    assert (await anext(reader))[0] == 1
    await log.forget("int_1")
    assert [seq async for seq, _ in reader] == [2]


async def test_settling_writes_the_last_event_and_the_steps(log: EventLog, store: Store) -> None:
    await log.append("int_1", [start(0, type="model_output"), text(0, "Hel"), text(0, "lo")])
    usage = Usage(total_tokens=7, total_input_tokens=7)
    assert await log.settle("int_1", "completed", usage)
    record = await store.interactions.get("default", "int_1")
    assert record is not None
    assert record.steps == [
        {"type": "model_output", "content": [{"type": "text", "text": "Hello"}]}
    ]
    assert record.summary.step_count == 1
    last = (await store.events.all("int_1"))[-1]
    assert last["event_type"] == "interaction.completed"
    assert last["interaction"]["status"] == "completed"
    assert last["interaction"]["usage"]["total_tokens"] == 7


async def test_a_failure_is_told_before_the_end(log: EventLog, store: Store) -> None:
    await log.settle("int_1", "failed", error=Fault(code="out_of_memory", message="Too much."))
    error, completed = (await store.events.all("int_1"))[-2:]
    assert error == {
        "event_type": "error",
        "error": {"code": "out_of_memory", "message": "Too much."},
    }
    assert completed["interaction"]["errors"] == [error["error"]]
    assert completed["interaction"]["usage"]["total_tokens"] == 0


async def test_nonsense_from_a_guest_does_not_keep_a_run_from_ending(
    log: EventLog, store: Store
) -> None:
    bad = {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": 7}}
    await log.append("int_1", [start(0, type="model_output"), text(0, "a"), bad])
    await log.append("int_1", [start(1, type="model_output"), text(1, "fine")])
    assert await log.settle("int_1", "completed")
    record = await store.interactions.get("default", "int_1")
    assert record is not None
    assert record.steps == [{"type": "model_output", "content": [{"type": "text", "text": "fine"}]}]


async def test_arguments_that_nobody_can_read_do_not_keep_a_run_from_ending(
    log: EventLog, store: Store
) -> None:
    deep = '{"a":' + "[" * 600 + "NaN" + "]" * 600 + "}"
    delta = {"type": "arguments_delta", "arguments": deep}
    call = start(0, type="function_call", id="c", name="f")
    await log.append("int_1", [call, {"event_type": "step.delta", "index": 0, "delta": delta}])
    assert await log.settle("int_1", "completed")
    record = await store.interactions.get("default", "int_1")
    assert record is not None and record.steps is not None
    assert record.steps[0]["arguments"] == {"_partial": deep}


async def test_only_the_first_settlement_counts(log: EventLog, store: Store) -> None:
    results: list[bool] = []

    async def settle(status: str) -> None:
        results.append(await log.settle("int_1", status))

    async with anyio.create_task_group() as tasks:
        for status in ("completed", "cancelled", "failed"):
            tasks.start_soon(settle, status)
    assert sorted(results) == [False, False, True]
    events = await store.events.all("int_1")
    assert [e["event_type"] for e in events].count("interaction.completed") == 1
    with pytest.raises(Conflict):
        await log.append("int_1", [text(0, "late")])


async def test_settling_while_events_stream_in_keeps_the_log_dense(
    log: EventLog, store: Store
) -> None:
    stopped: list[int] = []

    async def write() -> None:
        try:
            while True:
                stopped[:] = [await log.append("int_1", [text(0, "x")])]
        except Conflict:
            return

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            async for seq, _ in log.follow("int_1"):
                if seq == 5:
                    tasks.start_soon(log.settle, "int_1", "cancelled")
    page = await store.events.page("int_1", 0, 100_000)
    assert page is not None
    assert [seq for seq, _ in page.events] == list(range(1, stopped[0] + 2))
    assert page.events[-1][1]["event_type"] == "interaction.completed"


async def test_an_unsettled_status_is_refused(log: EventLog) -> None:
    with pytest.raises(ValueError, match="in_progress"):
        await log.settle("int_1", "in_progress")
    assert not await log.settle("int_9", "completed")


async def test_waiting_ends_with_the_settlement(log: EventLog) -> None:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(log.wait_settled, "int_1")
            await log.append("int_1", [text(0, "x")])
            await log.settle("int_1", "requires_action")
        await log.wait_settled("int_1")
        await log.wait_settled("int_9")


def test_progress_is_what_the_latest_events_say() -> None:
    events = [
        start(3, type="function_call", id="c", name="browser_click"),
        {"event_type": "step.stop", "index": 3, "usage": {"total_tokens": 5}},
        {"event_type": "step.stop", "index": 3},
    ]
    assert progress_of(events) == Progress(4, "function_call browser_click", {"total_tokens": 5})
    assert progress_of([text(0, "x")]) == Progress()


async def test_a_bell_that_nobody_listens_to_is_gone() -> None:
    signals = Signals()
    with signals.listen("a") as first, signals.listen("a") as second:
        signals.ring("a")
        await first.wait()
        await second.wait()
        with signals.listen("a") as later, anyio.move_on_after(0.01) as scope:
            await later.wait()
        assert scope.cancelled_caught
    signals.ring("a")
    assert not signals._bells
