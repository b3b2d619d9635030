"""The real application behind a real uvicorn on a free loopback port, with the fake `Runs`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from fastapi import APIRouter

from runtime.api import DrainingServer, FixedKeys, KeyRing, Probe, Services, create_app
from runtime.schema.settings import ServerSettings
from tests.support.services import Parts, open_parts

KEY = "test-key"
HEADERS = {"x-goog-api-key": KEY}


@dataclass(frozen=True)
class Running:
    url: str
    port: int
    parts: Parts
    server: DrainingServer
    services: Services

    def client(self, **more: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, headers=HEADERS, timeout=30, **more)


@asynccontextmanager
async def running(
    state_dir: Path,
    *,
    settings: ServerSettings | None = None,
    probes: Mapping[str, Probe] | None = None,
    keys: KeyRing | None = None,
    more: Sequence[APIRouter] = (),
    **parts: Any,
) -> AsyncIterator[Running]:
    async with open_parts(state_dir, **parts) as opened:
        services = Services(
            interactions=opened.interactions,
            operations=opened.operations,
            catalogs=opened.catalogs,
            keys=keys or FixedKeys([KEY]),
            settings=settings or ServerSettings(),
            version="0.0.0",
            probes={"store": opened.store.check, **(probes or {})},
        )
        server = DrainingServer(create_app(services, more=more), services.draining)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.serve, [listener])
                await server.ready.wait()
                yield Running(f"http://127.0.0.1:{port}", port, opened, server, services)
                server.should_exit = True
