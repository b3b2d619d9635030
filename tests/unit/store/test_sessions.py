"""Turns of a session: one at a time, each after the last."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from runtime.clock import now
from runtime.store import SessionMoved, SessionRecord, Store, Turn
from runtime.store.sessions import take_turn

pytestmark = pytest.mark.anyio


def record(moment: datetime, last: str = "int_1") -> SessionRecord:
    return SessionRecord(
        id="session_1",
        project_id="default",
        last_interaction_id=last,
        environment_id=None,
        settings={"model": "m"},
        ttl_seconds=60.0,
        created=moment,
        expires=moment + timedelta(seconds=60),
    )


async def take(store: Store, turn: Turn, moment: datetime) -> None:
    await store._database.write(lambda connection: take_turn(connection, turn, moment))


async def test_a_session_reads_back_until_it_expires(store: Store) -> None:
    moment = now()
    opened = record(moment)
    await take(store, Turn(opened, None), moment)
    assert await store.sessions.get("default", "session_1", moment) == opened
    assert await store.sessions.get("default", "session_2", moment) is None
    assert await store.sessions.get("default", "session_1", opened.expires) is None


async def test_a_turn_follows_the_last_one_only(store: Store) -> None:
    moment = now()
    await take(store, Turn(record(moment), None), moment)
    second = record(moment, "int_2")
    await take(store, Turn(second, "int_1"), moment)
    with pytest.raises(SessionMoved):
        await take(store, Turn(record(moment, "int_3"), "int_1"), moment)
    assert await store.sessions.get("default", "session_1", moment) == second


async def test_an_expired_session_is_dropped_with_the_next_turn(store: Store) -> None:
    moment = now()
    await take(store, Turn(record(moment), None), moment)
    late = moment + timedelta(seconds=61)
    with pytest.raises(SessionMoved):
        await take(store, Turn(record(late, "int_2"), "int_1"), late)
    await take(store, Turn(replace(record(late), id="session_2"), None), late)
    assert await store.sessions.get("default", "session_1", moment) is None
    assert await store.sessions.get("default", "session_2", late) is not None
