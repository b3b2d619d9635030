from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import runtime.store.migration
from runtime.clock import now
from runtime.errors import Unauthenticated
from runtime.store import AlreadyClaimed, BoundReached, Bounds, Claim, FileRecord, Store, sqlite
from tests.unit.store.records import beginning, environment, make_projects
from tests.unit.store.test_credentials import record

pytestmark = pytest.mark.anyio
SCRIPTS = Path(runtime.store.migration.__file__).parent / "migrations"
OLD_FILE = """
INSERT INTO files (id, state, blob, upload_digest, mime_type, size_bytes, sha256, origin, created,
updated, expires, project_id) VALUES ('report', 'active', 'blob_1', 'd', 'text/plain', 3, 'ab',
'http://127.0.0.1', '2026-01-01 00:00:00', '2026-01-01 00:00:00', '2099-01-01 00:00:00', 'default')
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as store:
        await make_projects(store, "a", "b")
        yield store


async def test_files_of_an_older_version_stay(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    engine = sqlite.writer(tmp_path / "sandlot.db")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        connection.execute(text(OLD_FILE))
    engine.dispose()
    async with Store.open(tmp_path) as store:
        found = await store.files.get("default", "report")
        assert found is not None and (found.key_id, found.size_bytes) == ("operator", 3)
        assert await store.files.get("other", "report") is None
        assert [project.id for project in await store.projects.all()] == ["default"]


async def test_what_is_of_one_project_is_in_no_other(store: Store) -> None:
    await store.journal.begin(beginning("int_1", project_id="a"))
    await store.journal.begin(beginning("int_2", project_id="a", previous_interaction_id="int_1"))
    await store.environments.create(environment("env1", project_id="a"))
    assert await store.interactions.get("b", "int_1") is None
    assert await store.interactions.summary("b", "int_1") is None
    assert await store.interactions.many("b", ["int_1", "int_2"]) == []
    assert await store.interactions.chain("b", "int_2") is None
    assert await store.interactions.page("b", limit=10) == []
    assert await store.environments.get("b", "env1") is None
    assert await store.environments.page("b", limit=10) == []
    assert not await store.environments.retire("b", "env1", "deleted", now())
    chain = await store.interactions.chain("a", "int_2")
    assert chain is not None and chain.ids == ["int_1", "int_2"]
    assert len(await store.interactions.page("a", limit=10)) == 2
    assert await store.environments.retire("a", "env1", "deleted", now())


async def test_two_projects_claim_the_same_key(store: Store) -> None:
    for project in ("a", "b"):
        claim = Claim("k", "hash", project)
        new = beginning(f"int_{project}", project_id=project)
        await store.journal.begin(replace(new, claim=claim))
        found = await store.idempotency.find(claim, now())
        assert found is not None and found.interaction_id == f"int_{project}"
    with pytest.raises(AlreadyClaimed):
        again = beginning("int_c", project_id="a")
        await store.journal.begin(replace(again, claim=Claim("k", "hash", "a")))


async def test_what_would_be_too_much_leaves_nothing(store: Store) -> None:
    bounds = Bounds(unsettled=2, environments=1)
    for number in (1, 2):
        await store.journal.begin(
            replace(beginning(f"int_{number}", project_id="a"), bounds=bounds)
        )
    with pytest.raises(BoundReached) as reached:
        await store.journal.begin(replace(beginning("int_3", project_id="a"), bounds=bounds))
    assert (reached.value.name, reached.value.bound) == ("unsettled", 2)
    await store.journal.begin(replace(beginning("int_4", project_id="b"), bounds=bounds))
    assert await store.interactions.get("a", "int_3") is None
    fifth = replace(
        beginning("int_5", project_id="a"),
        bounds=Bounds(environments=0),
        new_environment=environment("e", project_id="a"),
    )
    with pytest.raises(BoundReached, match="environments"):
        await store.journal.begin(fifth)
    assert await store.environments.get("a", "e") is None


async def test_nothing_is_stored_any_more_for_a_project_that_was_deleted(store: Store) -> None:
    moment = now()
    file = FileRecord(
        id="f",
        state="uploading",
        blob="f",
        upload_digest="f",
        mime_type="text/plain",
        display_name=None,
        size_bytes=None,
        sha256=None,
        origin="http://127.0.0.1",
        created=moment,
        updated=moment,
        expires=moment,
        project_id="a",
        key_id="key_a",
    )
    late = (
        lambda: store.journal.begin(beginning("int_1", project_id="a")),
        lambda: store.environments.create(environment("env1", project_id="a")),
        lambda: store.files.begin(file),
        lambda: store.credentials.add(record("cred", "a"), 10),
    )
    assert await store.projects.delete("a")
    for store_it in late:
        with pytest.raises(Unauthenticated, match="'a' was deleted"):
            await store_it()
    await make_projects(store, "a")
    found = {one.id: one for one in await store.projects.all()}["a"]
    assert found.is_empty and await store.credentials.page("a", 10) == []
    for store_it in late:
        await store_it()
