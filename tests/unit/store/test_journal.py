from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from runtime.clock import now
from runtime.errors import Conflict, NotFound
from runtime.store import (
    AlreadyClaimed,
    Beginning,
    Claim,
    InteractionSummary,
    Progress,
    Settlement,
    Store,
)
from runtime.store.journal import Conclude
from tests.unit.store.records import CREATED, beginning, environment, record

pytestmark = pytest.mark.anyio

END: dict[str, Any] = {"event_type": "interaction.completed", "interaction": {}}


def settlement(status: str = "completed", **changes: Any) -> Conclude:
    values: dict[str, Any] = {
        "status": status,
        "usage": {"total_tokens": 3},
        "error": None,
        "steps": [{"type": "model_output"}],
        "step_count": 1,
        "events": [END],
    }
    return lambda _summary, _log: Settlement(**{**values, **changes})


async def test_what_began_reads_back(store: Store) -> None:
    await store.journal.begin(beginning("int_1", labels={"team": "a"}))
    found = await store.interactions.get("default", "int_1")
    assert found is not None
    assert found.request == {"input": "hi"}
    assert found.summary.labels == {"team": "a"}
    assert found.summary.created.tzinfo is not None
    assert found.steps is None
    assert await store.events.all("int_1") == [CREATED]


async def test_concurrent_appends_are_numbered_without_gaps(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))

    async def write(start: int) -> None:
        for number in range(start, start + 10):
            await store.journal.append("int_1", [{"n": number}, {"n": -number}], now())

    async with anyio.create_task_group() as group:
        for start in range(0, 100, 10):
            group.start_soon(write, start)
    page = await store.events.page("int_1", 0, 1000)
    assert page is not None
    assert [seq for seq, _ in page.events] == list(range(1, 202))
    assert page.last_seq == 201


