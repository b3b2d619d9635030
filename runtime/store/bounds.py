"""How much a project may have, checked in the transaction that would add to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Table, func, select

from runtime.store.tables import environments, interactions

BoundName = Literal["unsettled", "environments"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a project may have; None is no bound."""

    unsettled: int | None = None
    """Interactions that run, or wait to."""
    environments: int | None = None
    """Active ones."""


class BoundReached(Exception):
    """The project has as much as it may have; nothing was written."""

    def __init__(self, name: BoundName, bound: int) -> None:
        super().__init__(name)
        self.name: BoundName = name
        self.bound = bound


def check_bounds(
    connection: Connection, project_id: str, bounds: Bounds, *, new_environment: bool
) -> None:
    """Raise `BoundReached` where one interaction more, or its environment, would be too much."""
    running = interactions.c.settled_at.is_(None), interactions.c.project_id == project_id
    _check(connection, "unsettled", bounds.unsettled, interactions, *running)
    if new_environment:
        active = environments.c.project_id == project_id, environments.c.status == "active"
        _check(connection, "environments", bounds.environments, environments, *active)


def _check(
    connection: Connection,
    name: BoundName,
    bound: int | None,
    table: Table,
    *conditions: ColumnElement[Any],
) -> None:
    if bound is None:
        return
    # No more rows are counted than matter.
    rows = select(table.c.id).where(*conditions).limit(bound).subquery()
    if connection.execute(select(func.count()).select_from(rows)).scalar_one() >= bound:
        raise BoundReached(name, bound)
