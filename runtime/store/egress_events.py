"""What the egress proxy decided, per environment: the newest decisions, for its user to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from runtime.store.database import Database
from runtime.store.tables import egress_events as table

KEPT = 10_000
"""Decisions of one environment that are kept; older ones are forgotten."""
_SWEEP_EVERY = 500


@dataclass(frozen=True, slots=True)
class EgressRecord:
    """One decision; `body` is what there is to say of it, as JSON."""

    environment_id: str
    at: datetime
    body: dict[str, Any]
    id: int = 0


class EgressEvents:
    """Reads and writes the decisions of the egress proxy."""

    def __init__(self, database: Database, kept: int = KEPT) -> None:
        self._database = database
        self._kept = kept
        self._since_sweep: Counter[str] = Counter()

    async def add(self, records: Sequence[EgressRecord]) -> None:
        """Keep `records`, and forget what has become too old. Raises `StorageFull`."""
        rows = [
            {"environment_id": one.environment_id, "at": one.at, "body": one.body}
            for one in records
        ]
        self._since_sweep.update(one.environment_id for one in records)
        full = [name for name, count in self._since_sweep.items() if count >= _SWEEP_EVERY]

        def write(connection: Connection) -> None:
            connection.execute(insert(table), rows)
            for environment_id in full:
                self._forget_old(connection, environment_id)

        await self._database.write(write)
        for environment_id in full:
            del self._since_sweep[environment_id]

    async def page(
        self, environment_id: str, *, limit: int, before: int | None = None
    ) -> list[EgressRecord]:
        """Decisions, newest first, those below the number `before`."""
        statement = (
            select(table.c.environment_id, table.c.at, table.c.body, table.c.id)
            .where(table.c.environment_id == environment_id)
            .order_by(table.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(table.c.id < before)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [EgressRecord(*row) for row in rows]

    async def forget(self, environment_id: str) -> None:
        """Delete what is kept of an environment that is gone."""
        statement = delete(table).where(table.c.environment_id == environment_id)
        await self._database.write(lambda connection: connection.execute(statement).close())
        self._since_sweep.pop(environment_id, None)

    def _forget_old(self, connection: Connection, environment_id: str) -> None:
        of_it = table.c.environment_id == environment_id
        newest_old = (
            select(table.c.id).where(of_it).order_by(table.c.id.desc()).offset(self._kept).limit(1)
        )
        last = connection.execute(newest_old).scalar_one_or_none()
        if last is not None:
            connection.execute(delete(table).where(of_it, table.c.id <= last))
