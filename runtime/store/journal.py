"""Every write to an interaction and its log: begin, append, settle, forget.

One transaction each. The numbers of a log are dense from 1, because a number is only ever taken
together with its row, under the row of the interaction; a settled interaction takes no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import (
    Connection,
    Text,
    Update,
    bindparam,
    delete,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import StatementError

from runtime.errors import Conflict, NotFound, SandlotError, StorageFull
from runtime.store import codec, idempotency
from runtime.store.ballast import Ballast
from runtime.store.bounds import Bounds, check_bounds
from runtime.store.database import Database
from runtime.store.environments import EnvironmentRecord, NetworkChange, insert_environment
from runtime.store.events import SELECT_LOG, Event, Logged
from runtime.store.interactions import (
    SELECT_SUMMARY,
    InteractionRecord,
    InteractionSummary,
    summary_of,
)
from runtime.store.projects import check_project
from runtime.store.sessions import Turn, take_turn
from runtime.store.tables import environments, events, interactions

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beginning:
    """All that is written when an interaction is accepted."""

    record: InteractionRecord
    first_event: Event
    new_environment: EnvironmentRecord | None = None
    used_environment: str | None = None
    """An existing environment that must still be active."""
    new_network: NetworkChange | None = None
    """What it may reach from now on."""
    claim: idempotency.Claim | None = None
    turn: Turn | None = None
    """The turn of a session that it is."""
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, slots=True)
class Progress:
    """What events say of how far a run is; None leaves what is known."""

    step_count: int | None = None
    last_step: str | None = None
    usage: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an interaction ended."""

    status: str
    usage: dict[str, Any]
    error: dict[str, Any] | None
    steps: list[dict[str, Any]] | None
    step_count: int
    events: list[Event]
    """The last ones of the log."""


Conclude = Callable[[InteractionSummary, list[Event]], Settlement]
"""Says how an interaction with this log ended."""


_INSERT_EVENT = insert(events).values(
    interaction_id=bindparam("interaction_id"),
    seq=bindparam("seq"),
    created=bindparam("created"),
    # It is JSON already.
    body=type_coerce(bindparam("text"), Text),
)


class Journal:
    """Writes interactions and their logs."""

    def __init__(self, database: Database, ballast: Ballast) -> None:
        self._database = database
        self._ballast = ballast

    async def begin(self, beginning: Beginning) -> None:
        """Accept an interaction.

        Raises `StorageFull`, `NotFound` when the environment has gone meanwhile,
        `idempotency.AlreadyClaimed` when another call took the same key,
        `sessions.SessionMoved` when the session is not where the turn takes it to be,
        `bounds.BoundReached` when the project has as much as it may have, and `Unauthenticated`
        when it was deleted meanwhile.
        """
        self._ballast.lay()
        await self._database.write(lambda connection: _begin(connection, beginning))

    async def append(
        self,
        interaction_id: str,
        new: Sequence[Event],
        moment: datetime,
        progress: Progress | None = None,
    ) -> tuple[int, list[Logged]]:
        """Add events; returns the number of the last one, and the new ones as they are stored.

        Raises `NotFound`, `Conflict` for a settled interaction, and `StorageFull`.
        """
        values: dict[str, Any] = {"updated": moment, **_changes(progress or Progress())}
        statement = (
            update(interactions)
            .where(interactions.c.id == interaction_id, interactions.c.settled_at.is_(None))
            .values(last_seq=interactions.c.last_seq + len(new), **values)
            .returning(interactions.c.last_seq)
        )

        def add(connection: Connection) -> tuple[int, list[Logged]]:
            last = connection.execute(statement).scalar_one_or_none()
            if last is None:
                raise _why_not(connection, interaction_id)
            first = last - len(new) + 1
            return last, _insert_events(connection, interaction_id, first, new, moment)

        return await self._database.write(add)

    async def settle(
        self, interaction_id: str, conclude: Conclude, moment: datetime
    ) -> list[Logged] | None:
        """End a running interaction as `conclude` says, which sees its whole log.

        Returns the last events as they are stored, None when it has settled already or is not
        there; then nothing is written. On a full disk the reserve is used, and the steps are left
        out when even that is too small, or when they cannot be stored: an end has to be.
        """
        try:
            return await self._settle(interaction_id, conclude, moment)
        except StorageFull:
            self._ballast.drop()
        except SandlotError:
            raise
        except (StatementError, ValueError, TypeError, RecursionError) as error:
            # What a guest made of its steps is no reason for a run without an end. Its trace is
            # not logged: it could hold all of them.
            reason = type(error.__cause__ or error).__name__
            log.error("steps cannot be stored", interaction=interaction_id, reason=reason)
            return await self._settle(interaction_id, conclude, moment, keep_steps=False)
        try:
            return await self._settle(interaction_id, conclude, moment)
        except StorageFull:
            return await self._settle(interaction_id, conclude, moment, keep_steps=False)

    async def _settle(
        self,
        interaction_id: str,
        conclude: Conclude,
        moment: datetime,
        *,
        keep_steps: bool = True,
    ) -> list[Logged] | None:
        # All in one transaction: nothing can be appended between the look at the log and its end.
        def end(connection: Connection) -> list[Logged] | None:
            row = connection.execute(_RUNNING, {"id": interaction_id}).one_or_none()
            if row is None:
                return None
            log = list(connection.execute(SELECT_LOG, {"interaction_id": interaction_id}).scalars())
            summary = summary_of(row)
            settlement = conclude(summary, log)
            steps = settlement.steps if keep_steps else None
            connection.execute(_end(summary, settlement, steps, moment))
            first = summary.last_seq + 1
            return _insert_events(connection, interaction_id, first, settlement.events, moment)

        return await self._database.write(end)

    async def forget(self, interaction_id: str) -> bool:
        """Delete a settled interaction and its log; False when there is none.

        Raises `Conflict` while it runs.
        """
        statement = delete(interactions).where(
            interactions.c.id == interaction_id, interactions.c.settled_at.is_not(None)
        )

        def drop(connection: Connection) -> bool:
            if connection.execute(statement).rowcount == 1:
                return True
            running = select(interactions.c.id).where(interactions.c.id == interaction_id)
            if connection.execute(running).first() is None:
                return False
            raise Conflict(f"The interaction {interaction_id} is running; cancel it first.")

        return await self._database.write(drop)


