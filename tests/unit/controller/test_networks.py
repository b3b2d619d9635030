"""The rules of live sandboxes, while the credentials in them change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from runtime import clock
from runtime.controller.network_rules import Grant
from runtime.controller.networks import Networks, TimedGrant
from runtime.egress.protocol import ProxySettings
from runtime.egress.proxy import EgressProxy
from runtime.egress.rules import HostRule
from runtime.schema.settings import EgressSettings
from runtime.store import NetworkChange, Store
from tests.unit.store.records import beginning, environment

pytestmark = pytest.mark.anyio
PATIENCE = 30
RULES = {"allowlist": [{"domain": "a.example", "credential": "c"}]}
TWO = {"allowlist": [*RULES["allowlist"], {"domain": "b.example", "credential": "d"}]}


class Credentials:
    """Secrets by id; `after_look` happens between the look at one and its use."""

    def __init__(self) -> None:
        self.secrets = {"c": "old"}
        self.after_look: Callable[[], Awaitable[Any]] | None = None
        self.fetching: dict[str, anyio.Event] = {}
        """What cannot be had before its event is set."""

    async def grants(self, project_id: str, ids: Iterable[str]) -> Mapping[str, TimedGrant]:
        ids = list(ids)
        for one in ids:
            if one in self.fetching:
                await self.fetching[one].wait()
        found = {one: self.secrets[one] for one in ids if one in self.secrets}
        after, self.after_look = self.after_look, None
        if after is not None:
            await after()
        # Expired at once, so that it is looked up again with the next look at all.
        return {
            one: TimedGrant(Grant(("authorization", SecretStr(secret))), clock.now())
            for one, secret in found.items()
        }


class World:
    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.credentials = Credentials()
        # No process runs: what it would be told is kept for the next one.
        self.proxy = EgressProxy(ProxySettings())
        self.networks = Networks(store, self.proxy, self.credentials, EgressSettings())

    async def add(self, name: str, network: object = RULES) -> None:
        await self.store.environments.create(environment(name, network=network))

    async def attach(self, name: str) -> None:
        await self.networks.attach(name, "sbx_1", self.folder / name, 0)

    async def detach(self, name: str) -> None:
        await self.networks.detach(name, "sbx_1")

    def rules(self, name: str) -> dict[str, HostRule]:
        return {rule.domain: rule for rule in self.proxy._attached[f"{name}.sbx_1"].rules.hosts}

    def rule(self, name: str) -> HostRule:
        return self.rules(name)["a.example"]

    async def until(self, is_so: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE):
            while not is_so():  # noqa: ASYNC110
                await anyio.sleep(0.01)

    def secret(self, name: str) -> str:
        return self.rule(name).headers[0].value.get_secret_value()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    async with Store.open(tmp_path) as store:
        yield World(store, tmp_path)


async def while_looking(world: World, work: Callable[[], Awaitable[Any]]) -> None:
    """The credential is deleted after `work` has looked it up."""
    async with anyio.create_task_group() as tasks:

        async def deleted() -> None:
            del world.credentials.secrets["c"]
            tasks.start_soon(world.networks.credential_changed, "default", "c")
            await anyio.wait_all_tasks_blocked()

        world.credentials.after_look = deleted
        with anyio.fail_after(PATIENCE):
            await work()


async def test_a_credential_deleted_while_a_network_opens_is_not_used(world: World) -> None:
    await world.add("e1")
    await while_looking(world, lambda: world.attach("e1"))
    assert "does not exist any more" in world.rule("e1").unavailable
    assert not world.rule("e1").headers
    await world.detach("e1")


async def test_nor_one_deleted_while_new_rules_come_to_name_it(world: World) -> None:
    await world.add("e1", {"allowlist": [{"domain": "a.example"}]})
    await world.attach("e1")
    change = replace(beginning("int_1"), used_environment="e1", new_network=NetworkChange(RULES))
    await world.store.journal.begin(change)
    await while_looking(world, lambda: world.networks.renew("e1"))
    assert "does not exist any more" in world.rule("e1").unavailable
    await world.detach("e1")


async def test_a_look_that_takes_for_ever_holds_up_no_other_environment(world: World) -> None:
    for name in ("e1", "e2"):
        await world.add(name)
        await world.attach(name)
    world.credentials.secrets["c"] = "new"
    world.credentials.after_look = anyio.sleep_forever
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.networks.credential_changed, "default", "c")
            while "new" not in {world.secret("e1"), world.secret("e2")}:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    for name in ("e1", "e2"):
        await world.detach(name)


async def test_nor_does_one_that_was_due_by_itself(world: World) -> None:
    hangs = anyio.Event()

    async def hang() -> None:
        hangs.set()
        await anyio.sleep_forever()

    for name in ("e1", "e2"):
        await world.add(name)
        await world.attach(name)
    world.credentials.after_look = hang
    with anyio.fail_after(PATIENCE):
        async with world.networks.open(look_seconds=0.01):
            await hangs.wait()
            for secret in ("new", "newer"):
                world.credentials.secrets["c"] = secret
                while secret not in {world.secret("e1"), world.secret("e2")}:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
    for name in ("e1", "e2"):
        await world.detach(name)


@pytest.fixture
async def fetching(world: World) -> AsyncGenerator[anyio.Event]:
    """Environment `e1` has two credentials; `d` is being fetched anew until this is set."""
    world.credentials.secrets["d"] = "old"
    await world.add("e1", TWO)
    await world.attach("e1")
    world.credentials.fetching["d"] = fetched = anyio.Event()
    yield fetched
    await world.detach("e1")


async def test_a_deleted_credential_waits_for_no_other_ones_token(
    world: World, fetching: anyio.Event
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.networks.renew, "e1")
        await anyio.wait_all_tasks_blocked()
        del world.credentials.secrets["c"]
        tasks.start_soon(world.networks.credential_changed, "default", "c")
        await world.until(lambda: bool(world.rule("e1").unavailable))
        # The other one goes on with what it had, until there is something newer.
        assert world.rules("e1")["b.example"].headers[0].value.get_secret_value() == "old"
        world.credentials.secrets["d"] = "new"
        fetching.set()
        with anyio.fail_after(PATIENCE):
            await world.networks.renew("e1")
    assert world.rules("e1")["b.example"].headers[0].value.get_secret_value() == "new"


async def test_what_changed_is_not_used_while_its_token_is_fetched(
    world: World, fetching: anyio.Event
) -> None:
    world.credentials.secrets["d"] = "new"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.networks.credential_changed, "default", "d")
        await world.until(lambda: not world.rules("e1")["b.example"].headers)
        assert "being fetched" in world.rules("e1")["b.example"].unavailable
        assert world.secret("e1") == "old"
        fetching.set()
    assert world.rules("e1")["b.example"].headers[0].value.get_secret_value() == "new"


async def test_new_rules_wait_for_no_token(world: World, fetching: anyio.Event) -> None:
    network = {"allowlist": [{"domain": "b.example", "credential": "d"}]}
    change = replace(beginning("int_1"), used_environment="e1", new_network=NetworkChange(network))
    await world.store.journal.begin(change)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.networks.renew, "e1")
        await world.until(lambda: "a.example" not in world.rules("e1"))
        fetching.set()
