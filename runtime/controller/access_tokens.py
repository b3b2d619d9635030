"""Access tokens of OAuth credentials: fetched when needed, kept until shortly before they expire.

Each credential has one fetch under way at most; all who need its token wait for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskGroup
from pydantic import SecretStr

from runtime import clock
from runtime.controller.credential_safe import CredentialSafe, Kept
from runtime.errors import CredentialFault, Internal, InvalidRequest, SandlotError
from runtime.schema.credentials import OAuth2
from runtime.store import CredentialRecord
from runtime.tools.oauth import AccessToken, RefreshGrant, RefreshRefused

EARLY = timedelta(seconds=120)
"""How long before it expires a token is replaced; of a short-lived one, half of its life."""
AGAIN_AFTER = timedelta(seconds=10)
"""How long a failure stands before the server is asked again."""
YOUNG = timedelta(seconds=30)
"""A token that is refused at this age is not the reason; no other one is fetched."""
_ATTEMPTS = 3
Key = tuple[str, str]

log = structlog.get_logger(__name__)


class TokenSource(Protocol):
    """Where access tokens come from."""

    def check(self, url: str) -> None:
        """Whether tokens may be asked for at `url`. Raises `InvalidRequest`."""
        ...

    async def refresh(self, grant: RefreshGrant) -> AccessToken:
        """A new access token. Raises `RefreshRefused` and `CredentialFault`."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A token that holds, or why there is none for now."""

    record: CredentialRecord = field(repr=False)
    """The credential that it was fetched with; nothing of an older one is used."""
    fetched: datetime
    until: datetime
    """Used until then."""
    expires: datetime
    value: SecretStr | None = None
    fault: SandlotError | None = field(default=None, repr=False)

    def fits(self, record: CredentialRecord) -> bool:
        """Whether it is of this credential, and of no older state of it."""
        return self.record.created == record.created and self.record.revision >= record.revision


