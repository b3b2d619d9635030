"""The composition root: builds every part of a controller and hands each what it needs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog
from fastapi import FastAPI

import runtime
from runtime import __version__
from runtime.api.app import create_app
from runtime.api.environments import EnvironmentServices
from runtime.api.files import FileServices
from runtime.api.services import Probe, Services
from runtime.cli.networks import open_networks
from runtime.controller.allowances import Allowances
from runtime.controller.catalogs import CatalogService
from runtime.controller.contents import open_contents
from runtime.controller.credentials import CredentialService
from runtime.controller.environments import EnvironmentService
from runtime.controller.interactions import InteractionService
from runtime.controller.keys import KeyService
from runtime.controller.log import EventLog
from runtime.controller.operations import OperationService
from runtime.controller.presence import Presence
from runtime.controller.quotas import Quotas
from runtime.controller.resolve import Resolver
from runtime.controller.runner import Runner
from runtime.controller.sandboxes import Image, Sandboxes
from runtime.controller.set_ups import SetUps
from runtime.controller.storage import StoredBytes
from runtime.controller.uploads import Uploads
from runtime.errors import SandboxUnavailable
from runtime.models.registry import Models
from runtime.sandboxes.docker import DockerProvider
from runtime.sandboxes.image import find_image, image_tag
from runtime.sandboxes.port import SandboxProvider
from runtime.schema.protocol import PROTOCOL_VERSION
from runtime.schema.settings import SandboxSettings, Settings
from runtime.specs.agents import AgentCatalog, load_agents
from runtime.store import Store
from runtime.tools.oauth import TokenEndpoints
from runtime.tools.relay import ControllerTools, outbound_dialer

CHECKOUT = Path(runtime.__file__).parent.parent
AGENTS = CHECKOUT / "agents"
SCRIPTS = AGENTS / "scripts"
SECCOMP = CHECKOUT / "sandbox-image" / "seccomp.json"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller that is running."""

    app: FastAPI
    agents: list[str]
    models: list[str]
    stopping: anyio.Event
    """Set it before the server stops: open streams and waiting calls end at once."""
    runner: Runner

    async def is_idle(self) -> bool:
        """Whether no run is queued or under way."""
        return self.runner.is_idle


