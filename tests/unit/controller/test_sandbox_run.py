"""A run whose guest does not play along, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from runtime.controller.guest_answers import MAX_CODE, MAX_MESSAGE
from runtime.controller.live_sandbox import LiveSandbox
from runtime.controller.log import EventLog
from runtime.controller.plan import RunPlan
from runtime.controller.ports import NoDelivery
from runtime.controller.sandbox_run import SandboxRun
from runtime.gateway.listener import SandboxListener
from runtime.models.registry import Models
from runtime.sandboxes.docker import DockerProvider
from runtime.schema.framing import encode_frame
from runtime.schema.model import TextPart
from runtime.schema.protocol import (
    GATEWAY_SOCKET,
    PROTOCOL_VERSION,
    ModelParts,
    RunSpec,
)
from runtime.schema.settings import ModelsSettings, SandboxSettings, Settings
from runtime.store import Store
from runtime.tools.relay import ControllerTools

pytestmark = pytest.mark.anyio
HELLO = {"type": "hello", "protocol": PROTOCOL_VERSION, "guest_version": "x", "boot_id": "b"}
PATIENCE = 30
PLAN = RunPlan(interaction_id="int_1", spec=RunSpec(run_id="run_1", model="m", history=[]))


@asynccontextmanager
async def run_of(folder: Path) -> AsyncGenerator[tuple[SandboxRun, LiveSandbox, SocketStream]]:
    """A run that can begin, its sandbox, and the guest's end of the line."""
    listener = SandboxListener(folder / "s")
    await listener.bind(0)
    provider = DockerProvider("unused", folder / "workspaces", "{}")
    scope, settings = anyio.CancelScope(), SandboxSettings()
    sandbox = LiveSandbox("sbx", "env", "default", listener, scope, provider, settings)
    tools = ControllerTools(Settings())
    async with (
        Store.open(folder / "state") as store,
        await anyio.connect_unix(listener.directory / GATEWAY_SOCKET) as guest,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve)
        models = Models(ModelsSettings())
        run = SandboxRun(PLAN, sandbox, EventLog(store), models, tools, NoDelivery())
        await guest.send(encode_frame(HELLO))
        yield run, sandbox, guest
        tasks.cancel_scope.cancel()
    listener.remove()


async def test_a_guest_that_reads_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with run_of(tmp_path) as (run, sandbox, _):
        session = await sandbox.session()
        with anyio.move_on_after(0.5) as full:
            while True:
                part = TextPart(text="x" * 100_000)
                await session.send(ModelParts(call_id="c", parts=[part]))
        assert full.cancelled_caught, "nothing more goes out"
        with anyio.fail_after(PATIENCE):
            assert not await run.stop()


async def test_an_end_takes_no_more_room_than_a_few_sentences(tmp_path: Path) -> None:
    async with run_of(tmp_path) as (run, _, guest):
        error = {"code": "x" * 1_000_000, "message": "y" * 1_000_000}
        outcome = {"status": "failed", "error": error}
        await guest.send(encode_frame({"type": "run_ended", "run_id": "run_1", "outcome": outcome}))
        with anyio.fail_after(PATIENCE):
            told = await run.execute()
        assert told.status == "failed"
        assert told.error is not None
        assert (len(told.error.code), len(told.error.message)) == (MAX_CODE, MAX_MESSAGE)
