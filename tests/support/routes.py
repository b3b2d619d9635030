"""The routes of a whole controller, hidden ones and WebSockets too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from runtime.api.scopes import WEBSOCKET
from runtime.cli.compose import open_controller
from runtime.schema.settings import Settings

ROOT = Path(__file__).parents[2]


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route; the path with its parameters in braces."""
    found: list[tuple[str, str]] = []
    for route in iter_route_contexts(app.routes):
        assert route.path is not None
        found.extend((method, route.path) for method in sorted(route.methods or {WEBSOCKET}))
    return found


def all_routes(folder: Path) -> list[tuple[str, str]]:
    """The routes of a controller as it is composed, in a process of its own."""
    command = [sys.executable, "-m", __name__, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
    return [(method, path) for method, path in json.loads(done.stdout.splitlines()[-1])]


async def _print_routes(folder: str) -> None:
    async with open_controller(Settings(), Path(folder), "key") as controller:
        print(json.dumps(routes_of(controller.app)))


if __name__ == "__main__":
    anyio.run(_print_routes, sys.argv[1])
