"""WebSockets to an environment: commands and terminals."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from runtime.client import ControllerUnreachable, UnexpectedAnswer
from runtime.client.discovery import Endpoint
from runtime.client.faults import fault_in, fault_of
from runtime.client.transport import KEY_HEADER, is_loopback

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
OPEN_SECONDS = 90.0
"""A sleeping environment has to be woken first."""


@asynccontextmanager
async def environment_socket(
    endpoint: Endpoint, environment: str, kind: str, query: Mapping[str, Any] | None = None
) -> AsyncGenerator[ClientConnection]:
    """An open WebSocket to `exec` or `terminal` of an environment.

    Raises the `SandlotError` that the controller answered, or `ControllerUnreachable`.
    """
    path = f"/v1/environments/{quote(environment, safe='')}/{kind}"
    url = _socket_url(endpoint.url) + path + (f"?{urlencode(query)}" if query else "")
    try:
        socket = await connect(
            url,
            additional_headers={KEY_HEADER: endpoint.api_key or ""},
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=OPEN_SECONDS,
            proxy=None if is_loopback(endpoint.url) else True,
        )
    except InvalidStatus as refused:
        raise fault_of(refused.response.status_code, bytes(refused.response.body)) from refused
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as problem:
        raise ControllerUnreachable(
            f"cannot reach the controller at {endpoint.url}: {problem}"
        ) from problem
    async with socket:
        yield socket


def went_away(closed: ConnectionClosed) -> ControllerUnreachable:
    """The error for a connection that broke before the exit status came."""
    reason = closed.rcvd.reason if closed.rcvd else ""
    return ControllerUnreachable(f"the sandbox went away: {reason or 'the connection broke'}")


def _socket_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest.rstrip('/')}"


def exit_status_of(message: str) -> int | None:
    """The exit status in a text frame; None for a frame that says something else.

    Raises the error that the frame carries.
    """
    try:
        parsed: Any = json.loads(message)
    except ValueError as problem:
        raise UnexpectedAnswer(f"the controller sent {message[:100]!r}") from problem
    match parsed:
        case {"exit_status": int(status)}:
            return status
        case {"error": dict()}:
            raise fault_in(parsed)
        case _:
            return None
