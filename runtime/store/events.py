"""The append-only log of every interaction: what is read from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Text, bindparam, cast, select

from runtime.store import codec
from runtime.store.database import Database
from runtime.store.tables import events as table
from runtime.store.tables import interactions

Event = dict[str, Any]
PAGE_BYTES = 64 * 1024
"""A page ends with the event that makes it as large as this: a slow reader holds one."""
_KIND = re.compile(r'\{"event_type":"([a-z_.]+)"')


class Logged:
    """An event of a log, as it is stored: its number and its JSON text."""

    def __init__(self, seq: int, text: str) -> None:
        self.seq = seq
        self.text = text
        self.block: bytes | None = None
        """The event on the wire: whoever needs it first keeps it here for all others."""

    @cached_property
    def event(self) -> Event:
        """What the text says."""
        return codec.loads(self.text)

    @cached_property
    def kind(self) -> str:
        """The `event_type`."""
        found = _KIND.match(self.text)
        return found[1] if found else str(self.event["event_type"])


@dataclass(frozen=True, slots=True)
class EventPage:
    """A stretch of one log, and how the interaction stood when it was read."""

    entries: list[Logged]
    last_seq: int
    settled: bool

    @property
    def events(self) -> list[tuple[int, Event]]:
        """The events with their numbers."""
        return [(entry.seq, entry.event) for entry in self.entries]


_STATE = select(interactions.c.last_seq, interactions.c.settled_at).where(
    interactions.c.id == bindparam("interaction_id")
)


_OF_ONE = table.c.interaction_id == bindparam("interaction_id")
SELECT_LOG = select(table.c.body).where(_OF_ONE).order_by(table.c.seq)
"""Every event of the log of the interaction `interaction_id`, in order."""
_SELECT_PAGE = (
    select(table.c.seq, cast(table.c.body, Text).label("text"))
    .where(_OF_ONE, table.c.seq > bindparam("after"))
    .order_by(table.c.seq)
    .limit(bindparam("limit"))
)


class Events:
    """Reads events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, interaction_id: str, after: int, limit: int) -> EventPage | None:
        """Up to `limit` events with numbers above `after`; None when there is no such log.

        Fewer when they are large, at least one when there is one.
        """

        def find(connection: Connection) -> EventPage | None:
            row = connection.execute(_STATE, {"interaction_id": interaction_id}).one_or_none()
            if row is None:
                return None
            last_seq, settled_at = row
            entries = _entries(connection, interaction_id, after, limit) if last_seq > after else []
            return EventPage(entries, last_seq, settled_at is not None)

        return await self._database.read(find)

    async def all(self, interaction_id: str) -> list[Event]:
        """Every event of a log, in order; empty when there is no such log."""
        return await self._database.read(
            lambda connection: list(
                connection.execute(SELECT_LOG, {"interaction_id": interaction_id}).scalars()
            )
        )


def _entries(connection: Connection, interaction_id: str, after: int, limit: int) -> list[Logged]:
    found: list[Logged] = []
    size = 0
    which = {"interaction_id": interaction_id, "after": after, "limit": limit}
    with connection.execute(_SELECT_PAGE, which) as rows:
        for row in rows:
            found.append(Logged(row.seq, row.text))
            size += len(row.text)
            if size >= PAGE_BYTES:
                break
    return found