async def test_appended_batches_stay_together_and_in_order(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    last, stored = await store.journal.append("int_1", [{"n": 1}, {"n": 2}], now())
    assert last == 3
    assert [(one.seq, one.text) for one in stored] == [(2, '{"n":1}'), (3, '{"n":2}')]
    assert (await store.journal.append("int_1", [{"n": 3}], now()))[0] == 4
    page = await store.events.page("int_1", 1, 2)
    assert page is not None
    assert page.events == [(2, {"n": 1}), (3, {"n": 2})]
    assert not page.settled


async def test_append_records_progress_and_keeps_what_it_does_not_name(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    await store.journal.append("int_1", [{}], now(), Progress(2, "thought", {"total_tokens": 9}))
    await store.journal.append("int_1", [{}], now(), Progress(step_count=3))
    found = await store.interactions.summary("default", "int_1")
    assert found is not None
    assert (found.step_count, found.last_step, found.usage) == (3, "thought", {"total_tokens": 9})


async def test_settling_happens_once(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    assert await store.journal.settle("int_1", settlement(), now())
    assert not await store.journal.settle("int_1", settlement("failed"), now())
    found = await store.interactions.get("default", "int_1")
    assert found is not None
    assert found.summary.status == "completed"
    assert found.summary.last_seq == 2
    assert found.steps == [{"type": "model_output"}]


async def test_racing_settlements_have_one_winner(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    won: list[str] = []

    async def settle(status: str) -> None:
        if await store.journal.settle("int_1", settlement(status), now()):
            won.append(status)

    async with anyio.create_task_group() as group:
        for status in ("completed", "cancelled", "failed", "incomplete"):
            group.start_soon(settle, status)
    found = await store.interactions.summary("default", "int_1")
    assert found is not None
    assert [found.status] == won
    assert len(await store.events.all("int_1")) == 2


async def test_who_settles_sees_the_whole_log(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    await store.journal.append("int_1", [{"n": 1}], now())
    seen: list[dict[str, Any]] = []

    def conclude(found: InteractionSummary, log: list[dict[str, Any]]) -> Settlement:
        seen.extend(log)
        assert found.last_seq == 2
        return settlement()(found, log)

    assert await store.journal.settle("int_1", conclude, now())
    assert seen == [CREATED, {"n": 1}]


async def test_a_conclusion_that_fails_settles_nothing(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))

    def conclude(_found: InteractionSummary, _log: list[dict[str, Any]]) -> Settlement:
        raise LookupError

    with pytest.raises(LookupError):
        await store.journal.settle("int_1", conclude, now())
    assert await store.journal.settle("int_1", settlement(), now())


async def test_an_end_is_stored_when_its_steps_cannot_be(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]

    def conclude(found: InteractionSummary, log: list[dict[str, Any]]) -> Settlement:
        return replace(settlement()(found, log), steps=[{"type": "model_output", "x": deep}])

    assert await store.journal.settle("int_1", conclude, now())
    found = await store.interactions.get("default", "int_1")
    assert found is not None
    assert (found.summary.status, found.steps) == ("completed", None)


async def test_a_closed_log_takes_nothing(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    await store.journal.settle("int_1", settlement(), now())
    with pytest.raises(Conflict, match=r"int_1 has ended \(completed\)"):
        await store.journal.append("int_1", [{"n": 1}], now())
    assert len(await store.events.all("int_1")) == 2


async def test_an_unknown_log_takes_nothing(store: Store) -> None:
    with pytest.raises(NotFound, match="int_9"):
        await store.journal.append("int_9", [{}], now())
    assert await store.events.page("int_9", 0, 10) is None


async def test_beginning_is_all_or_nothing(store: Store) -> None:
    broken = Beginning(
        record("int_1", environment_id="a" * 32),
        CREATED,
        new_environment=environment("a" * 32),
        used_environment="b" * 32,
    )
    with pytest.raises(NotFound, match="b" * 32):
        await store.journal.begin(broken)
    assert await store.interactions.get("default", "int_1") is None
    assert await store.environments.get("default", "a" * 32) is None


async def test_a_key_makes_one_interaction(store: Store) -> None:
    claim = Claim("k", "hash", "default")
    made: list[str] = []

    async def begin(name: str) -> None:
        try:
            await store.journal.begin(Beginning(record(name), CREATED, claim=claim))
            made.append(name)
        except AlreadyClaimed as taken:
            assert taken.found.request_hash == "hash"

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(begin, f"int_{number}")
    assert len(made) == 1
    found = await store.idempotency.find(claim, now())
    assert found is not None
    assert found.interaction_id == made[0]


async def test_forgetting_takes_the_log_and_the_key_along(store: Store) -> None:
    claim = Claim("k", "hash", "default")
    await store.journal.begin(Beginning(record("int_1"), CREATED, claim=claim))
    with pytest.raises(Conflict, match="cancel it first"):
        await store.journal.forget("int_1")
    await store.journal.settle("int_1", settlement(), now())
    assert await store.journal.forget("int_1")
    assert not await store.journal.forget("int_1")
    assert await store.events.all("int_1") == []
    assert await store.idempotency.find(claim, now()) is None


async def test_text_and_numbers_that_json_cannot_carry_are_mended(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    bad = {"lone": "a\ud800b", "pair": "\ud83d\ude00", "n": [float("nan"), float("inf"), 1.5]}
    await store.journal.append("int_1", [bad], now())
    assert (await store.events.all("int_1"))[1] == {
        "lone": "a\ufffdb",
        "pair": "😀",
        "n": [None, None, 1.5],
    }


async def test_a_cancelled_writer_leaves_a_whole_log(store: Store) -> None:
    await store.journal.begin(beginning("int_1"))
    for _ in range(20):
        with anyio.move_on_after(0.0005):
            await store.journal.append("int_1", [{"n": 1}, {"n": 2}], now())
    last, _ = await store.journal.append("int_1", [{"n": 3}], now())
    page = await store.events.page("int_1", 0, 1000)
    assert page is not None
    assert [seq for seq, _ in page.events] == list(range(1, last + 1))
    assert last % 2 == 0


async def test_pages_run_newest_first_and_filter(store: Store) -> None:
    for number in range(5):
        await store.journal.begin(beginning(f"int_{number}"))
    await store.journal.settle("int_3", settlement("failed"), now())
    newest = await store.interactions.page("default", limit=2)
    assert [found.id for found in newest] == ["int_4", "int_3"]
    older = await store.interactions.page("default", limit=9, before="int_3")
    assert [found.id for found in older] == ["int_2", "int_1", "int_0"]
    assert [f.id for f in await store.interactions.page("default", limit=9, settled=True)] == [
        "int_3"
    ]
    assert [
        f.id for f in await store.interactions.page("default", limit=9, statuses=["failed"])
    ] == ["int_3"]
    assert len(await store.interactions.unsettled_in_any_project()) == 4


async def test_only_answered_unstored_interactions_are_forgettable(store: Store) -> None:
    await store.journal.begin(beginning("int_1", store=False))
    await store.journal.begin(beginning("int_2", store=False))
    await store.journal.begin(beginning("int_3"))
    for name in ("int_2", "int_3"):
        await store.journal.settle(name, settlement(), now())
    assert await store.interactions.forgettable_in_any_project() == ["int_2"]
