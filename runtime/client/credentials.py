"""Stored credentials, `client.credentials`: secrets that agents use and never see."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from runtime.client.transport import Transport
from runtime.schema.credentials import Credential, CredentialPage

_PAGE = 1000
CredentialList = list[Credential]


class AsyncCredentials:
    """The credentials of the key's project; the key needs the scope `admin`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, *, type: str, id: str | None = None, **fields: Any) -> Credential:
        """Store a credential: `bearer_token`, `oauth2` or `environment_variable`.

        `fields` are those of its type, such as `token`. Raises `InvalidRequest`, and `Conflict`
        when there is one with that id.
        """
        named = {} if id is None else {"id": id}
        body = {"type": type, **named, **fields}
        made = await self._transport.call("POST", "/v1/credentials", body=body)
        return Credential.model_validate(made)

    async def get(self, id: str) -> Credential:
        """One credential, without its secrets. Raises `NotFound`."""
        return Credential.model_validate(await self._transport.call("GET", _path(id)))

    async def list(self) -> CredentialList:
        """All credentials, by id."""
        found: CredentialList = []
        query: dict[str, Any] = {"page_size": _PAGE}
        while True:
            answer = await self._transport.call("GET", "/v1/credentials", query=query)
            page = CredentialPage.model_validate(answer)
            found += page.credentials
            if page.next_page_token is None:
                return found
            query["page_token"] = page.next_page_token

    async def update(self, id: str, *, type: str, **fields: Any) -> Credential:
        """Give a credential new values; `fields` that are left out stay.

        `type` must be the one that it has. Raises `InvalidRequest` and `NotFound`.
        """
        changed = await self._transport.call("PATCH", _path(id), body={"type": type, **fields})
        return Credential.model_validate(changed)

    async def delete(self, id: str) -> None:
        """Forget a credential; hosts that need it are closed from then on. Raises `NotFound`."""
        await self._transport.call("DELETE", _path(id))


def _path(id: str) -> str:
    return f"/v1/credentials/{quote(id, safe='')}"
