"""The table of sessions: where a guide-style conversation stands."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from runtime.store.database import Database
from runtime.store.tables import sessions as table


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session after its last turn."""

    id: str
    last_interaction_id: str
    environment_id: str | None
    settings: dict[str, Any]
    """What a turn takes over where it does not say it itself, in the wire's names."""
    ttl_seconds: float
    created: datetime
    expires: datetime
    project_id: str
    sealed_tools: str | None = field(default=None, repr=False)
    """The tools among the settings, as JSON: their headers are secrets."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A session as it is once an interaction has begun."""

    record: SessionRecord
    follows: str | None
    """The interaction that must be the last one of the session; None opens the session."""


class SessionMoved(Exception):
    """Another turn of the session began first, or it has expired; nothing was written."""


_COLUMNS = [table.c[one.name] for one in fields(SessionRecord)]


class Sessions:
    """Reads sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, project_id: str, session_id: str, moment: datetime) -> SessionRecord | None:
        """A session of a project that has not expired at `moment`."""
        statement = select(*_COLUMNS).where(
            table.c.id == session_id, table.c.project_id == project_id, table.c.expires > moment
        )
        row = await self._database.read(
            lambda connection: connection.execute(statement).one_or_none()
        )
        return None if row is None else SessionRecord(*row)


def take_turn(connection: Connection, turn: Turn, moment: datetime) -> None:
    """Open the session, or move it on, as part of a larger transaction.

    Raises `SessionMoved` when the turn does not follow the last one any more. Expired sessions
    are dropped on the way.
    """
    connection.execute(delete(table).where(table.c.expires <= moment))
    values = {column.name: getattr(turn.record, column.name) for column in _COLUMNS}
    if turn.follows is None:
        connection.execute(insert(table).values(values))
        return
    statement = (
        update(table)
        .where(
            table.c.id == turn.record.id,
            table.c.project_id == turn.record.project_id,
            table.c.last_interaction_id == turn.follows,
        )
        .values(values)
    )
    if connection.execute(statement).rowcount != 1:
        raise SessionMoved(turn.record.id)
