from __future__ import annotations

from datetime import timedelta

import pytest

from runtime.clock import now
from runtime.store import Store
from tests.unit.store.records import environment

pytestmark = pytest.mark.anyio


async def test_an_environment_reads_back(store: Store) -> None:
    made = environment("a" * 32, variables={"A": "1"}, sources=[{"type": "inline"}])
    await store.environments.create(made)
    assert await store.environments.get("default", "a" * 32) == made
    assert await store.environments.get("default", "b" * 32) is None


async def test_retiring_happens_once(store: Store) -> None:
    await store.environments.create(environment("a" * 32))
    assert await store.environments.retire("default", "a" * 32, "deleted", now())
    assert not await store.environments.retire("default", "a" * 32, "expired", now())
    found = await store.environments.get("default", "a" * 32)
    assert found is not None
    assert found.status == "deleted"


async def test_expiry_spares_an_environment_that_was_used_meanwhile(store: Store) -> None:
    start = now()
    await store.environments.create(environment("a" * 32, last_used=start))
    await store.environments.touch("a" * 32, start + timedelta(seconds=5))
    assert not await store.environments.retire(
        "default", "a" * 32, "expired", now(), unused_since=start
    )
    assert await store.environments.unused_in_any_project(start) == []
    late = start + timedelta(seconds=5)
    assert [found.id for found in await store.environments.unused_in_any_project(late)] == [
        "a" * 32
    ]
    assert await store.environments.retire("default", "a" * 32, "expired", now(), unused_since=late)


async def test_pages_show_active_ones(store: Store) -> None:
    for letter in "abc":
        await store.environments.create(environment(letter * 32))
    await store.environments.retire("default", "b" * 32, "deleted", now())
    page = await store.environments.page("default", limit=10)
    assert [found.id[0] for found in page] == ["c", "a"]
    everything = await store.environments.page("default", limit=10, status=None, before="c" * 32)
    assert [found.id[0] for found in everything] == ["b", "a"]
