from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from runtime import clock
from runtime.controller.plan import EnvironmentPlan
from runtime.controller.set_ups import SetUps
from runtime.errors import Conflict, NotFound
from runtime.store import EnvironmentRecord, Store
from tests.unit.store.records import environment

pytestmark = pytest.mark.anyio
ID = "a" * 32
PATIENCE = 30


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    async with Store.open(tmp_path) as store:
        await store.environments.create(environment(ID, pending=True))
        yield store


def plan(*, is_new: bool) -> EnvironmentPlan:
    return EnvironmentPlan(environment_id=ID, is_new=is_new)


async def test_who_comes_too_early_is_told_to_come_again(store: Store) -> None:
    with pytest.raises(Conflict, match="still being set up"):
        await SetUps(store.environments, patience_seconds=0.01).ready("default", ID)


async def test_who_waits_gets_what_is_ready(store: Store) -> None:
    set_ups = SetUps(store.environments, PATIENCE)
    found: list[EnvironmentRecord] = []

    async def wait() -> None:
        found.append(await set_ups.ready("default", ID))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        await set_ups.finish(ID)
    assert [one.pending for one in found] == [False]
    await set_ups.check(plan(is_new=False))


async def test_who_waits_for_nothing_is_told_why(store: Store) -> None:
    set_ups = SetUps(store.environments, PATIENCE)
    refused: list[str] = []

    async def wait() -> None:
        with pytest.raises(NotFound) as refusal:
            await set_ups.ready("default", ID)
        refused.append(refusal.value.message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        await store.environments.retire("default", ID, "deleted", clock.now())
        set_ups.give_up(ID)
    assert "could not be set up" in refused[0]


async def test_only_who_sets_it_up_may_have_a_sandbox_of_it(store: Store) -> None:
    set_ups = SetUps(store.environments)
    await set_ups.check(plan(is_new=True))
    with pytest.raises(NotFound, match="could not be set up"):
        await set_ups.check(plan(is_new=False))
    await set_ups.finish(ID)
    await store.environments.retire("default", ID, "deleted", clock.now())
    with pytest.raises(NotFound, match="There is no environment"):
        await set_ups.check(plan(is_new=True))
