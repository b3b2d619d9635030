"""The routes of an application, hidden ones and WebSockets too."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from runtime.api.scopes import WEBSOCKET


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route; the path with its parameters in braces."""
    found: list[tuple[str, str]] = []
    for route in iter_route_contexts(app.routes):
        assert route.path is not None
        found.extend((method, route.path) for method in sorted(route.methods or {WEBSOCKET}))
    return found
