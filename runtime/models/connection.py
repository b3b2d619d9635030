"""The HTTP client that every provider SDK is given: patient for so long, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a provider may take, in seconds, before it counts as gone."""

    connect_seconds: float = 10.0
    first_byte_seconds: float = 120.0
    """From the request to the head of the response."""
    between_chunks_seconds: float = 60.0
    """Between two arrivals of bytes, keep-alives included."""


_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("opened", default=None)


@contextmanager
def noting(responses: list[httpx2.Response]) -> Generator[None]:
    """Adds every response that a `PatientClient` gets meanwhile, in the same task, to the list.

    For an SDK that keeps its responses to itself: whoever has them can close them.
    """
    token = _opened.set(responses)
    try:
        yield
    finally:
        _opened.reset(token)


class PatientClient(httpx2.AsyncClient):
    """An HTTP client whose answers must begin and go on in time.

    The SDKs set timeouts of their own on each request; these win. Too slow an answer raises
    `httpx2.ReadTimeout`. Proxies are taken from the environment, as httpx2 does.
    """

    def __init__(self, patience: Patience) -> None:
        super().__init__(limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=20))
        self._patience = patience

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send, and watch over the pace of the response."""
        request.extensions = {**request.extensions, "timeout": self._timeouts()}
        seconds = self._patience.first_byte_seconds
        with anyio.move_on_after(seconds):
            response = await super().send(request, **options)
            response.stream = _PacedStream(
                response.stream, request, self._patience.between_chunks_seconds
            )
            opened = _opened.get()
            if opened is not None:
                opened.append(response)
            return response
        raise httpx2.ReadTimeout(f"no answer within {seconds:g} s", request=request)

    def _timeouts(self) -> dict[str, float | None]:
        return {
            "connect": self._patience.connect_seconds,
            "write": self._patience.between_chunks_seconds,
            "read": None,
            "pool": self._patience.connect_seconds,
        }


class _PacedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, request: httpx2.Request, seconds: float) -> None:
        self._stream = stream
        self._request = request
        self._seconds = seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks: AsyncIterator[bytes] = aiter(self._stream)
        while (chunk := await self._next(chunks)) is not None:
            yield chunk

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        with anyio.move_on_after(self._seconds):
            return await anext(chunks, None)
        raise httpx2.ReadTimeout(f"nothing came for {self._seconds:g} s", request=self._request)

    async def aclose(self) -> None:
        await self._stream.aclose()


def what_broke(error: BaseException) -> str:
    """The network error in a chain of exceptions, or that the answer was not what it should be."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (httpx2.HTTPError, httpx2.StreamError, OSError)):
            return str(cause) or type(cause).__name__
        cause = cause.__cause__ or cause.__context__
    return f"an answer that cannot be read ({type(error).__name__}: {error})"
