"""Idempotency keys: which interaction a key made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from runtime.store.database import Database
from runtime.store.tables import idempotency as table

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Claim:
    """A caller's key, and the hash of the request that came with it."""

    key: str
    request_hash: str
    project_id: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a key was used for."""

    request_hash: str
    interaction_id: str


class AlreadyClaimed(Exception):
    """The key has made an interaction before; nothing was written."""

    def __init__(self, found: Claimed) -> None:
        super().__init__(found.interaction_id)
        self.found = found


class Idempotency:
    """Reads keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, claim: Claim, moment: datetime) -> Claimed | None:
        """What the key of `claim` was used for in the 24 hours before `moment`."""
        return await self._database.read(lambda connection: _find(connection, claim, moment))


def check_unclaimed(connection: Connection, claim: Claim, moment: datetime) -> None:
    """Drop outdated keys. Raises `AlreadyClaimed` when the key is still in use."""
    connection.execute(delete(table).where(table.c.created < moment - KEPT))
    found = _find(connection, claim, moment)
    if found is not None:
        raise AlreadyClaimed(found)


def insert_claim(
    connection: Connection, claim: Claim, interaction_id: str, moment: datetime
) -> None:
    """Note that the key made `interaction_id`."""
    connection.execute(
        insert(table).values(
            project_id=claim.project_id,
            key=claim.key,
            request_hash=claim.request_hash,
            interaction_id=interaction_id,
            created=moment,
        )
    )


def _find(connection: Connection, claim: Claim, moment: datetime) -> Claimed | None:
    statement = select(table.c.request_hash, table.c.interaction_id).where(
        table.c.project_id == claim.project_id,
        table.c.key == claim.key,
        table.c.created >= moment - KEPT,
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else Claimed(row.request_hash, row.interaction_id)
