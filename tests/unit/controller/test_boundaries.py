"""Mistakes in the background: they are logged, and everything else goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from runtime.boundaries import contained
from runtime.controller.environments import EnvironmentService
from runtime.controller.log import EventLog
from runtime.controller.networks import Networks
from runtime.controller.plan import RunPlan
from runtime.controller.ports import NoDelivery, NoRelayedTools
from runtime.controller.runner import Runner
from runtime.controller.sandboxes import Sandboxes
from runtime.egress.protocol import ProxySettings
from runtime.egress.proxy import EgressProxy
from runtime.errors import SandboxUnavailable, StorageFull
from runtime.models.registry import Models
from runtime.sandboxes.docker import DockerProvider
from runtime.schema.content import TextContent
from runtime.schema.protocol import RunSpec
from runtime.schema.settings import EgressSettings, ModelsSettings, SandboxSettings
from runtime.schema.steps import Step, UserInputStep
from runtime.store import Store
from tests.support.local_controller import NoGrants
from tests.unit.store.records import beginning

pytestmark = pytest.mark.anyio
PATIENCE = 30
Logged = list[MutableMapping[str, Any]]


def test_an_error_becomes_a_line_of_the_log() -> None:
    with capture_logs() as logged:
        with contained("a chore failed", name="x"):
            raise StorageFull("The disk is full.")
        with contained("a chore failed", name="y"):
            raise KeyError("not foreseen")
    assert [(one["log_level"], one["name"]) for one in logged] == [("warning", "x"), ("error", "y")]
    assert logged[0]["error"] == "The disk is full." and logged[1]["exc_info"]


async def test_a_cancellation_is_no_error() -> None:
    with capture_logs() as logged, anyio.move_on_after(0) as scope, contained("never"):
        await anyio.sleep_forever()
    assert scope.cancelled_caught and logged == []


def sandboxes_of(store: Store, folder: Path) -> Sandboxes:
    """Sandboxes of which none can be started."""

    async def no_image() -> str:
        raise SandboxUnavailable("There are no sandboxes in this test.")

    provider = DockerProvider("unused", folder / "workspaces", "{}")
    networks = Networks(store, EgressProxy(ProxySettings()), NoGrants(), EgressSettings())
    return Sandboxes(provider, SandboxSettings(), folder / "s", no_image, networks)


async def goes_on_after(work: Callable[[], Awaitable[None]], said: str, logged: Logged) -> None:
    """`work`, which is for ever, says `said` and is still there."""
    ended = False

    async def watched() -> None:
        nonlocal ended
        await work()
        ended = True

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched)
            while not any(one["event"] == said for one in logged):  # noqa: ASYNC110
                await anyio.sleep(0.01)
            await anyio.lowlevel.checkpoint()
            assert not ended
            tasks.cancel_scope.cancel()


async def test_a_database_that_fails_does_not_end_the_search_for_old_environments(
    tmp_path: Path,
) -> None:
    async with Store.open(tmp_path / "state") as store:
        sandboxes = sandboxes_of(store, tmp_path)
        service = EnvironmentService(store.environments, store.egress_events, sandboxes, 60)
        connection = sqlite3.connect(tmp_path / "state" / "sandlot.db")
        connection.execute("ALTER TABLE environments RENAME TO lost")
        connection.close()
        with capture_logs() as logged:
            await goes_on_after(service.expire, "unused environments not looked for", logged)


class Clumsy(NoRelayedTools):
    """Tools that cannot be let go of."""

    async def release(self, interaction_id: str) -> None:
        raise RuntimeError("not foreseen")


class Forgetful(EventLog):
    """A log whose first end is not stored, for a reason that nobody foresaw."""

    is_first = True

    async def settle(self, *arguments: Any, **more: Any) -> bool:
        if self.is_first:
            self.is_first = False
            raise RuntimeError("not foreseen")
        return await super().settle(*arguments, **more)


def plan(name: str) -> RunPlan:
    history: list[Step] = [UserInputStep(content=[TextContent(text="Hello")])]
    return RunPlan(
        interaction_id=name, spec=RunSpec(run_id=name, model="script/inline", history=history)
    )


async def status(log: EventLog, store: Store, name: str) -> str:
    with anyio.fail_after(PATIENCE):
        await log.wait_settled(name)
    found = await store.interactions.summary("default", name)
    assert found is not None
    return found.status


async def test_a_run_that_breaks_off_takes_no_other_with_it(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "state") as store:
        log, models = Forgetful(store), Models(ModelsSettings())
        sandboxes = sandboxes_of(store, tmp_path)
        runner = Runner(log, sandboxes, models, Clumsy(), NoDelivery())
        with capture_logs() as logged:
            async with runner.open():
                for name, expected in (("int_1", "failed"), ("int_2", "completed")):
                    await store.journal.begin(beginning(name))
                    await runner.submit(plan(name))
                    assert await status(log, store, name) == expected
        said = [one["event"] for one in logged if one["log_level"] == "error"]
        assert said == ["a run broke off", "tools not released", "tools not released"]
