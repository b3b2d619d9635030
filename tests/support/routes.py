"""The routes of an application, hidden ones and WebSockets too."""

from __future__ import annotations

from pathlib import Path

import anyio
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from runtime.api.scopes import WEBSOCKET
from runtime.cli.compose import open_controller
from runtime.schema.settings import Settings


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route; the path with its parameters in braces."""
    found: list[tuple[str, str]] = []
    for route in iter_route_contexts(app.routes):
        assert route.path is not None
        found.extend((method, route.path) for method in sorted(route.methods or {WEBSOCKET}))
    return found


def all_routes(folder: Path) -> list[tuple[str, str]]:
    """The routes of a whole controller, as it is composed; Docker need not be there."""

    async def find() -> list[tuple[str, str]]:
        async with open_controller(Settings(), folder, "key") as controller:
            return routes_of(controller.app)

    return anyio.run(find)
