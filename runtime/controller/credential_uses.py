"""What a stored credential is good for: headers of requests, values behind variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio
from anyio.abc import TaskGroup
from pydantic import SecretStr

from runtime import clock
from runtime.controller.access_tokens import AccessTokens, revoked_fault
from runtime.controller.credential_bodies import DEFAULT_HEADER, bearer_value
from runtime.controller.credential_safe import CredentialSafe, Kept
from runtime.controller.network_rules import Grant
from runtime.controller.networks import RENEW_BEFORE, TimedGrant
from runtime.errors import CredentialFault, InvalidRequest, NotFound, SandlotError
from runtime.schema.credentials import (
    BearerToken,
    CredentialType,
    EnvironmentVariable,
    Location,
    OAuth2,
)
from runtime.tools.mcp_signing import Sign, Signature

_LOOK_AGAIN = timedelta(seconds=15)
_MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class ResolvedCredential:
    """A credential, ready to be used. Its `repr` shows no secret."""

    id: str
    kind: CredentialType
    header_name: str | None = None
    """With `header_value`: of credentials that sign requests."""
    header_value: SecretStr | None = None
    """Whole, prefix included."""
    expires: datetime | None = None
    """Until when the header holds; None for as long as nobody changes it."""
    value: SecretStr | None = None
    """Of credentials behind variables, as what follows."""
    locations: frozenset[Location] = frozenset()
    domains: tuple[str, ...] = ()


class CredentialUses:
    """Looks credentials up to use them. `tasks` must be set before tokens are fetched."""

    def __init__(self, safe: CredentialSafe, tokens: AccessTokens) -> None:
        self._safe = safe
        self._tokens = tokens
        self.tasks: TaskGroup | None = None

    async def resolve(self, project_id: str, ids: Iterable[str]) -> dict[str, ResolvedCredential]:
        """All of these credentials, by id.

        Raises, with a sentence that names the id: `NotFound`, `InvalidRequest` for one that is
        revoked, `CredentialFault` when its token cannot be fetched now.
        """
        return {one: await self._resolve(project_id, one) for one in dict.fromkeys(ids)}

    async def check(self, project_id: str, named: Mapping[str, str]) -> None:
        """Whether the credentials in `named`, ids by where they are named, are there.

        Raises `InvalidRequest`, also for a revoked one.
        """
        for where, credential_id in named.items():
            try:
                await self._active(project_id, credential_id)
            except (NotFound, InvalidRequest) as error:
                raise InvalidRequest(f"{where}: {error.message}") from None

    async def grants(self, project_id: str, ids: Iterable[str]) -> Mapping[str, TimedGrant]:
        """What each of these lets requests of sandboxes carry; one not there is left out."""
        found: dict[str, TimedGrant] = {}

        async def look_up(credential_id: str) -> None:
            grant = await self._grant(project_id, credential_id)
            if grant is not None:
                found[credential_id] = grant

        async with anyio.create_task_group() as tasks:
            for one in dict.fromkeys(ids):
                tasks.start_soon(look_up, one)
        return found

    async def signature(self, project_id: str, credential_id: str) -> Sign:
        """What signs requests with a credential, each with what it holds then.

        Raises `NotFound`, and `InvalidRequest` for one that is revoked or signs nothing.
        """
        kept = await self._active(project_id, credential_id)
        if isinstance(kept.body, EnvironmentVariable):
            raise InvalidRequest(
                f"The credential '{credential_id}' is for variables of sandboxes and cannot sign "
                "requests. Name one of type 'bearer_token' or 'oauth2'."
            )

        async def sign(refused: SecretStr | None = None) -> Signature:
            now = await self._resolve(project_id, credential_id, refused)
            if now.header_name is None or now.header_value is None:
                raise InvalidRequest(f"The credential '{credential_id}' signs nothing any more.")
            return Signature(now.header_name, now.header_value)

        return sign

    async def _grant(self, project_id: str, credential_id: str) -> TimedGrant | None:
        try:
            found = await self._resolve(project_id, credential_id)
        except NotFound:
            return None
        except SandlotError as error:
            reason = (error.message[:1].lower() + error.message[1:]).rstrip(".")[:_MAX_REASON]
            # What may pass by itself is looked at again soon.
            soon = clock.now() + RENEW_BEFORE + _LOOK_AGAIN
            expires = None if isinstance(error, InvalidRequest) else soon
            return TimedGrant(Grant(unavailable=reason), expires)
        header = None
        if found.header_name is not None and found.header_value is not None:
            header = found.header_name, found.header_value
        grant = Grant(header, found.value, frozenset(found.locations), found.domains)
        return TimedGrant(grant, found.expires)

    async def _active(self, project_id: str, credential_id: str) -> Kept:
        kept = await self._safe.find(project_id, credential_id)
        if kept is None:
            raise NotFound(
                f"There is no credential '{credential_id[:80]}' in this project. "
                "Store it with `sandlot credentials create`, or `POST /v1/credentials`."
            )
        if kept.record.status == "revoked":
            raise revoked_fault(credential_id)
        return kept

    async def _resolve(
        self, project_id: str, credential_id: str, refused: SecretStr | None = None
    ) -> ResolvedCredential:
        kept = await self._active(project_id, credential_id)
        match kept.body:
            case BearerToken() as body:
                value = bearer_value(body.prefix, body.token)
                name = body.header_name or DEFAULT_HEADER
                return ResolvedCredential(credential_id, body.type, name, value)
            case OAuth2() as body:
                return await self._signed_by_token(kept, body, refused)
            case EnvironmentVariable() as body:
                return ResolvedCredential(
                    credential_id,
                    body.type,
                    value=body.value,
                    locations=frozenset(body.injection_location),
                    domains=tuple(body.trusted_domains or ()),
                )

    async def _signed_by_token(
        self, kept: Kept, body: OAuth2, refused: SecretStr | None
    ) -> ResolvedCredential:
        if self.tasks is None:
            raise CredentialFault("The controller is starting or stopping; try again.")
        held = await self._tokens.of(self.tasks, kept, refused)
        if held.value is None:
            raise CredentialFault(f"The credential '{kept.record.id}' has no token now.")
        value = bearer_value(None, held.value)
        return ResolvedCredential(
            kept.record.id, body.type, DEFAULT_HEADER, value, expires=held.expires
        )
