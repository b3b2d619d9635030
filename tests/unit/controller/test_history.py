from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, event, text

from runtime.clock import now
from runtime.controller.history import Histories
from runtime.errors import InvalidRequest, NotFound
from runtime.schema.content import text_of
from runtime.schema.steps import ModelOutputStep, Step, UserInputStep
from runtime.store import Beginning, InteractionRecord, Settlement, Store
from tests.support.local_controller import local_controller
from tests.unit.store.records import CREATED, summary

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    async with Store.open(tmp_path) as opened:
        yield opened


async def begin(into: Store, name: str, previous: str | None = None, **changes: Any) -> None:
    found = summary(name, previous_interaction_id=previous, **changes)
    record = InteractionRecord(found, {"input": f"ask {name}"}, {}, None)
    await into.journal.begin(Beginning(record, CREATED))


async def turn(into: Store, name: str, previous: str | None = None, **changes: Any) -> None:
    await begin(into, name, previous, **changes)
    said = {"type": "model_output", "content": [{"type": "text", "text": f"answer {name}"}]}
    await into.journal.settle(
        name, lambda _s, _l: Settlement("completed", {}, None, [said], 1, []), now()
    )


async def chain(store: Store, length: int) -> None:
    for number in range(length):
        await turn(store, f"int_{number}", f"int_{number - 1}" if number else None)


def words(steps: list[Step]) -> list[str]:
    return [
        text_of(step.content) for step in steps if isinstance(step, UserInputStep | ModelOutputStep)
    ]


def expected(*names: str) -> list[str]:
    return [text for name in names for text in (f"ask {name}", f"answer {name}")]


async def test_a_chain_is_the_whole_conversation_oldest_first(store: Store) -> None:
    await chain(store, 4)
    histories = Histories(store)
    for _ in range(2):
        found = await histories.load("default", "int_3")
        assert words(found.steps) == expected("int_0", "int_1", "int_2", "int_3")
        assert found.previous is not None
        assert found.previous.id == "int_3"
    assert words((await histories.load("default", "int_1")).steps) == expected("int_0", "int_1")
    assert (await histories.load("default", None)).steps == []


async def test_branches_share_what_they_go_on_from_and_nothing_else(store: Store) -> None:
    await chain(store, 2)
    await turn(store, "int_a", "int_1")
    await turn(store, "int_b", "int_1")
    histories = Histories(store)
    for last in ("int_a", "int_b"):
        loaded = await histories.load("default", last)
        assert words(loaded.steps) == expected("int_0", "int_1", last)


async def test_a_chain_has_any_length(store: Store) -> None:
    await chain(store, 1)
    last = await _long(store, 3000)
    found = await Histories(store).load("default", last)
    assert len(found.steps) == 2 * 3001


async def _long(store: Store, more: int) -> str:
    """More turns behind `int_0`, written at once."""
    statement = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :more) "
        "INSERT INTO interactions (id, previous_interaction_id, project_id, model, status, "
        "background, store, request, plan, steps, step_count, last_seq, created, updated, "
        "settled_at) SELECT 'int_' || i, 'int_' || (i - 1), project_id, model, status, background, "
        "store, request, plan, steps, step_count, last_seq, created, updated, settled_at "
        "FROM interactions, n WHERE id = 'int_0'"
    )

    def insert(connection: Connection) -> None:
        connection.execute(statement, {"more": more})

    await store._database.write(insert)
    return f"int_{more}"


async def test_a_turn_reads_what_is_new_and_not_the_whole_chain_again(store: Store) -> None:
    await chain(store, 1)
    histories = Histories(store)
    last = await _long(store, 200)
    await histories.load("default", last)
    asked: list[Any] = []
    event.listen(
        store._database._readers,
        "before_cursor_execute",
        lambda _c, _cursor, statement, parameters, *_: asked.append((statement, parameters)),
    )
    await turn(store, "int_next", last)
    assert len((await histories.load("default", "int_next")).steps) == 2 * 202
    bulk = [parameters for statement, parameters in asked if "request" in statement]
    ids = [[one for one in found if one != "default"] for found in bulk]
    assert ids == [["int_next"]], "the bulk of the new turn alone is read"


async def test_a_deleted_link_is_missed_though_it_was_read_before(store: Store) -> None:
    await chain(store, 3)
    histories = Histories(store)
    await histories.load("default", "int_2")
    await store.journal.forget("int_1")
    with pytest.raises(NotFound, match="earlier interaction int_1 was deleted"):
        await histories.load("default", "int_2")
    with pytest.raises(NotFound, match="there is no interaction 'int_1'"):
        await histories.load("default", "int_1")
    assert words((await histories.load("default", "int_0")).steps) == expected("int_0")


async def test_what_is_not_stored_or_not_ended_cannot_be_continued(store: Store) -> None:
    await turn(store, "int_0", store=False)
    await turn(store, "int_1", "int_0")
    await begin(store, "int_2")
    histories = Histories(store)
    with pytest.raises(NotFound, match="there is no interaction 'int_0'"):
        await histories.load("default", "int_0")
    with pytest.raises(NotFound, match="int_0 was deleted"):
        await histories.load("default", "int_1")
    with pytest.raises(InvalidRequest, match="int_2 is in progress"):
        await histories.load("default", "int_2")


async def test_memory_is_bounded(store: Store) -> None:
    await chain(store, 30)
    histories = Histories(store, kept_characters=3000)
    for _ in range(2):
        assert len((await histories.load("default", "int_29")).steps) == 60
        assert histories._size == sum(link.size for link in histories._kept.values()) <= 3000
        assert 0 < len(histories._kept) < 30


async def test_a_chain_does_not_store_its_history_again(tmp_path: Path) -> None:
    """Each turn stores its own input and output, so the whole grows with the number of turns."""
    async with local_controller(tmp_path) as controller, controller.http() as http:
        previous: dict[str, str] = {}
        sizes: list[int] = []
        for number in range(12):
            body = {"model": "script/inline", "input": f"turn {number:03}" + "x" * 2000}
            with anyio.fail_after(30):
                answer = (await http.post("/v1/interactions", json={**body, **previous})).json()
            assert answer["status"] == "completed"
            previous = {"previous_interaction_id": answer["id"]}
            sizes.append(await _stored_characters(controller.store, answer["id"]))
        assert max(sizes[1:]) - min(sizes[1:]) < 200


async def _stored_characters(store: Store, interaction_id: str) -> int:
    statement = text(
        "SELECT (SELECT length(request) + length(plan) + length(steps) FROM interactions "
        "WHERE id = :id) + (SELECT sum(length(body)) FROM events WHERE interaction_id = :id)"
    )
    return await store._database.read(
        lambda connection: connection.execute(statement, {"id": interaction_id}).scalar_one()
    )