def _begin(connection: Connection, beginning: Beginning) -> None:
    record = beginning.record
    moment, project_id = record.summary.created, record.summary.project_id
    check_project(connection, project_id)
    if beginning.claim is not None:
        idempotency.check_unclaimed(connection, beginning.claim, moment)
    if beginning.turn is not None:
        take_turn(connection, beginning.turn, moment)
    is_new = beginning.new_environment is not None
    check_bounds(connection, project_id, beginning.bounds, new_environment=is_new)
    if beginning.new_environment is not None:
        insert_environment(connection, beginning.new_environment)
    if beginning.used_environment is not None:
        _use_environment(connection, beginning, beginning.used_environment)
    connection.execute(insert(interactions), _row(record))
    _insert_events(connection, record.summary.id, 1, [beginning.first_event], moment)
    if beginning.claim is not None:
        idempotency.insert_claim(connection, beginning.claim, record.summary.id, moment)


_RUNNING = SELECT_SUMMARY.where(interactions.c.settled_at.is_(None)).with_for_update()


def _end(
    summary: InteractionSummary,
    settlement: Settlement,
    steps: list[dict[str, Any]] | None,
    moment: datetime,
) -> Update:
    return (
        update(interactions)
        .where(interactions.c.id == summary.id)
        .values(
            status=settlement.status,
            usage=settlement.usage,
            error=settlement.error,
            steps=steps,
            step_count=settlement.step_count,
            last_seq=summary.last_seq + len(settlement.events),
            updated=moment,
            settled_at=moment,
        )
    )


def _row(record: InteractionRecord) -> dict[str, Any]:
    return {
        column.name: getattr(
            record if column.name in {"request", "plan", "steps"} else record.summary, column.name
        )
        for column in interactions.columns
    }


def _changes(progress: Progress) -> dict[str, Any]:
    found = {
        "step_count": progress.step_count,
        "last_step": progress.last_step,
        "usage": progress.usage,
    }
    return {name: value for name, value in found.items() if value is not None}


def _insert_events(
    connection: Connection,
    interaction_id: str,
    first: int,
    new: Sequence[Event],
    moment: datetime,
) -> list[Logged]:
    stored = [Logged(seq, codec.dumps(event)) for seq, event in enumerate(new, start=first)]
    rows = [
        {"interaction_id": interaction_id, "seq": one.seq, "created": moment, "text": one.text}
        for one in stored
    ]
    if rows:
        connection.execute(_INSERT_EVENT, rows)
    return stored


def _use_environment(connection: Connection, beginning: Beginning, environment_id: str) -> None:
    summary, change = beginning.record.summary, beginning.new_network
    values: dict[str, Any] = {"last_used": summary.created}
    if change is not None:
        values |= {"network": change.network, "network_secrets": change.secrets}
    statement = (
        update(environments)
        .where(
            environments.c.id == environment_id,
            environments.c.project_id == summary.project_id,
            environments.c.status == "active",
        )
        .values(values)
    )
    if connection.execute(statement).rowcount != 1:
        raise NotFound(f"There is no active environment '{environment_id}'.")


def _why_not(connection: Connection, interaction_id: str) -> NotFound | Conflict:
    statement = select(interactions.c.status).where(interactions.c.id == interaction_id)
    status = connection.execute(statement).scalar_one_or_none()
    if status is None:
        return NotFound(f"There is no interaction '{interaction_id}'.")
    return Conflict(f"The interaction {interaction_id} has ended ({status}); its log is closed.")
