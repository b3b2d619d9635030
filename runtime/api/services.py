"""What the API is built on; the composition root fills it in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import anyio
from fastapi import Depends
from starlette.requests import HTTPConnection

from runtime.api.incoming import Incoming
from runtime.controller.abandoned import Abandoned
from runtime.controller.catalogs import CatalogService
from runtime.controller.interactions import InteractionService
from runtime.controller.keys import KeyService
from runtime.controller.operations import OperationService
from runtime.controller.presence import Presence
from runtime.controller.quotas import Quotas
from runtime.schema.callers import Caller
from runtime.schema.settings import ServerSettings

Probe = Callable[[], Awaitable[None]]
"""Raises a `SandlotError` that says what is not ready."""


class KeyRing(Protocol):
    """The API keys that are valid."""

    def caller(self, key: str) -> Caller | None:
        """Who calls with `key`, None where it is not valid; as fast for every wrong one."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the routes need."""

    interactions: InteractionService
    operations: OperationService
    catalogs: CatalogService
    keys: KeyRing
    settings: ServerSettings
    version: str
    probes: Mapping[str, Probe] = field(default_factory=dict[str, Probe])
    """What `/readyz` asks, by name."""
    allowed_hosts: frozenset[str] = frozenset()
    """More names by which a controller on a loopback address may be called."""
    draining: anyio.Event = field(default_factory=anyio.Event)
    """Set when the server is going down: streams and waiting calls end at once."""
    abandoned: Abandoned = field(default_factory=Abandoned)
    quotas: Quotas = field(default_factory=Quotas)
    presence: Presence = field(default_factory=Presence)
    incoming: Incoming = field(default_factory=Incoming)
    administration: KeyService | None = None
    """Makes and revokes keys; without it there are no routes for that."""


def services_of(connection: HTTPConnection) -> Services:
    """The services of the app that serves a request or a WebSocket."""
    services: Services = connection.app.state.services
    return services


async def _services(connection: HTTPConnection) -> Services:
    # Async, because FastAPI sends dependencies that are not through a thread.
    return services_of(connection)


ServicesDep = Annotated[Services, Depends(_services)]