class AccessTokens:
    """The tokens of all OAuth credentials."""

    def __init__(
        self, safe: CredentialSafe, source: TokenSource, revoked: Callable[[str, str], None]
    ) -> None:
        """`revoked` is told the project and id of a credential whose refresh token was refused."""
        self._safe = safe
        self._source = source
        self._revoked = revoked
        self._held: dict[Key, Held] = {}
        self._flights: dict[Key, anyio.Event] = {}

    async def of(self, tasks: TaskGroup, kept: Kept, refused: SecretStr | None = None) -> Held:
        """The token of a credential, fetched in `tasks` if need be, once for all who wait for it.

        Raises `InvalidRequest` when the refresh token is refused, `CredentialFault` when no token
        can be had now.
        """
        key = kept.record.project_id, kept.record.id
        self._drop_refused(key, refused)
        held = self._held.get(key)
        if held is not None and held.fits(kept.record) and clock.now() < held.until:
            return _outcome(held)
        for _ in range(_ATTEMPTS):
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = anyio.Event()
                tasks.start_soon(self._fly, kept.record, flight)
            await flight.wait()
            held = self._held.get(key)
            # One that began before the credential was changed brought nothing of use.
            if held is not None and held.fits(kept.record):
                return _outcome(held)
        raise CredentialFault(f"The credential '{key[1]}' was changed meanwhile; try again.")

    def forget(self, project_id: str, credential_id: str) -> None:
        """Drop what is held for a credential that changed or is gone."""
        self._held.pop((project_id, credential_id), None)

    def _drop_refused(self, key: Key, refused: SecretStr | None) -> None:
        held = self._held.get(key)
        if held is None or refused is None or held.value is None:
            return
        is_meant = refused.get_secret_value().endswith(held.value.get_secret_value())
        if is_meant and clock.now() - held.fetched > YOUNG:
            del self._held[key]

    async def _fly(self, record: CredentialRecord, flight: anyio.Event) -> None:
        key = record.project_id, record.id
        try:
            await self._fetch(key)
        except SandlotError as error:
            # The database; nobody need wait longer for it.
            self._note_trouble(record, error)
        except Exception:
            log.exception("a token could not be fetched", project=key[0], credential=key[1])
            self._note_trouble(record, Internal())
        finally:
            del self._flights[key]
            flight.set()

    async def _fetch(self, key: Key) -> None:
        kept = await self._safe.find(*key)
        if kept is None or not isinstance(kept.body, OAuth2):
            self._held.pop(key, None)
            return
        if kept.record.status == "revoked":
            self._note_fault(kept.record, revoked_fault(key[1]))
            return
        try:
            token = await self._source.refresh(_grant(kept.body))
        except RefreshRefused:
            await self._revoke(kept)
        except CredentialFault as error:
            self._note_trouble(kept.record, unusable_fault(key[1], error))
        else:
            with anyio.CancelScope(shield=True):
                # What the server replaced is worth nothing any more: the new one must be kept.
                await self._take(key, kept, kept.body, token)

    async def _take(self, key: Key, kept: Kept, used: OAuth2, token: AccessToken) -> None:
        moment = clock.now()
        record = kept.record
        if token.refresh_token is not None and token.refresh_token != used.refresh_token:
            record = await self._rotate(kept, used, token.refresh_token)
        lifetime = timedelta(seconds=token.lifetime_seconds)
        expires = moment + lifetime
        until = expires - min(EARLY, lifetime / 2)
        self._held[key] = Held(record, moment, until, expires, value=token.value)

    async def _rotate(self, kept: Kept, used: OAuth2, new: SecretStr) -> CredentialRecord:
        """Store the next refresh token; the credential since then."""
        current: Kept | None = kept
        while current is not None and isinstance(current.body, OAuth2):
            if current.body.refresh_token != used.refresh_token:
                # The caller gave another one meanwhile; theirs counts.
                break
            body = current.body.model_copy(update={"refresh_token": new})
            stored = await self._safe.replace(Kept(current.record, body))
            if stored is not None:
                return stored.record
            current = await self._safe.find(kept.record.project_id, kept.record.id)
        return kept.record

    async def _revoke(self, kept: Kept) -> None:
        record = replace(kept.record, status="revoked", updated=clock.now())
        stored = await self._safe.replace(Kept(record, kept.body))
        if stored is None:
            # It was changed meanwhile; whoever waits asks again with what it holds now.
            return
        self._note_fault(stored.record, revoked_fault(record.id))
        log.warning("credential revoked", project=record.project_id, credential=record.id)
        self._revoked(record.project_id, record.id)

    def _note_trouble(self, record: CredentialRecord, fault: SandlotError) -> None:
        """What may pass: a token that was to be replaced early is used as long as it holds."""
        key, moment = (record.project_id, record.id), clock.now()
        held = self._held.get(key)
        if held is None or held.value is None or not held.fits(record) or held.expires <= moment:
            self._note_fault(record, fault)
            return
        self._held[key] = replace(held, until=min(moment + AGAIN_AFTER, held.expires))
        log.warning("token not replaced yet", project=key[0], credential=key[1], why=fault.message)

    def _note_fault(self, record: CredentialRecord, fault: SandlotError) -> None:
        moment = clock.now()
        until = moment + AGAIN_AFTER
        key = record.project_id, record.id
        self._held[key] = Held(record, moment, until, until, fault=fault)


def _outcome(held: Held) -> Held:
    if held.fault is not None:
        raise type(held.fault)(held.fault.message)
    return held


def revoked_fault(credential_id: str) -> InvalidRequest:
    """Why a revoked credential is of no use."""
    return InvalidRequest(
        f"The credential '{credential_id}' is revoked: its token endpoint refused the refresh "
        "token. Give it a new one (PATCH /v1/credentials, or `sandlot credentials update`)."
    )


def unusable_fault(credential_id: str, error: SandlotError) -> CredentialFault:
    """The same fault, with the name of the credential."""
    why = error.message.rstrip(".")
    return CredentialFault(f"The credential '{credential_id}' cannot be used now: {why}.")


def _grant(body: OAuth2) -> RefreshGrant:
    return RefreshGrant(
        body.token_url,
        body.client_id,
        body.client_secret,
        body.refresh_token,
        tuple(body.scopes or ()),
    )
