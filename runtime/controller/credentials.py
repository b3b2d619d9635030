"""The credentials of projects: made, listed, changed, deleted; who uses them is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio
import structlog

from runtime import clock
from runtime.controller.access_tokens import AccessTokens, TokenSource
from runtime.controller.credential_bodies import (
    changes_anything,
    merged,
    read_body,
    read_update,
)
from runtime.controller.credential_safe import CredentialSafe, Kept
from runtime.controller.credential_uses import CredentialUses, ResolvedCredential
from runtime.errors import Conflict, InvalidRequest, NotFound, SandlotError
from runtime.schema.credentials import CredentialBody, CredentialUpdate, OAuth2
from runtime.store import CredentialExists, CredentialRecord, Store, TooManyCredentials

Json = dict[str, Any]
Listener = Callable[[str, str], Awaitable[None]]
"""Is told the project and the id of a credential that changed."""
MAX_CREDENTIALS = 1000
"""Of one project."""

log = structlog.get_logger(__name__)


class CredentialService:
    """Everything that is done with credentials."""

    def __init__(self, store: Store, source: TokenSource) -> None:
        self._rows = store.credentials
        self._source = source
        self._safe = CredentialSafe(store)
        self._tokens = AccessTokens(self._safe, source, self._was_revoked)
        self.uses = CredentialUses(self._safe, self._tokens)
        self.on_change: list[Listener] = []
        """Told of each credential that was made, changed, revoked or deleted, before the call that
        did it is answered. What expires by itself says so in `ResolvedCredential.expires`."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Tokens are fetched inside."""
        async with anyio.create_task_group() as tasks:
            self.uses.tasks = tasks
            try:
                yield
            finally:
                self.uses.tasks = None
                tasks.cancel_scope.cancel()

    async def create(self, project_id: str, body: Any) -> Json:
        """Store a new credential. Raises `InvalidRequest`, `Conflict`."""
        read = read_body(body)
        self._check_token_url(read)
        credential_id = read.id or str(uuid4())
        moment = clock.now()
        record = CredentialRecord(
            project_id=project_id,
            id=credential_id,
            type=read.type,
            status="active",
            sealed=self._safe.sealed(project_id, credential_id, read),
            revision=0,
            created=moment,
            updated=moment,
        )
        try:
            await self._rows.add(record, MAX_CREDENTIALS)
        except CredentialExists as error:
            raise Conflict(
                f"Requested entity already exists: there is a credential '{credential_id}'. "
                "Choose another id, or change that one with PATCH."
            ) from error
        except TooManyCredentials as error:
            raise InvalidRequest(
                f"The project has {MAX_CREDENTIALS} credentials, as many as it may have. Delete "
                "some first."
            ) from error
        await self._tell(project_id, credential_id)
        return view(record)

    async def page(self, project_id: str, size: int, token: str | None) -> Json:
        """Credentials by id, from the one that follows `token` on."""
        rows = await self._rows.page(project_id, size + 1, token)
        listed: Json = {"credentials": [view(row) for row in rows[:size]]}
        if len(rows) > size:
            listed["next_page_token"] = rows[size - 1].id
        return listed

    async def get(self, project_id: str, credential_id: str) -> Json:
        """One credential. Raises `NotFound`."""
        record = await self._rows.get(project_id, credential_id)
        if record is None:
            raise _not_there("Get")
        return view(record)

    async def update(
        self, project_id: str, credential_id: str, body: Any, mask: str | None = None
    ) -> Json:
        """Give a credential new values; it is active then. Raises `NotFound`, `InvalidRequest`."""
        update = read_update(body, mask)
        while True:
            kept = await self._safe.find(project_id, credential_id)
            if kept is None:
                raise _not_there("Update")
            stored = await self._safe.replace(self._changed(kept, update))
            if stored is not None:
                break
            # A token was rotated in between; what the caller gave is put on top of that.
        self._tokens.forget(project_id, credential_id)
        await self._tell(project_id, credential_id)
        return view(stored.record)

    async def delete(self, project_id: str, credential_id: str) -> None:
        """Forget a credential; nothing is signed with it any more. Raises `NotFound`."""
        if not await self._rows.delete(project_id, credential_id):
            raise _not_there("Delete")
        self._tokens.forget(project_id, credential_id)
        await self._tell(project_id, credential_id)

    async def resolve(self, project_id: str, ids: Iterable[str]) -> dict[str, ResolvedCredential]:
        """See `CredentialUses.resolve`."""
        return await self.uses.resolve(project_id, ids)

    def _changed(self, kept: Kept, update: CredentialUpdate) -> Kept:
        if update.type != kept.record.type:
            raise InvalidRequest(
                f"type: the credential is of type '{kept.record.type}', and a type cannot be "
                "changed. Delete it and make another one."
            )
        body = merged(kept.body, update)
        self._check_token_url(body)
        status = "active" if changes_anything(update) else kept.record.status
        return Kept(replace(kept.record, status=status, updated=clock.now()), body)

    def _check_token_url(self, body: CredentialBody) -> None:
        if isinstance(body, OAuth2):
            self._source.check(body.token_url)

    def _was_revoked(self, project_id: str, credential_id: str) -> None:
        # Whoever asked for the token may hold a lock that the listeners want: they are told later.
        if self.uses.tasks is not None:
            self.uses.tasks.start_soon(self._tell, project_id, credential_id)

    async def _tell(self, project_id: str, credential_id: str) -> None:
        for listener in self.on_change:
            try:
                await listener(project_id, credential_id)
            except SandlotError as error:
                # It is stored; that somebody could not act on it is not the caller's mistake.
                log.warning("credential change not seen", id=credential_id, error=error.message)


def view(record: CredentialRecord) -> Json:
    """A credential as the wire shows it."""
    return {
        "id": record.id,
        "type": record.type,
        "status": record.status,
        "create_time": _moment(record.created),
        "update_time": _moment(record.updated),
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _not_there(verb: str) -> NotFound:
    return NotFound(f"Result not found.; {verb}Credential call failed")
