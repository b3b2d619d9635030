"""How requests to an MCP server get the header of a stored credential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import httpx2
from pydantic import SecretStr

from runtime.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Signature:
    """A header with its secret."""

    name: str
    value: SecretStr


class Sign(Protocol):
    """Knows the header that requests carry now."""

    async def __call__(self, refused: SecretStr | None = None) -> Signature:
        """The header; another one than `refused`, which a server did not take, if there is one.

        Raises `SandlotError`, with a sentence that names the credential.
        """
        ...


class Signatures(Protocol):
    """The stored credentials."""

    async def signature(self, project_id: str, credential_id: str) -> Sign:
        """What signs with a credential. Raises `NotFound`, and `InvalidRequest` where it cannot."""
        ...


class NoSignatures:
    """There are no stored credentials."""

    async def signature(self, project_id: str, credential_id: str) -> Sign:
        """None to sign with. Raises `InvalidRequest`."""
        raise InvalidRequest("There are no stored credentials here.")


class SigningTransport(httpx2.AsyncBaseTransport):
    """Puts a credential's header into every request to one server, in place of the caller's."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, url: str, sign: Sign) -> None:
        self._inner = inner
        self._origin = _origin(httpx2.URL(url))
        self._sign = sign

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; once more where a newer token may be taken."""
        if _origin(request.url) != self._origin:
            return await self._inner.handle_async_request(request)
        first = await self._sign()
        response = await self._send(request, first)
        if response.status_code != 401:
            return response
        second = await self._sign(refused=first.value)
        if second == first:
            return response
        await response.aclose()
        return await self._send(request, second)

    async def _send(self, request: httpx2.Request, signature: Signature) -> httpx2.Response:
        request.headers[signature.name] = signature.value.get_secret_value()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
