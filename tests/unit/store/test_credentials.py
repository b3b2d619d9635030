from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Text

from runtime.clock import now
from runtime.schema.sealing_keys import new_key
from runtime.store import CredentialExists, CredentialRecord, Store, TooManyCredentials
from runtime.store.resealing import SEALED, Resealed, about_credential, about_network
from runtime.store.tables import metadata
from tests.unit.store.records import environment, make_projects

pytestmark = pytest.mark.anyio


def record(credential_id: str, project: str = "default", sealed: str = "s1.x") -> CredentialRecord:
    moment = now()
    return CredentialRecord(
        project, credential_id, "bearer_token", "active", sealed, 0, moment, moment
    )


async def test_ids_belong_to_a_project(store: Store) -> None:
    await make_projects(store, "other")
    await store.credentials.add(record("a"), 10)
    await store.credentials.add(record("a", "other"), 10)
    with pytest.raises(CredentialExists):
        await store.credentials.add(record("a"), 10)
    assert await store.credentials.get("third", "a") is None
    assert not await store.credentials.delete("third", "a")
    assert await store.credentials.delete("other", "a")
    found = await store.credentials.get("default", "a")
    assert found is not None and found.project_id == "default"


async def test_pages_go_by_id(store: Store) -> None:
    await make_projects(store, "other")
    for name in "cab":
        await store.credentials.add(record(name), 10)
    await store.credentials.add(record("d", "other"), 10)
    first = await store.credentials.page("default", 2)
    rest = await store.credentials.page("default", 2, first[-1].id)
    assert [one.id for one in [*first, *rest]] == ["a", "b", "c"]


async def test_a_project_has_only_so_many(store: Store) -> None:
    await make_projects(store, "other")
    await store.credentials.add(record("a"), 1)
    await store.credentials.add(record("a", "other"), 1)
    with pytest.raises(TooManyCredentials):
        await store.credentials.add(record("b"), 1)


async def test_a_change_that_is_based_on_an_older_state_is_not_made(store: Store) -> None:
    await store.credentials.add(record("a"), 10)
    read = await store.credentials.get("default", "a")
    assert read is not None
    assert await store.credentials.replace(read)
    assert not await store.credentials.replace(read)
    again = await store.credentials.get("default", "a")
    assert again is not None and again.revision == read.revision + 1


async def test_nor_one_that_is_based_on_another_credential_of_the_same_id(store: Store) -> None:
    await store.credentials.add(record("a"), 10)
    read = await store.credentials.get("default", "a")
    assert read is not None
    await store.credentials.delete("default", "a")
    await store.credentials.add(record("a", sealed="s1.other"), 10)
    assert not await store.credentials.replace(read)
    found = await store.credentials.get("default", "a")
    assert found is not None and (found.sealed, found.revision) == ("s1.other", 0)


async def seal_some(store: Store, count: int) -> None:
    for number in range(count):
        sealed = store.vault.seal(f"secret {number}", about_credential("default", f"c{number}"))
        await store.credentials.add(record(f"c{number}", sealed=sealed), count)
    of_network = store.vault.seal("[]", about_network("e1"))
    await store.environments.create(environment("e1", network_secrets=of_network))


async def test_everything_is_sealed_anew_with_the_first_key(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    async with Store.open(tmp_path, [old]) as store:
        await seal_some(store, 230)
        assert await store.resealing.run() == Resealed()
    async with Store.open(tmp_path, [new, old]) as store:
        assert await store.resealing.run() == Resealed(sealed=231)
        assert await store.resealing.run() == Resealed()
    async with Store.open(tmp_path, [new]) as store:
        kept = await store.credentials.get("default", "c229")
        assert kept is not None
        assert store.vault.unseal(kept.sealed, about_credential("default", "c229")) == "secret 229"
        environment_row = await store.environments.get("default", "e1")
        assert environment_row is not None
        network = environment_row.network_secrets
        assert network is not None and store.vault.unseal(network, about_network("e1")) == "[]"


async def test_what_cannot_be_opened_is_counted_and_kept(tmp_path: Path) -> None:
    async with Store.open(tmp_path, [new_key()]) as store:
        await seal_some(store, 3)
    async with Store.open(tmp_path, [new_key()]) as store:
        before = await store.credentials.page("default", 10)
        assert await store.resealing.run() == Resealed(lost=4)
        assert await store.credentials.page("default", 10) == before


def test_every_sealed_column_is_in_the_list() -> None:
    named = {one.column for one in SEALED}
    texts = [column for table in metadata.sorted_tables for column in table.columns]
    sealed = {column for column in texts if type(column.type) is Text}
    assert sealed == named
