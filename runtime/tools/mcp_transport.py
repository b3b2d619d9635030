"""The way of a session's requests: failures become answers, so that they end no session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2

from runtime.errors import SandlotError


class McpTransport(httpx2.AsyncBaseTransport):
    """Sends through `inner`, and remembers what went wrong last."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.problem: str | None = None
        """What was wrong with the last request, for a person."""
        self.has_expired = False
        """The server does not know the session any more."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; what cannot be sent is answered with 502."""
        if request.method == "GET" and "last-event-id" not in request.headers:
            # The stream of the server's own messages. None of them would be served.
            return httpx2.Response(405, request=request)
        self.problem = None
        try:
            response = await self._inner.handle_async_request(request)
        except SandlotError as error:
            # The address is refused, or there is no credential to sign with.
            return self._failed(request, error.message)
        except httpx2.TimeoutException:
            return self._failed(request, "the server did not answer in time")
        except httpx2.HTTPError as error:
            return self._failed(request, f"the server cannot be reached: {error}")
        if request.method == "POST":
            self._note(request, response)
        response.stream = _Quiet(response.stream, self)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    def _note(self, request: httpx2.Request, response: httpx2.Response) -> None:
        status = response.status_code
        if status == 404 and "mcp-session-id" in request.headers:
            self.has_expired = True
        if status in {401, 403}:
            self.problem = f"the server answered {status}: it does not accept these headers"
        elif 300 <= status < 400:
            place = response.headers.get("location", "nowhere")
            self.problem = f"the server answered {status}, a redirect to {place[:200]}"
        elif status >= 400:
            self.problem = f"the server answered {status}"

    def _failed(self, request: httpx2.Request, problem: str) -> httpx2.Response:
        self.problem = problem
        return httpx2.Response(502, request=request)


class _Quiet(httpx2.AsyncByteStream):
    """A body whose breaking is a `StreamError`, which a session takes for a failed request."""

    def __init__(self, stream: Any, transport: McpTransport) -> None:
        self._stream = stream
        self._transport = transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except httpx2.StreamError as error:
            self._transport.problem = str(error)
            raise
        except httpx2.HTTPError as error:
            self._transport.problem = f"the connection broke: {error}"
            raise httpx2.StreamError(self._transport.problem) from error

    async def aclose(self) -> None:
        await self._stream.aclose()
