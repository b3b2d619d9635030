from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from runtime.clock import now
from runtime.controller.keys import KeyService, NewKey
from runtime.errors import InvalidRequest, NotFound, PermissionDenied
from runtime.schema.callers import OPERATOR, Caller
from runtime.store import Settlement, Store
from tests.unit.store.records import beginning

pytestmark = pytest.mark.anyio
MASTER = "sandlot_operator"
ENDED = Settlement("completed", {}, None, [], 0, [])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as store:
        yield store


@pytest.fixture
def ended() -> list[str]:
    return []


@pytest.fixture
async def keys(store: Store, ended: list[str]) -> KeyService:
    async def end(key_id: str) -> None:
        ended.append(key_id)

    found = KeyService(store, MASTER, [end])
    await found.load()
    return found


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def made(keys: KeyService, actor: Caller = OPERATOR, **order: object) -> tuple[str, Caller]:
    view = await keys.create(actor, NewKey(**order))  # type: ignore[arg-type]
    caller = keys.caller(view["key"])
    assert caller is not None
    return view["key"], caller


async def test_the_operator_needs_no_row(keys: KeyService, store: Store) -> None:
    assert keys.caller(MASTER) == OPERATOR
    assert OPERATOR.is_operator and OPERATOR.project_id == "default"
    assert await store.keys.of_all_projects() == []


@pytest.mark.parametrize("wrong", ["", "x", MASTER[:-1], MASTER + "x", MASTER.upper(), "a\udcff"])
async def test_what_is_no_key_is_nobody(keys: KeyService, wrong: str) -> None:
    assert keys.caller(wrong) is None


async def test_a_key_is_of_its_project_and_may_what_it_says(keys: KeyService) -> None:
    key, caller = await made(keys, project_id="team", scopes=("read", "run"))
    assert (caller.project_id, caller.scopes) == ("team", {"run", "read"})
    assert not caller.is_operator
    assert len(key) >= 8 + 32


async def test_only_a_hash_is_kept(keys: KeyService, store: Store, tmp_path: Path) -> None:
    key, _ = await made(keys, name="for CI")
    (record,) = await store.keys.of_all_projects()
    assert record.name == "for CI"
    assert key.startswith(record.prefix) and len(record.prefix) == 12
    held = everything(tmp_path)
    assert record.digest.encode() in held
    assert key.encode() not in held


async def test_keys_hold_after_a_start_unless_they_were_revoked(
    keys: KeyService, store: Store
) -> None:
    key, caller = await made(keys)
    gone, revoked = await made(keys)
    await keys.revoke(OPERATOR, revoked.key_id)
    again = KeyService(store, MASTER)
    await again.load()
    assert again.caller(key) == caller
    assert again.caller(gone) is None


async def test_a_revoked_key_is_nobody_at_once(keys: KeyService, ended: list[str]) -> None:
    key, caller = await made(keys)
    await keys.revoke(OPERATOR, caller.key_id)
    assert keys.caller(key) is None
    assert ended == [caller.key_id]
    await keys.revoke(OPERATOR, caller.key_id)
    (shown,) = (await keys.page(OPERATOR, None))["keys"]
    assert shown["revoked"] and "key" not in shown and "digest" not in shown


async def test_the_operators_key_cannot_be_revoked(keys: KeyService) -> None:
    with pytest.raises(InvalidRequest, match="configuration"):
        await keys.revoke(OPERATOR, "operator")
    assert keys.caller(MASTER) is not None


async def test_an_admin_stays_in_its_project(keys: KeyService) -> None:
    _, admin = await made(keys, project_id="team", scopes=("read", "admin"))
    _, other = await made(keys, project_id="other")
    _, own = await made(keys, admin, scopes=("read",))
    assert own.project_id == "team"
    for reach in (
        lambda: keys.create(admin, NewKey(project_id="other")),
        lambda: keys.page(admin, "other"),
        lambda: keys.projects(admin),
        lambda: keys.delete_project(admin, "team"),
    ):
        with pytest.raises(PermissionDenied):
            await reach()
    with pytest.raises(NotFound):
        await keys.revoke(admin, other.key_id)
    listed = (await keys.page(admin, None))["keys"]
    assert {key["project"] for key in listed} == {"team"}


async def test_nobody_gives_away_more_than_they_may(keys: KeyService) -> None:
    _, admin = await made(keys, scopes=("read", "admin"))
    with pytest.raises(PermissionDenied, match="'run'"):
        await keys.create(admin, NewKey(scopes=("run",)))


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (NewKey(project_id="Team"), "project"),
        (NewKey(project_id="-a"), "project"),
        (NewKey(project_id="a" * 41), "project"),
        (NewKey(project_id="a\n"), "project"),
        (NewKey(name=""), "name"),
        (NewKey(name="a\x1b[2J"), "name"),
        (NewKey(name="a" * 201), "name"),
        (NewKey(scopes=()), "scopes"),
    ],
)
async def test_keys_that_cannot_be(keys: KeyService, order: NewKey, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        await keys.create(OPERATOR, order)
    assert (await keys.page(OPERATOR, None))["keys"] == []


async def test_a_project_goes_with_its_keys_once_it_is_empty(
    keys: KeyService, store: Store, ended: list[str]
) -> None:
    key, caller = await made(keys, project_id="team")
    await store.journal.begin(beginning("int_1", project_id="team"))
    with pytest.raises(InvalidRequest, match="1 interactions, 0 environments and 0 files"):
        await keys.delete_project(OPERATOR, "team")
    assert keys.caller(key) == caller
    await store.journal.settle("int_1", lambda _summary, _log: ENDED, now())
    await store.journal.forget("int_1")
    await keys.delete_project(OPERATOR, "team")
    assert keys.caller(key) is None and ended == [caller.key_id]
    names = [project["id"] for project in (await keys.projects(OPERATOR))["projects"]]
    assert names == ["default"]


async def test_a_key_that_is_made_while_its_project_goes_is_valid_only_where_it_is_stored(
    keys: KeyService, store: Store
) -> None:
    made_meanwhile: list[tuple[str, Caller]] = []

    async def make() -> None:
        made_meanwhile.append(await made(keys, project_id="team"))

    for _ in range(20):
        await made(keys, project_id="team")
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(make)
            tasks.start_soon(keys.delete_project, OPERATOR, "team")
            for _ in range(3):
                tasks.start_soon(make)
    stored = {record.id for record in await store.keys.of_all_projects()}
    valid = {caller.key_id for key, caller in made_meanwhile if keys.caller(key) is not None}
    assert valid <= stored


async def test_projects_that_cannot_be_deleted(keys: KeyService) -> None:
    with pytest.raises(InvalidRequest, match="default"):
        await keys.delete_project(OPERATOR, "default")
    with pytest.raises(NotFound):
        await keys.delete_project(OPERATOR, "nothing")


async def test_it_is_stored_which_keys_were_used(keys: KeyService, store: Store) -> None:
    key, _ = await made(keys)
    await made(keys)
    keys._used.clear()
    keys.caller(key)
    keys.caller(MASTER)
    await keys._note_uses()
    used = [record.last_used is not None for record in await store.keys.of_all_projects()]
    assert used == [True, False]
