"""Listening and serving: a socket of our own, and uvicorn without its signal handling."""

from __future__ import annotations

import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager

from runtime.api.server import DrainingServer
from runtime.client import ControllerUnreachable

FIRST_PORT = 8080
LAST_PORT = 8099


class CannotStart(ControllerUnreachable):
    """The controller cannot start."""

    code = "cannot_start"
    retryable = False


class CannotListen(CannotStart):
    """The address cannot be listened on."""

    code = "cannot_listen"


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on `port`, or on the first free one from 8080 to 8099.

    Raises `CannotListen`.
    """
    if port is not None:
        return _bind(host, port)
    for candidate in range(FIRST_PORT, LAST_PORT + 1):
        try:
            return _bind(host, candidate)
        except CannotListen as taken:
            if not taken.retryable:
                raise
    raise CannotListen(
        f"all ports from {FIRST_PORT} to {LAST_PORT} on {host} are in use: choose one with --port"
    )


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise CannotListen(f"{host} is no address of this machine: {problem}") from problem
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except OSError as problem:
        listener.close()
        raise _explained(host, port, problem) from problem
    return listener


def _explained(host: str, port: int, problem: OSError) -> CannotListen:
    if problem.errno == errno.EADDRINUSE:
        taken = CannotListen(
            f"port {port} on {host} is in use: stop what uses it, or choose another with --port"
        )
        taken.retryable = True
        return taken
    if problem.errno == errno.EACCES:
        return CannotListen(f"port {port} needs root: choose one above 1023 with --port")
    return CannotListen(f"cannot listen on {host} port {port}: {problem.strerror}")


def url_of(listener: socket.socket, host: str) -> str:
    """The URL by which this machine reaches the socket."""
    port = listener.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # nosec B104
    if ":" in reachable and not reachable.startswith("["):
        reachable = f"[{reachable}]"
    return f"http://{reachable}:{port}"


class ApiServer(DrainingServer):
    """Serves until it is told to stop; whoever runs it listens for signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: uvicorn would end the process before anything is cleaned up."""
        yield

    async def run_until_stopped(self, listener: socket.socket) -> None:
        """Serve on `listener` until `should_exit` is set."""
        try:
            await self.serve([listener])
        finally:
            self.ready.set()
