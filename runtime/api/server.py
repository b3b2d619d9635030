"""Serves the application, and ends open streams at once when it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from typing import Any

import anyio
import structlog
import uvicorn

from runtime import clock
from runtime.api.connections import Connection

SHUTDOWN_SECONDS = 5
SETTLE_SECONDS = 0.1
"""Who is connected when the server stops listening has so long to send what is still answered."""
KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections: who reuses one must not find it just closed."""
TELL_SECONDS = 10.0

log = structlog.get_logger(__name__)


class AcceptFaults:
    """Says in one line, now and then, why connections are not taken.

    The event loop stops taking them for a second then, goes on by itself, and would say it with a
    stack trace each time. Whatever else the loop has to tell goes on as ever.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What the loop calls."""
        error = context.get("exception")
        if "socket.accept()" not in context["message"] or not isinstance(error, OSError):
            loop.default_exception_handler(context)
        elif clock.monotonic() >= self._next:
            self._next = clock.monotonic() + TELL_SECONDS
            log.error("connections wait: none can be taken now", reason=_accept_problem(error))


def _accept_problem(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return (
            f"all {limit} files that this process may have open are in use; close streams, or "
            "start it with a higher hard limit (ulimit -Hn)"
        )
    if error.errno == errno.ENFILE:
        return "this machine has no room for more open files (fs.file-max)"
    return str(error.strerror)


class DrainingServer(uvicorn.Server):
    """Tells `draining` before it waits for the connections that are still open."""

    settle_seconds: float = SETTLE_SECONDS

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
        asyncio.get_running_loop().set_exception_handler(AcceptFaults())
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let streams end, let other answers finish."""
        self.draining.set()
        for server in self.servers:
            server.close()
        await anyio.sleep(self.settle_seconds)
        await super().shutdown(sockets)
        self.ended.set()
