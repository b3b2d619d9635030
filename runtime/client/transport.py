"""HTTP to one controller: its key on every call, its error objects turned into exceptions."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2

from runtime.client.faults import (
    ConnectionLost,
    ControllerUnreachable,
    UnexpectedAnswer,
    fault_of,
)
from runtime.errors import InvalidRequest

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
KEY_HEADER = "x-goog-api-key"
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this machine, so that no proxy may stand between."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Transport:
    """A connection pool to one controller."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url.rstrip("/")
        self.headers = {KEY_HEADER: api_key} if api_key else {}
        self._http = httpx2.AsyncClient(
            headers={"user-agent": "sandlot", **self.headers},
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not is_loopback(url),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        read_seconds: float | None = READ_SECONDS,
    ) -> dict[str, Any]:
        """Send JSON, return the JSON object of the answer.

        Raises the `SandlotError` that the controller answered, or `ControllerUnreachable` when
        there was no answer.
        """
        async with self.open(
            method, path, query=query, body=body, headers=headers, read_seconds=read_seconds
        ) as response:
            await self._read(response)
            return _json_object(response)

    @asynccontextmanager
    async def open(
        self, method: str, path: str, *, content: Any = None, **options: Any
    ) -> AsyncGenerator[httpx2.Response]:
        """The answer with its body still unread; raises as `call` does."""
        response = await self.start(method, path, content=content, **options)
        try:
            yield response
        finally:
            await response.aclose()

    async def start(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        read_seconds: float | None = READ_SECONDS,
    ) -> httpx2.Response:
        """Like `open`, but the caller closes the answer."""
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, read=read_seconds)
        try:
            request = self._http.build_request(
                method,
                self.url + path,
                params=_query(query or {}),
                json=body,
                content=content,
                headers=dict(headers or {}),
                timeout=timeout,
            )
            response = await self._http.send(request, stream=True)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as problem:
            raise InvalidRequest(f"{self.url!r} is not an HTTP address: {problem}") from problem
        except httpx2.TransportError as problem:
            raise self.unreachable(problem) from problem
        if response.status_code >= 400:
            await self._refuse(response)
        return response

    def unreachable(self, problem: httpx2.TransportError) -> ControllerUnreachable:
        """The error for a connection that failed."""
        reason = str(problem) or type(problem).__name__
        if isinstance(problem, _NEVER_SENT):
            return ControllerUnreachable(f"cannot reach the controller at {self.url}: {reason}")
        return ConnectionLost(f"the connection to the controller at {self.url} broke: {reason}")

    async def _refuse(self, response: httpx2.Response) -> None:
        try:
            await self._read(response)
        finally:
            await response.aclose()
        raise fault_of(response.status_code, response.content)

    async def _read(self, response: httpx2.Response) -> None:
        try:
            await response.aread()
        except httpx2.TransportError as problem:
            raise self.unreachable(problem) from problem


def _query(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _query_value(value) for name, value in values.items() if value is not None}


def _query_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json_object(response: httpx2.Response) -> dict[str, Any]:
    if not response.content:
        return {}
    try:
        parsed = response.json()
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise UnexpectedAnswer(
            f"{response.request.url} answered with something that is not a JSON object; "
            "is it a Sandlot controller?"
        )
    return cast("dict[str, Any]", parsed)
