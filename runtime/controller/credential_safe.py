"""Credentials with what they hold: sealed on the way to the database, opened on the way back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from runtime.controller.credential_bodies import reread, written
from runtime.schema.credentials import CredentialBody
from runtime.store import CredentialRecord, Store
from runtime.store.resealing import about_credential


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored credential, opened."""

    record: CredentialRecord
    body: CredentialBody = field(repr=False)


class CredentialSafe:
    """The stored credentials of all projects."""

    def __init__(self, store: Store) -> None:
        self._rows = store.credentials
        self._vault = store.vault

    async def find(self, project_id: str, credential_id: str) -> Kept | None:
        """One of a project. Raises `Internal` when its key is not there."""
        record = await self._rows.get(project_id, credential_id)
        if record is None:
            return None
        about = about_credential(project_id, credential_id)
        return Kept(record, reread(self._vault.unseal(record.sealed, about)))

    def sealed(self, project_id: str, credential_id: str, body: CredentialBody) -> str:
        """`body` as it is stored."""
        return self._vault.seal(written(body), about_credential(project_id, credential_id))

    async def replace(self, kept: Kept) -> Kept | None:
        """Store a changed credential; None where another change came first, or it is gone.

        The answer is what to base the next change on.
        """
        old = kept.record
        record = replace(old, sealed=self.sealed(old.project_id, old.id, kept.body))
        if not await self._rows.replace(record):
            return None
        return Kept(replace(record, revision=record.revision + 1), kept.body)
