"""A real HTTP server on loopback for tests of what goes out: it answers what it was given."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    """A uvicorn server that says when it is ready and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def serving(
    app: ASGIApp, *, certificate: tuple[str, str] | None = None
) -> AsyncIterator[int]:
    """Serve `app` on a free port of loopback; yields the port."""
    options: dict[str, Any] = {}
    if certificate is not None:
        options = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]}
    config = uvicorn.Config(
        app, log_level="critical", timeout_graceful_shutdown=1, ws="none", **options
    )
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._serve, [listener])
            await server.ready.wait()
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
