"""Seals anew what an older key sealed, so that the key can be dropped.

Whatever is stored sealed stands in `SEALED`; a secret in a column that is not there would be lost
with the key that sealed it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, and_, select, tuple_, update

from runtime.errors import Internal
from runtime.store.database import Database
from runtime.store.tables import credentials, environments, sessions
from runtime.store.vault import Vault

_BATCH = 100


def about_credential(project_id: str, credential_id: str) -> str:
    """What the sealed part of a credential is about."""
    return f"credential:{project_id}/{credential_id}"


def about_network(environment_id: str) -> str:
    """What the sealed headers of an environment's rules are about."""
    return f"environment-network:{environment_id}"


def about_session(session_id: str) -> str:
    """What the sealed tools of a session are about."""
    return f"session-tools:{session_id}"


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column that holds sealed texts, or nothing."""

    column: Column[Any]
    key: tuple[Column[Any], ...]
    """The primary key of its table."""
    about: Callable[..., str]
    """What a text of it is about, by the values of the primary key."""


SEALED = (
    SealedColumn(
        credentials.c.sealed, (credentials.c.project_id, credentials.c.id), about_credential
    ),
    SealedColumn(environments.c.network_secrets, (environments.c.id,), about_network),
    SealedColumn(sessions.c.sealed_tools, (sessions.c.id,), about_session),
)


@dataclass(slots=True)
class Resealed:
    """What came of it."""

    sealed: int = 0
    """So many texts were sealed anew."""
    lost: int = 0
    """So many cannot be opened: their key is not there, or they are damaged."""


class Resealing:
    """Brings every sealed text to the vault's first key."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def run(self) -> Resealed:
        """Seal anew what needs it; fast where nothing does."""
        done = Resealed()
        for one in SEALED:
            await self._column(one, done)
        return done

    async def _column(self, one: SealedColumn, done: Resealed) -> None:
        after: tuple[Any, ...] | None = None
        while rows := await self._database.read(self._batch(one, after)):
            for row in rows:
                await self._row(one, row, done)
            after = tuple(rows[-1][:-1])

    def _batch(
        self, one: SealedColumn, after: tuple[Any, ...] | None
    ) -> Callable[[Connection], list[Row[Any]]]:
        wanted = and_(one.column.is_not(None), ~one.column.startswith(self._vault.mark))
        if after is not None:
            wanted = and_(wanted, tuple_(*one.key) > tuple_(*after))
        statement = select(*one.key, one.column).where(wanted).order_by(*one.key).limit(_BATCH)
        return lambda connection: list(connection.execute(statement).all())

    async def _row(self, one: SealedColumn, row: Row[Any], done: Resealed) -> None:
        *key, sealed = row
        about = one.about(*key)
        try:
            secret = self._vault.unseal(sealed, about)
        except Internal:
            done.lost += 1
            return
        matches = [column == value for column, value in zip(one.key, key, strict=True)]
        statement = (
            update(one.column.table)
            # Unless it was changed meanwhile: then it is sealed with the first key already.
            .where(*matches, one.column == sealed)
            .values({one.column.name: self._vault.seal(secret, about)})
        )
        await self._database.write(lambda found: found.execute(statement).close())
        done.sealed += 1
