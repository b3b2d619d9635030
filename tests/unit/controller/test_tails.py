from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import event

from runtime.controller import tails
from runtime.controller.log import EventLog
from runtime.controller.tails import Tail, Tails
from runtime.store import Logged, Settlement, Store
from runtime.store.events import PAGE_BYTES
from tests.unit.store.records import beginning

pytestmark = pytest.mark.anyio


def stored(*numbers: int, size: int = 10) -> list[Logged]:
    return [Logged(number, "x" * size) for number in numbers]


def numbers(found: list[Logged] | None) -> list[int] | None:
    return None if found is None else [one.seq for one in found]


def text(words: str) -> dict[str, Any]:
    delta = {"type": "text", "text": words}
    return {"event_type": "step.delta", "index": 0, "delta": delta}


def test_a_tail_knows_what_it_was_told() -> None:
    tail = Tail()
    assert tail.after(0) is None
    tail.add(stored(3, 4), settled=False)
    assert numbers(tail.after(2)) == [3, 4]
    assert numbers(tail.after(3)) == [4]
    assert numbers(tail.after(4)) == []
    assert tail.after(1) is None, "it never saw event 2"
    assert tail.after(5) is None, "somebody knows more than it"
    tail.add(stored(5), settled=True)
    assert numbers(tail.after(2)) == [3, 4, 5]
    assert tail.is_settled


def test_a_tail_is_bounded_by_number_and_by_size() -> None:
    tail = Tail()
    tail.add(stored(*range(1, tails.MAX_EVENTS + 11)), settled=False)
    assert tail.after(9) is None
    assert numbers(tail.after(10)) == list(range(11, tails.MAX_EVENTS + 11))
    tail = Tail()
    tail.add(stored(1, 2, 3, size=tails.MAX_CHARACTERS // 2), settled=False)
    assert tail.after(0) is None
    assert numbers(tail.after(1)) == [2, 3]
    tail.add(stored(4, size=tails.MAX_CHARACTERS + 1), settled=False)
    assert tail.after(3) is None, "one that is too large is in the database alone"
    assert numbers(tail.after(4)) == []
    tail.add(stored(5), settled=False)
    assert numbers(tail.after(4)) == [5]


@pytest.mark.parametrize("told", [(5,), (2,), (3,)])
def test_a_tail_that_is_told_out_of_order_leaves_it_to_the_database(told: tuple[int, ...]) -> None:
    tail = Tail()
    tail.add(stored(2, 3), settled=False)
    bell = tail.bell
    tail.add(stored(*told), settled=False)
    assert bell.is_set()
    assert all(tail.after(seq) is None for seq in range(6))
    tail.add(stored(6), settled=False)
    assert numbers(tail.after(5)) == [6]


def test_there_is_a_tail_only_while_somebody_reads() -> None:
    found = Tails()
    found.add("a", stored(1))
    with found.follow("a") as first, found.follow("a") as second:
        assert first is second
        found.add("a", stored(2))
        assert numbers(first.after(1)) == [2]
    assert found._tails == {}


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    async with Store.open(tmp_path) as opened:
        await opened.journal.begin(beginning("int_1"))
        yield opened


async def test_many_followers_do_not_read_each_event_from_the_database(store: Store) -> None:
    log = EventLog(store)
    queries: list[str] = []
    ready: list[int] = []
    seen: list[list[int]] = [[] for _ in range(200)]

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        queries.append(statement)

    async def follow(into: list[int]) -> None:
        async for seq, _ in log.follow("int_1"):
            into.append(seq)
            if seq == 1:
                ready.append(seq)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for into in seen:
                tasks.start_soon(follow, into)
            while len(ready) < len(seen):
                await anyio.wait_all_tasks_blocked()
            event.listen(store._database._readers, "before_cursor_execute", note)
            for number in range(100):
                await log.append("int_1", [text(str(number)), text("!")])
            await log.settle("int_1", "completed")
    assert seen == [list(range(1, 203))] * len(seen)
    assert len(queries) < 10 * len(seen), "they catch up, then they are told"
    assert log._tails._tails == {}


async def test_a_slow_follower_catches_up_from_the_database_without_gap_or_double(
    store: Store,
) -> None:
    log = EventLog(store)
    slow = log.follow("int_1")
    assert (await anext(slow))[0] == 1
    for _ in range(20):
        await log.append("int_1", [text("x" * 20_000)] * 10)
    with log._tails.follow("int_1") as tail:
        assert tail.after(1) is None, "it is behind the tail"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log.settle, "int_1", "completed")
        rest = [seq async for seq, _ in slow]
    assert rest == list(range(2, 203))


async def test_a_page_ends_where_it_gets_large(store: Store) -> None:
    await EventLog(store).append("int_1", [text("x" * PAGE_BYTES), text("y" * 1000), text("z")])
    page = await store.events.page("int_1", 1, 100)
    assert page is not None
    assert [seq for seq, _ in page.events] == [2]
    page = await store.events.page("int_1", 2, 100)
    assert page is not None
    assert [seq for seq, _ in page.events] == [3, 4]


async def test_what_is_followed_live_is_what_is_stored(store: Store) -> None:
    """JSON cannot carry everything that a guest can send: live readers see it mended, too."""
    log = EventLog(store)
    live: list[list[Logged]] = []

    async def follow() -> None:
        live.extend([stretch async for stretch in log.follow_stored("int_1")])

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await log.append(
                "int_1", [{**text("a\ud800b"), "n": float("nan"), "p": "\ud83d\ude00"}]
            )
            await log.settle("int_1", "completed")
    replayed = [one async for stretch in log.follow_stored("int_1") for one in stretch]
    assert [(one.seq, one.text) for stretch in live for one in stretch] == [
        (one.seq, one.text) for one in replayed
    ]
    assert "a\ufffdb" in replayed[1].text and "😀" in replayed[1].text
    assert '"n":null' in replayed[1].text


async def test_following_ends_when_the_interaction_is_deleted(store: Store) -> None:
    log = EventLog(store)
    ended = anyio.Event()

    async def follow() -> None:
        async for _ in log.follow("int_1"):
            pass
        ended.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await store.journal.settle("int_1", _settled, beginning("int_1").record.summary.created)
            assert await log.forget("int_1")
            await ended.wait()


def _settled(_summary: Any, _log: Any) -> Any:
    return Settlement("completed", {}, None, [], 0, [])


async def test_a_log_is_continued_after_a_restart(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await store.journal.begin(beginning("int_1"))
        await EventLog(store).append("int_1", [text("a"), text("b")])
    async with Store.open(tmp_path) as store:
        log = EventLog(store)
        reader = log.follow("int_1", 1)
        assert [(await anext(reader))[0] for _ in range(2)] == [2, 3]
        await log.settle("int_1", "failed")
        assert [seq async for seq, _ in reader] == [4]
        assert [seq async for seq, _ in log.follow("int_1", 3)] == [4]
