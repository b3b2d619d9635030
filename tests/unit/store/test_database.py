from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError

from runtime.errors import Conflict, StorageFull
from runtime.store import sqlite
from runtime.store.database import Database

pytestmark = pytest.mark.anyio
TOGETHER = 40


@pytest.fixture
async def database(tmp_path: Path) -> Any:
    path = tmp_path / "test.db"
    opened = Database(sqlite.writer(path), sqlite.readers(path))
    await opened.write(
        lambda connection: connection.execute(text("CREATE TABLE t (n INTEGER UNIQUE)")).close()
    )
    yield opened
    await opened.close()


def insert(connection: Connection, number: int) -> int:
    connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})
    return number


def count(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM t")).scalar_one()


def commits(database: Database) -> list[Connection]:
    seen: list[Connection] = []
    event.listen(database._writer, "commit", seen.append)
    return seen


async def gathered(database: Database, numbers: list[int]) -> dict[int, object]:
    """What became of writes that come together: the number, or the error."""
    found: dict[int, object] = {}

    async def write(place: int, number: int) -> None:
        try:
            found[place] = await database.write(lambda connection: insert(connection, number))
        except IntegrityError as error:
            found[place] = error

    async with anyio.create_task_group() as tasks:
        for place, number in enumerate(numbers):
            tasks.start_soon(write, place, number)
    return found


async def test_writes_that_come_together_share_commits(database: Database) -> None:
    seen = commits(database)
    found = await gathered(database, list(range(TOGETHER)))
    assert found == {number: number for number in range(TOGETHER)}
    assert await database.read(count) == TOGETHER
    assert len(seen) == 2, "the first one alone, all others with the next hop"


async def test_a_write_that_fails_costs_its_neighbours_nothing(database: Database) -> None:
    found = await gathered(database, [1, 2, 2, 3, 2, 4])
    failed = [place for place, what in found.items() if isinstance(what, Exception)]
    assert sorted(failed) == [2, 4]
    assert await database.read(count) == 4


async def test_what_a_failed_write_did_is_undone(database: Database) -> None:
    def broken(connection: Connection) -> None:
        insert(connection, 1)
        raise Conflict("no")

    async with anyio.create_task_group() as tasks:
        for number in range(10, 20):
            tasks.start_soon(database.write, lambda c, n=number: insert(c, n))
        with pytest.raises(Conflict, match="no"):
            await database.write(broken)
    assert await database.read(count) == 10


async def test_a_full_disk_is_told_to_those_who_need_room(database: Database) -> None:
    def limited(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1")

    def large(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE u AS SELECT randomblob(100000) AS b"))

    await database.write(lambda connection: insert(connection, 1))
    event.listen(database._writer, "begin", limited, insert=True)
    refused: list[str] = []

    async def write_large() -> None:
        with pytest.raises(StorageFull) as caught:
            await database.write(large)
        refused.append(caught.value.message)

    async with anyio.create_task_group() as tasks:
        for number in range(2, 6):
            tasks.start_soon(database.write, lambda c, n=number: insert(c, n))
            tasks.start_soon(write_large)
    assert len(refused) == 4
    assert await database.read(count) == 5


async def test_reads_see_what_was_written_before_they_were_asked(database: Database) -> None:
    stale: list[tuple[int, int]] = []

    async def look(least: int) -> None:
        found = await database.read(count)
        if found < least:
            stale.append((found, least))

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            await database.write(lambda connection, n=number: insert(connection, n))
            for _ in range(5):
                tasks.start_soon(look, number + 1)
    assert stale == []


async def test_a_read_that_fails_costs_its_neighbours_nothing(database: Database) -> None:
    found: list[int] = []

    def broken(_connection: Connection) -> int:
        raise LookupError

    async def read() -> None:
        found.append(await database.read(count))

    async def fail() -> None:
        with pytest.raises(LookupError):
            await database.read(broken)

    async with anyio.create_task_group() as tasks:
        for _ in range(TOGETHER):
            tasks.start_soon(read)
            tasks.start_soon(fail)
    assert found == [0] * TOGETHER


async def test_writes_under_way_are_finished_when_they_are_cancelled(
    database: Database,
) -> None:
    async def write(number: int) -> None:
        await database.write(lambda connection: insert(connection, number))

    async with anyio.create_task_group() as tasks:
        for number in range(TOGETHER):
            tasks.start_soon(write, number)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert await database.read(count) == TOGETHER
    assert await database.write(lambda connection: insert(connection, 1000)) == 1000


async def test_an_error_holds_no_values(database: Database) -> None:
    number = 7_340_033
    await database.write(lambda connection: insert(connection, number))
    with pytest.raises(IntegrityError) as caught:
        await database.write(lambda connection: insert(connection, number))
    assert "INSERT INTO t" in str(caught.value)
    assert str(number) not in str(caught.value)