@asynccontextmanager
async def open_controller(
    settings: Settings, state_dir: Path, key: str
) -> AsyncGenerator[Controller]:
    """A controller on the state in `state_dir`; closed cleanly at the end.

    Raises `InvalidRequest` for wrong agents and settings, `Conflict` when another controller has
    the state.
    """
    agents = load_agents([AGENTS, *(Path(folder) for folder in settings.agents)], settings)
    models = Models(settings.models, _script_folders(settings))
    async with _open_ground(settings, state_dir) as ground, AsyncExitStack() as stack:
        store, tools, quotas = ground.store, ground.tools, ground.quotas
        contents = open_contents(store, state_dir, tools, settings.files, quotas)
        await contents.sweep(store)
        environments, attachments = ground.environments, contents.attachments
        journal = EventLog(store)
        delivery, retire = contents.delivery, environments.retire
        runner = Runner(journal, ground.sandboxes, models, tools, delivery, quotas, retire)
        await stack.enter_async_context(runner.open())
        allowances, known = Allowances(settings), ground.credentials.uses
        resolver = Resolver(store, agents, models, tools, attachments, allowances, known)
        interactions = InteractionService(store, journal, runner, resolver, attachments, quotas)
        await interactions.recover()
        presence = Presence(quotas)
        uploads = Uploads(environments)
        await stack.enter_async_context(uploads.open())
        given_up = [contents.uploads.give_up, uploads.give_up]
        keys = KeyService(store, key, [presence.end, *given_up])
        await keys.load()
        await stack.enter_async_context(
            _background(environments.expire, contents.expire, keys.note_uses)
        )
        services = Services(
            interactions=interactions,
            operations=OperationService(store, interactions),
            catalogs=CatalogService(agents, models),
            keys=keys,
            settings=settings.server,
            version=__version__,
            probes=_probes(store, ground.provider),
            quotas=quotas,
            presence=presence,
            administration=keys,
        )
        served = EnvironmentServices(environments, uploads)
        files = FileServices(contents.files, contents.uploads)
        app = create_app(services, served, uploaded=files, stored=ground.credentials)
        yield Controller(app, _names(agents), _model_names(models), services.draining, runner)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What interactions stand on."""

    store: Store
    provider: SandboxProvider
    credentials: CredentialService
    tools: ControllerTools
    quotas: Quotas
    sandboxes: Sandboxes
    environments: EnvironmentService


@asynccontextmanager
async def _open_ground(settings: Settings, state_dir: Path) -> AsyncGenerator[_Ground]:
    seccomp = SECCOMP.read_text(encoding="utf-8")
    provider = DockerProvider(_install_id(state_dir), state_dir / "workspaces", seccomp)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(provider.aclose)
        store = await stack.enter_async_context(_open_store(state_dir, settings))
        credentials = CredentialService(store, TokenEndpoints(outbound_dialer(settings)))
        tools = ControllerTools(settings, credentials.uses)
        await stack.enter_async_context(credentials.open())
        networks = await open_networks(stack, settings.egress, store, credentials.uses)
        credentials.on_change.append(networks.credential_changed)
        stored = StoredBytes(store, provider)
        quotas = Quotas(settings.quotas, settings.sandbox.max_running, stored.of)
        set_ups = SetUps(store.environments)
        sandboxes = Sandboxes(
            provider,
            settings.sandbox,
            state_dir / "s",
            _image_of(settings.sandbox),
            networks,
            quotas.sandboxes,
            set_ups,
        )
        await stack.enter_async_context(sandboxes.open())
        await stack.enter_async_context(tools.open())
        environments = EnvironmentService(
            store.environments,
            store.egress_events,
            sandboxes,
            settings.sandbox.retention_seconds,
            networks.default,
            quotas,
            set_ups,
        )
        await environments.recover()
        yield _Ground(store, provider, credentials, tools, quotas, sandboxes, environments)


@asynccontextmanager
async def _open_store(state_dir: Path, settings: Settings) -> AsyncGenerator[Store]:
    keys = [key.get_secret_value() for key in settings.credentials.keys]
    async with Store.open(state_dir, keys) as store:
        resealed = await store.resealing.run()
        if resealed.sealed:
            log.info("secrets sealed with the first key", count=resealed.sealed)
        if resealed.lost:
            log.warning("secrets cannot be opened: their key is not there", count=resealed.lost)
        yield store


@asynccontextmanager
async def _background(*works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        for work in works:
            tasks.start_soon(work)
        yield
        tasks.cancel_scope.cancel()


def _probes(store: Store, provider: SandboxProvider) -> Mapping[str, Probe]:
    async def sandboxes() -> None:
        readiness = await provider.readiness()
        if not readiness.ready:
            raise SandboxUnavailable(readiness.detail)

    return {"store": store.check, "sandboxes": sandboxes}


def _image_of(settings: SandboxSettings) -> Image:
    async def image() -> str:
        return await anyio.to_thread.run_sync(_usable_image, settings.image)

    return image


def _usable_image(name: str | None) -> str:
    name = name or image_tag()
    found = find_image(name)
    if found is None:
        raise SandboxUnavailable(
            f"The sandbox image {name} is not there. Build it: `sandlot image build`."
        )
    if found.protocol is None:
        raise SandboxUnavailable(
            f"The image {name} is not a sandbox image of Sandlot. Build one: `sandlot image build`."
        )
    if found.protocol != PROTOCOL_VERSION:
        raise SandboxUnavailable(
            f"The sandbox image {name} speaks guest protocol {found.protocol}, this controller "
            f"{PROTOCOL_VERSION}. Build the image again: `sandlot image build`."
        )
    return name


def _script_folders(settings: Settings) -> list[Path]:
    return [*(Path(folder) / "scripts" for folder in settings.agents), SCRIPTS]


def _install_id(state_dir: Path) -> str:
    path = state_dir / "install_id"
    if not path.exists():
        path.write_text(secrets.token_hex(16), encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def _names(agents: AgentCatalog) -> list[str]:
    return [agent.id for agent in agents.list()]


def _model_names(models: Models) -> list[str]:
    return models.describe().splitlines()
