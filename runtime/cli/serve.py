"""`sandlot serve`: one controller, from its start to its clean end."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import typer

from runtime.cli.compose import Controller, open_controller
from runtime.cli.connection import Home, home
from runtime.cli.limits import raise_open_files
from runtime.cli.logbook import open_logbook
from runtime.cli.server import ApiServer, CannotStart, listen, url_of
from runtime.cli.state import (
    ServerKey,
    announced,
    claim_if_unused,
    prepare,
    refuse_public_address,
    server_key,
)
from runtime.client.discovery import StateFolder
from runtime.errors import Conflict
from runtime.groups import collapsed
from runtime.sandboxes.docker_connection import docker_facts
from runtime.sandboxes.strictness import weaknesses
from runtime.schema.settings import Settings

_WATCH_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ServeOrder:
    """What the command line asked for; None leaves it to the configuration."""

    host: str | None = None
    port: int | None = None
    state_dir: Path | None = None
    config: Path | None = None
    while_used: bool = False
    """End by itself when no command uses it and nothing runs."""


def serve(order: ServeOrder) -> None:
    """Serve until SIGINT or SIGTERM. Raises `CannotStart` and `InvalidRequest`."""
    here = home(order.state_dir, order.config)
    prepare(here.folder)
    key = server_key(here.folder, here.settings.server)
    host = order.host or here.settings.server.host
    refuse_public_address(host, key)
    if here.settings.sandbox.strict:
        _refuse_weakness(here.settings)
    open_logbook()
    raise_open_files()
    with _one_error():
        anyio.run(_serve, order, here, key, host)


def _refuse_weakness(settings: Settings) -> None:
    """Raise `CannotStart` with every reason, where strangers could not be kept apart."""
    found = weaknesses(settings.sandbox, docker_facts())
    if found:
        reasons = "\n".join(f"- {reason}" for reason in found)
        raise CannotStart(f"sandbox.strict is set, and this is too weak for it:\n{reasons}")


@contextmanager
def _one_error() -> Generator[None]:
    """Raise the error that ended all tasks by itself, not in the groups that it passed through."""
    try:
        with collapsed():
            yield
    except Conflict as taken:
        raise CannotStart(taken.message) from taken


async def _serve(order: ServeOrder, here: Home, key: ServerKey, host: str) -> None:
    stop = anyio.Event()
    async with anyio.create_task_group() as watches:
        watches.start_soon(_stop_on_signal, stop)
        settings = _listening_on(here.settings, host)
        async with open_controller(settings, here.folder.path, key.value) as controller:
            if order.while_used:
                watches.start_soon(_stop_when_unused, here.folder, controller, stop)
            with listen(host, _port(order, here)) as listener:
                url = url_of(listener, host)
                async with _serving(controller, listener):
                    with announced(here.folder, url, occasional=order.while_used):
                        _greet(url, key, controller)
                        # What is there now stays: a collection that looked at all of it each
                        # time would hold every stream up for a third of a second.
                        gc.freeze()
                        await stop.wait()
        watches.cancel_scope.cancel()


@asynccontextmanager
async def _serving(controller: Controller, listener: socket.socket) -> AsyncGenerator[None]:
    """The API, served for the block; then streams end at once and other answers soon."""
    server = ApiServer(controller.app, controller.stopping)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run_until_stopped, listener)
        await server.ready.wait()
        try:
            yield
        finally:
            server.should_exit = True


def _listening_on(settings: Settings, host: str) -> Settings:
    """The settings with the host that really counts: which names are foreign depends on it."""
    server = settings.server.model_copy(update={"host": host})
    return settings.model_copy(update={"server": server})


def _port(order: ServeOrder, here: Home) -> int | None:
    if order.port is not None or order.while_used:
        return order.port
    server = here.settings.server
    return server.port if "port" in server.model_fields_set else None


async def _stop_on_signal(stop: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop.set()


async def _stop_when_unused(folder: StateFolder, controller: Controller, stop: anyio.Event) -> None:
    while True:
        await anyio.sleep(_WATCH_SECONDS)
        with claim_if_unused(folder) as unused:
            if unused and await controller.is_idle():
                stop.set()
                # The claim is kept until everything is closed: who comes now waits for that.
                await anyio.sleep_forever()


def _greet(url: str, key: ServerKey, controller: Controller) -> None:
    typer.echo(f"Sandlot listens on {url} (documentation: {url}/docs)")
    typer.echo(f"API key: {key.origin}")
    typer.echo(f"agents: {', '.join(controller.agents) or 'none'}")
    typer.echo(f"models: {', '.join(controller.models) or 'none'}")
