"""The real store, log and services around the fake `Runs`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.controller.allowances import Allowances
from runtime.controller.catalogs import CatalogService
from runtime.controller.contents import open_contents
from runtime.controller.credentials import CredentialService
from runtime.controller.directories import NoToolOffers
from runtime.controller.interactions import InteractionService
from runtime.controller.log import EventLog
from runtime.controller.operations import OperationService
from runtime.controller.resolve import Resolver
from runtime.errors import ModelNotConfigured, NotFound
from runtime.models.port import ModelInfo
from runtime.schema.agents import AgentLimits, AgentSpec, Skill
from runtime.schema.model import FunctionDeclaration, Generation
from runtime.schema.sandbox_tools import SANDBOX_TOOLS
from runtime.schema.settings import FilesSettings, Settings
from runtime.store import Store
from runtime.tools.oauth import TokenEndpoints
from runtime.tools.relay import ControllerTools, outbound_dialer
from tests.support.played_runs import PlayedRuns

ANTIGRAVITY = AgentSpec(
    id="antigravity",
    aliases=["antigravity-preview-09-2026"],
    description="A general agent.",
    instructions="Be helpful.",
    sandbox_tools=[*SANDBOX_TOOLS],
    other_tools=[{"type": "google_search"}],
    skills=[Skill(name="slides", description="Makes slides.", folder=Path("/skills/slides"))],
    environment_variables={"LEVEL": "info"},
    limits=AgentLimits(max_total_tokens=1000, timeout_seconds=30),
)
CLERK = AgentSpec(
    id="clerk",
    model="gpt",
    functions=[FunctionDeclaration(name="ask", description="Asks.")],
)


class Agents:
    def __init__(self, specs: Sequence[AgentSpec] = (ANTIGRAVITY, CLERK)) -> None:
        self._specs = {spec.id: spec for spec in specs}
        self._names = {name: spec for spec in specs for name in (spec.id, *spec.aliases)}

    def get(self, name: str) -> AgentSpec:
        if name not in self._names:
            raise NotFound(f"There is no agent '{name}'. The agents are {', '.join(self._specs)}.")
        return self._names[name]

    def list(self) -> list[AgentSpec]:
        return [self._specs[name] for name in sorted(self._specs)]


class Models:
    def __init__(self, names: Sequence[str] = ("gemini-flash", "gpt")) -> None:
        self._names = names

    @property
    def default(self) -> str | None:
        return self._names[0] if self._names else None

    def check(self, name: str) -> None:
        if name not in self._names:
            raise ModelNotConfigured(f"The model '{name}' is not configured.")

    def info(self, name: str) -> ModelInfo:
        return ModelInfo(name, f"script/{name}", "script")

    def unsupported(self, name: str, settings: Generation) -> tuple[str, str] | None:
        return None

    def known(self) -> list[ModelInfo]:
        return [ModelInfo(name, f"script/{name}", "script") for name in self._names]


class Offers(NoToolOffers):
    """Search is offered where `search` is true."""

    def __init__(self, *, search: bool = False) -> None:
        self._search = search

    async def offer(
        self, interaction_id: str, tool: dict[str, Any], project_id: str = "default"
    ) -> list[FunctionDeclaration] | None:
        if self._search and tool["type"] == "google_search":
            return [FunctionDeclaration(name="google_search")]
        return None


@dataclass(frozen=True)
class Parts:
    store: Store
    log: EventLog
    runs: PlayedRuns
    interactions: InteractionService
    operations: OperationService
    catalogs: CatalogService


@asynccontextmanager
async def open_parts(
    state_dir: Path,
    *,
    agents: Agents | None = None,
    models: Models | None = None,
    offers: Offers | None = None,
) -> AsyncIterator[Parts]:
    agents, models = agents or Agents(), models or Models()
    async with Store.open(state_dir) as store:
        log = EventLog(store)
        async with PlayedRuns.open(log) as runs:
            tools = ControllerTools(Settings())
            contents = open_contents(store, state_dir, tools, FilesSettings())
            resolver = Resolver(
                store,
                agents,
                models,
                offers or Offers(),
                contents.attachments,
                Allowances(Settings()),
                CredentialService(store, TokenEndpoints(outbound_dialer(Settings()))).uses,
            )
            interactions = InteractionService(store, log, runs, resolver, contents.attachments)
            yield Parts(
                store,
                log,
                runs,
                interactions,
                OperationService(store, interactions),
                CatalogService(agents, models),
            )
