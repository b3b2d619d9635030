from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from runtime.clock import now
from runtime.errors import Conflict, Internal, StorageFull, StorageUnavailable
from runtime.store import Store
from runtime.store.ballast import Ballast
from runtime.store.environments import _by_id
from runtime.store.events import _SELECT_PAGE
from runtime.store.interactions import SELECT_SUMMARY
from runtime.store.tables import metadata
from tests.unit.store.records import beginning, environment
from tests.unit.store.test_journal import settlement

pytestmark = pytest.mark.anyio


async def test_the_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    async with Store.open(tmp_path):
        pass
    engine = create_engine(f"sqlite:///{tmp_path / 'sandlot.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_schema_and_the_queries_compile_for_postgresql() -> None:
    dialect = postgresql.dialect()
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
    for statement in (SELECT_SUMMARY, _SELECT_PAGE, _by_id("a")):
        assert "SELECT" in str(statement.compile(dialect=dialect))


async def test_a_store_keeps_what_it_was_given(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await store.journal.begin(beginning("int_1"))
    async with Store.open(tmp_path) as store:
        assert await store.interactions.get("default", "int_1") is not None


async def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with Store.open(folder) as store:
        await store.journal.begin(beginning("int_1"))
        for path in [folder, *folder.iterdir()]:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_a_second_controller_is_refused(tmp_path: Path) -> None:
    async with Store.open(tmp_path):
        with pytest.raises(Conflict, match=rf"process {os.getpid()}.*--state-dir"):
            async with Store.open(tmp_path):
                pass
    async with Store.open(tmp_path) as store:
        await store.check()


async def test_a_killed_controller_lets_go_and_its_commits_stay(tmp_path: Path) -> None:
    code = (
        "import sys, anyio; from pathlib import Path; from runtime.store import Store\n"
        "from tests.unit.store.records import beginning\n"
        "async def main():\n"
        "    async with Store.open(Path(sys.argv[1])) as store:\n"
        "        await store.journal.begin(beginning('int_1'))\n"
        "        print('ready', flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGKILL)
    async with Store.open(tmp_path) as store:
        assert await store.interactions.get("default", "int_1") is not None


async def test_a_database_from_the_future_is_refused(tmp_path: Path) -> None:
    async with Store.open(tmp_path):
        pass
    _execute(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="newer Sandlot"):
        async with Store.open(tmp_path):
            pass


async def test_a_damaged_database_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sandlot.db").write_bytes(b"this is no database" * 500)
    with pytest.raises(Internal, match=r"damaged.*backup"):
        async with Store.open(tmp_path):
            pass
    assert (tmp_path / "sandlot.db").read_bytes().startswith(b"this is no database")


async def test_damage_is_looked_for_after_an_unclean_end(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        for number in range(50):
            await store.environments.create(
                environment(f"{number:032x}", variables={"A": "x" * 200})
            )
    path = tmp_path / "sandlot.db"
    content = bytearray(path.read_bytes())
    content[8 * 4096 : 9 * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    (tmp_path / "controller.lock").write_text("4711")
    with pytest.raises(Internal, match="damaged"):
        async with Store.open(tmp_path):
            pass


async def test_a_full_database_refuses_work_but_still_records_ends(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await store.journal.begin(beginning("int_1"))
        allow_pages = _page_limit(store)
        allow_pages(1)
        with pytest.raises(StorageFull, match="free some space"):
            await store.journal.append("int_1", [{"text": "x" * 100_000}], now())
        page = await store.events.page("int_1", 0, 10)
        assert page is not None
        assert page.last_seq == 1
        steps = [{"type": "model_output", "text": "x" * 100_000}]
        assert await store.journal.settle("int_1", settlement(steps=steps), now())
        found = await store.interactions.get("default", "int_1")
        assert found is not None
        assert found.summary.status == "completed"
        assert found.steps is None
        allow_pages(1_000_000)
        await store.journal.begin(beginning("int_2"))


async def test_new_work_waits_for_the_reserve(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", size_bytes=1 << 43)
    with pytest.raises(StorageFull, match="almost full"):
        ballast.lay()
    assert not ballast.is_laid
    small = Ballast(tmp_path / "ballast", size_bytes=4096)
    small.lay()
    assert small.is_laid
    assert (tmp_path / "ballast").stat().st_blocks > 0
    assert small.drop()
    assert not small.drop()


async def test_a_foreign_lock_is_waited_for_and_then_reported(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await store.journal.begin(beginning("int_1"))
        await store._database.write(
            lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=50").close()
        )
        other = sqlite3.connect(tmp_path / "sandlot.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="try again"):
            await store.journal.append("int_1", [{}], now())
        other.execute("ROLLBACK")
        other.close()
        assert (await store.journal.append("int_1", [{}], now()))[0] == 2


def _page_limit(store: Store) -> Callable[[int], None]:
    """Makes the database full for real: SQLite itself refuses to grow beyond so many pages."""
    limit = [1_000_000]

    def apply(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={limit[0]}")

    event.listen(store._database._writer, "begin", apply, insert=True)

    def allow(pages: int) -> None:
        limit[0] = pages

    return allow


def _execute(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "sandlot.db")
    connection.execute(statement)
    connection.commit()
    connection.close()
