"""What a key must be allowed for each route: the one table of it.

A route whose resource is not in the table can be called by nobody; a test names it.
"""

from __future__ import annotations

from typing import Literal

from runtime.schema.callers import Scope

WEBSOCKET = "WEBSOCKET"
"""Stands for the method of a WebSocket."""
Kind = Literal["work", "look", "keep"]

_KINDS: dict[str, Kind] = {
    "interactions": "work",
    "operations": "work",
    "environments": "work",
    "files": "work",
    "uploads": "work",
    "responses": "work",
    "chat": "work",
    "agents": "work",
    "models": "look",
    "voices": "look",
    "decisions": "look",
    "keys": "keep",
    "projects": "keep",
    "credentials": "keep",
}
"""By the first part of a path: looking at it is `read`, and anything else `run`; or all is `read`;
or all is `admin`."""
OPEN = frozenset(
    {
        "/livez",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        # The secret in the address stands for the key.
        "/upload/v1/file-uploads/{upload_id}",
    }
)
"""Routes that take no key."""


def needed_scope(method: str, path: str) -> Scope | None:
    """The scope that a call needs; None where no scope is enough.

    `path` is in the one spelling that the routes know, and the routes see the same one.
    """
    _, *parts = path.split("/", 4)
    kind = _KINDS.get(_resource(parts))
    if kind == "keep":
        return "admin"
    if kind == "look" or (kind == "work" and _only_looks(method, parts)):
        return "read"
    return "run" if kind == "work" else None


def _resource(parts: list[str]) -> str:
    if parts and parts[0] in {"upload", "openai"}:
        parts = parts[1:]
    return parts[1] if len(parts) > 1 and parts[0] == "v1" else ""


def _only_looks(method: str, parts: list[str]) -> bool:
    if method in {"GET", "HEAD"}:
        return True
    # Waiting for an operation changes nothing.
    return method == "POST" and parts[1] == "operations" and parts[-1].endswith(":wait")
