"""The table of interactions: what is read from it. `runtime.store.journal` writes it.

What is read for a caller is read in the caller's project; what names any project is for the
controller's own work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, literal, select

from runtime.store.database import Database
from runtime.store.tables import interactions as table


@dataclass(frozen=True, slots=True)
class InteractionSummary:
    """An interaction without its bulk."""

    id: str
    project_id: str
    agent: str | None
    model: str
    environment_id: str | None
    previous_interaction_id: str | None
    status: str
    background: bool
    store: bool
    labels: dict[str, str] | None
    usage: dict[str, Any] | None
    """Sum so far while it runs, of the whole run once it settled."""
    error: dict[str, Any] | None
    """`{code, message}`."""
    step_count: int
    last_step: str | None
    """Type of the step that began last, with the tool's name where it has one."""
    last_seq: int
    created: datetime
    updated: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class InteractionRecord:
    """A whole interaction."""

    summary: InteractionSummary
    request: dict[str, Any]
    """What the caller asked for, checked."""
    plan: dict[str, Any]
    """What it was resolved to, without the history."""
    steps: list[dict[str, Any]] | None
    """The steps once it settled; None before, and where the disk had no room for them."""


@dataclass(frozen=True, slots=True)
class Chain:
    """An interaction and all that it goes on from."""

    last: InteractionSummary
    ids: list[str]
    """Of all of them, oldest first."""
    lost: str | None = None
    """The one before the oldest, where it is not there (any more) or not to be kept."""


_IN_PROJECT = table.c.project_id == bindparam("project_id")
_SUMMARY = [table.c[field.name] for field in fields(InteractionSummary)]
_BULK = [table.c.request, table.c.plan, table.c.steps]


def _chain() -> Select[Any, Any]:
    columns = table.c.id, table.c.previous_interaction_id.label("before")
    last = select(*columns, literal(0).label("depth")).where(
        table.c.id == bindparam("last"), _IN_PROJECT
    )
    chain = last.cte("chain", recursive=True)
    earlier = (
        select(*columns, (chain.c.depth + 1).label("depth"))
        .join(chain, table.c.id == chain.c.before)
        .where(table.c.store, _IN_PROJECT)
    )
    chain = chain.union_all(earlier)
    return select(chain.c.id, chain.c.before).order_by(chain.c.depth)


_AT_ONCE = 500
_CHAIN = _chain()
_RECORDS = select(*_SUMMARY, *_BULK).where(
    table.c.id.in_(bindparam("ids", expanding=True)), _IN_PROJECT
)


def summary_of(row: Row[Any]) -> InteractionSummary:
    """The summary in a row that starts with the summary's columns."""
    return InteractionSummary(*row[: len(_SUMMARY)])


_BY_ID = table.c.id == bindparam("id")
SELECT_SUMMARY = select(*_SUMMARY).where(_BY_ID)
"""The row of the interaction `id` of any project, without its bulk."""
_SUMMARY_OF = SELECT_SUMMARY.where(_IN_PROJECT)
_RECORD_OF = select(*_SUMMARY, *_BULK).where(_BY_ID, _IN_PROJECT)


class Interactions:
    """Reads interactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, project_id: str, interaction_id: str) -> InteractionRecord | None:
        """All of one interaction of a project."""
        wanted = {"project_id": project_id, "id": interaction_id}
        row = await self._database.read(
            lambda connection: connection.execute(_RECORD_OF, wanted).one_or_none()
        )
        if row is None:
            return None
        return InteractionRecord(summary_of(row), *row[len(_SUMMARY) :])

    async def many(self, project_id: str, ids: Sequence[str]) -> list[InteractionRecord]:
        """All of several interactions, in any order; those that are not there are left out."""
        wanted = {"project_id": project_id}

        def find(connection: Connection) -> list[InteractionRecord]:
            rows = [
                row
                for start in range(0, len(ids), _AT_ONCE)
                for row in connection.execute(
                    _RECORDS, wanted | {"ids": ids[start : start + _AT_ONCE]}
                )
            ]
            return [InteractionRecord(summary_of(row), *row[len(_SUMMARY) :]) for row in rows]

        return await self._database.read(find) if ids else []

    async def chain(self, project_id: str, interaction_id: str) -> Chain | None:
        """A stored interaction and its previous ones; None where it is not there."""
        wanted = {"project_id": project_id, "id": interaction_id}

        def find(connection: Connection) -> Chain | None:
            last = connection.execute(_SUMMARY_OF, wanted).one_or_none()
            if last is None or not last.store:
                return None
            chain = {"project_id": project_id, "last": interaction_id}
            rows = connection.execute(_CHAIN, chain).all()
            return Chain(summary_of(last), [row.id for row in reversed(rows)], rows[-1].before)

        return await self._database.read(find)

    async def summary(self, project_id: str, interaction_id: str) -> InteractionSummary | None:
        """One interaction without its bulk."""
        wanted = {"project_id": project_id, "id": interaction_id}
        row = await self._database.read(
            lambda connection: connection.execute(_SUMMARY_OF, wanted).one_or_none()
        )
        return None if row is None else summary_of(row)

    async def summary_in_any_project(self, interaction_id: str) -> InteractionSummary | None:
        """The same for the controller's own work, which is asked for by nobody."""
        row = await self._database.read(
            lambda connection: connection.execute(
                SELECT_SUMMARY, {"id": interaction_id}
            ).one_or_none()
        )
        return None if row is None else summary_of(row)

    async def page(
        self,
        project_id: str,
        *,
        limit: int,
        before: str | None = None,
        statuses: Sequence[str] | None = None,
        settled: bool | None = None,
    ) -> list[InteractionSummary]:
        """Newest first, those older than the id `before`; filtered where a filter is given."""
        statement = select(*_SUMMARY).where(table.c.project_id == project_id)
        statement = statement.order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(table.c.id < before)
        if statuses is not None:
            statement = statement.where(table.c.status.in_(statuses))
        if settled is not None:
            is_null = table.c.settled_at.is_(None)
            statement = statement.where(~is_null if settled else is_null)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [summary_of(row) for row in rows]

    async def unsettled_in_any_project(self) -> list[InteractionSummary]:
        """Everything that should be running, oldest first."""
        statement = select(*_SUMMARY).where(table.c.settled_at.is_(None)).order_by(table.c.id)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [summary_of(row) for row in rows]

    async def forgettable_in_any_project(self) -> list[str]:
        """Ids of settled interactions that were to be kept only until they were answered."""
        statement = select(table.c.id).where(
            table.c.settled_at.is_not(None), table.c.store.is_(False)
        )
        return await self._database.read(
            lambda connection: list(connection.execute(statement).scalars())
        )
