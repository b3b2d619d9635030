"""The real controller with the real runner and scripted models, without sandboxes, over real HTTP.

A run that has an environment is executed in the controller like one that has none, so a script
that needs no sandbox tool needs no Docker either.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2

from runtime.api import DrainingServer, FixedKeys, Services, create_app
from runtime.api.files import FileServices
from runtime.controller.allowances import Allowances
from runtime.controller.catalogs import CatalogService
from runtime.controller.contents import Contents, open_contents
from runtime.controller.credentials import CredentialService
from runtime.controller.interactions import InteractionService
from runtime.controller.log import EventLog
from runtime.controller.networks import Networks, TimedGrant
from runtime.controller.operations import OperationService
from runtime.controller.plan import RunPlan
from runtime.controller.resolve import Resolver
from runtime.controller.runner import Runner
from runtime.controller.sandboxes import Sandboxes
from runtime.egress.protocol import ProxySettings
from runtime.egress.proxy import EgressProxy
from runtime.errors import SandboxUnavailable
from runtime.models.registry import Models
from runtime.sandboxes.docker import DockerProvider
from runtime.schema.agents import AgentSpec
from runtime.schema.model import FunctionDeclaration
from runtime.schema.sandbox_tools import TOOL_GROUPS
from runtime.schema.settings import (
    EgressSettings,
    ModelsSettings,
    SandboxSettings,
    ServerSettings,
    Settings,
)
from runtime.store import Store
from runtime.tools.oauth import TokenEndpoints
from runtime.tools.relay import ControllerTools, outbound_dialer
from tests.support.services import Agents

KEY = "test-key"
ANTIGRAVITY = AgentSpec(
    id="antigravity",
    aliases=["antigravity-preview"],
    description="A general agent.",
    sandbox_tools=[*TOOL_GROUPS["code_execution"], *TOOL_GROUPS["filesystem"]],
)
CLERK = AgentSpec(
    id="clerk", functions=[FunctionDeclaration(name="ask", description="Asks the caller.")]
)
ALIASES = {"gemini-3-pro": "script/inline", "gpt-test": "script/inline"}


class SandboxlessRuns:
    """The real runner, for plans whose environment is left out; remembers the plans."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.plans: list[RunPlan] = []

    async def submit(self, plan: RunPlan) -> None:
        self.plans.append(plan)
        await self._runner.submit(plan.model_copy(update={"environment": None}))

    async def cancel(self, interaction_id: str) -> None:
        await self._runner.cancel(interaction_id)


@dataclass(frozen=True)
class LocalController:
    url: str
    store: Store
    log: EventLog
    runs: SandboxlessRuns
    server: DrainingServer
    tools: ControllerTools
    contents: Contents
    folder: Path
    credentials: CredentialService

    def http(self, **more: Any) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30, **more)


@asynccontextmanager
async def local_controller(
    folder: Path,
    agents: Sequence[AgentSpec] = (ANTIGRAVITY, CLERK),
    settings: Settings | None = None,
    models: ModelsSettings | None = None,
) -> AsyncIterator[LocalController]:
    models = Models(models or ModelsSettings(default="gemini-3-pro", aliases=ALIASES))
    directory = Agents(agents)
    provider = DockerProvider("unused", folder / "workspaces", "{}")
    settings = settings or Settings()
    async with (
        Store.open(folder / "state") as store,
        stored_credentials(store, settings) as credentials,
        tools_with(settings, credentials) as tools,
    ):
        networks = Networks(store, EgressProxy(ProxySettings()), NoGrants(), EgressSettings())
        sandboxes = Sandboxes(provider, SandboxSettings(), folder / "sockets", _no_image, networks)
        log = EventLog(store)
        contents = open_contents(store, folder / "state", tools, settings.files)
        runner = Runner(log, sandboxes, models, tools, contents.delivery)
        async with runner.open():
            runs = SandboxlessRuns(runner)
            resolver = Resolver(
                store,
                directory,
                models,
                tools,
                contents.attachments,
                Allowances(settings),
                credentials.uses,
            )
            interactions = InteractionService(store, log, runs, resolver, contents.attachments)
            services = Services(
                interactions=interactions,
                operations=OperationService(store, interactions),
                catalogs=CatalogService(directory, models),
                keys=FixedKeys([KEY]),
                settings=ServerSettings(),
                version="0.0.0",
            )
            uploaded = FileServices(contents.files, contents.uploads)
            async with _served(services, uploaded, credentials) as (url, server):
                yield LocalController(
                    url, store, log, runs, server, tools, contents, folder, credentials
                )


@asynccontextmanager
async def stored_credentials(store: Store, settings: Settings) -> AsyncIterator[CredentialService]:
    service = CredentialService(store, TokenEndpoints(outbound_dialer(settings)))
    async with service.open():
        yield service


@asynccontextmanager
async def tools_with(
    settings: Settings, credentials: CredentialService
) -> AsyncIterator[ControllerTools]:
    tools = ControllerTools(settings, credentials.uses)
    async with tools.open():
        yield tools


@asynccontextmanager
async def _served(
    services: Services, uploaded: FileServices, credentials: CredentialService
) -> AsyncIterator[tuple[str, DrainingServer]]:
    app = create_app(services, uploaded=uploaded, stored=credentials)
    server = DrainingServer(app, services.draining)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            await server.ready.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
            server.should_exit = True


class NoGrants:
    """No credential is there."""

    async def grants(self, project_id: str, ids: Iterable[str]) -> Mapping[str, TimedGrant]:
        return {}


async def _no_image() -> str:
    raise SandboxUnavailable("There are no sandboxes in this test.")
