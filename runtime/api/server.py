"""Serves the application, and ends open streams at once when it is told to stop."""

from __future__ import annotations

import socket
from typing import Any

import anyio
import uvicorn

from runtime.api.connections import Connection

SHUTDOWN_SECONDS = 5
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections: who reuses one must not find it just closed."""


class DrainingServer(uvicorn.Server):
    """Tells `draining` before it waits for the connections that are still open."""

    def __init__(self, app: Any, draining: anyio.Event, **config: Any) -> None:
        self.draining = draining
        settings: dict[str, Any] = {
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "lifespan": "off",
            "http": Connection,
            "timeout_keep_alive": KEEP_ALIVE_SECONDS,
            "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        }
        super().__init__(uvicorn.Config(app, **{**settings, **config}))
        self.ready = anyio.Event()
        """Set once it serves, or cannot."""
        self.ended = anyio.Event()
        """Set once nothing is served any more."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let streams end, let other answers finish."""
        self.draining.set()
        await super().shutdown(sockets)
        self.ended.set()
