"""The asynchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runtime.client.credentials import AsyncCredentials
from runtime.client.discovery import Endpoint, discover, find_key, state_folder
from runtime.client.environments import AsyncEnvironments
from runtime.client.faults import ControllerUnreachable
from runtime.client.interactions import AsyncAgents, AsyncInteractions, AsyncModels
from runtime.client.transport import Transport
from runtime.client.uploads import AsyncUploads
from runtime.errors import SandlotError


class AsyncClient:
    """Speaks to one controller; without an address, to the one that is running here."""

    def __init__(self, base_url: str | None = None, api_key: str | None = None) -> None:
        endpoint = endpoint_of(base_url, api_key)
        self.base_url = endpoint.url
        self._transport = Transport(endpoint.url, endpoint.api_key)
        self.interactions = AsyncInteractions(self._transport)
        self.agents = AsyncAgents(self._transport)
        self.models = AsyncModels(self._transport)
        self.environments = AsyncEnvironments(self._transport)
        self.files = AsyncUploads(self._transport)
        self.credentials = AsyncCredentials(self._transport)

    @classmethod
    def discover(
        cls, state_dir: Path | str | None = None, environ: Mapping[str, str] | None = None
    ) -> Self:
        """A client of the controller that runs on the state folder, or that `$SANDLOT_URL` names.

        Raises `ControllerUnreachable` when none is running and none is named.
        """
        found = discover(state_dir, environ)
        return cls(found.url, found.api_key)

    @property
    def auth_headers(self) -> dict[str, str]:
        """The headers that carry the key, for connections that are not HTTP."""
        return dict(self._transport.headers)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def is_alive(self) -> bool:
        """Whether the controller answers at all."""
        try:
            await self._transport.call("GET", "/livez", read_seconds=5.0)
        except ControllerUnreachable:
            return False
        return True

    async def is_ready(self) -> bool:
        """Whether the controller answers and can take work."""
        try:
            await self._transport.call("GET", "/readyz", read_seconds=5.0)
        except ControllerUnreachable:
            return False
        except SandlotError as fault:
            if fault.http_status == 503:
                return False
            raise
        return True

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Any other call of the API: JSON in, a JSON object out."""
        return await self._transport.call(method, path, body=body)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def endpoint_of(base_url: str | None, api_key: str | None) -> Endpoint:
    """What was given, completed by what can be found."""
    if base_url is None:
        found = discover()
        return Endpoint(found.url, api_key or found.api_key)
    return Endpoint(base_url, api_key or find_key(state_folder()))
