"""The append-only log of every interaction: what is read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from runtime.store.database import Database
from runtime.store.tables import events as table
from runtime.store.tables import interactions

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    """A stretch of one log, and how the interaction stood when it was read."""

    events: list[tuple[int, Event]]
    last_seq: int
    settled: bool


def select_log(interaction_id: str) -> Select[Any]:
    """Every event of a log, in order."""
    statement = select(table.c.body).where(table.c.interaction_id == interaction_id)
    return statement.order_by(table.c.seq)


class Events:
    """Reads events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, interaction_id: str, after: int, limit: int) -> EventPage | None:
        """Up to `limit` events with numbers above `after`; None when there is no such log."""
        state = select(interactions.c.last_seq, interactions.c.settled_at).where(
            interactions.c.id == interaction_id
        )

        def find(connection: Connection) -> EventPage | None:
            row = connection.execute(state).one_or_none()
            if row is None:
                return None
            last_seq, settled_at = row
            found: list[tuple[int, Event]] = []
            if last_seq > after:
                rows = connection.execute(_page(interaction_id, after, limit))
                found = [(row.seq, row.body) for row in rows]
            return EventPage(found, last_seq, settled_at is not None)

        return await self._database.read(find)

    async def all(self, interaction_id: str) -> list[Event]:
        """Every event of a log, in order; empty when there is no such log."""
        statement = select_log(interaction_id)
        return await self._database.read(
            lambda connection: list(connection.execute(statement).scalars())
        )


def _page(interaction_id: str, after: int, limit: int) -> Any:
    return (
        select(table.c.seq, table.c.body)
        .where(table.c.interaction_id == interaction_id, table.c.seq > after)
        .order_by(table.c.seq)
        .limit(limit)
    )
