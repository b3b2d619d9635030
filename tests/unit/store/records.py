"""Rows for tests."""

from __future__ import annotations

from typing import Any

from runtime.clock import now
from runtime.store import (
    Beginning,
    EnvironmentRecord,
    InteractionRecord,
    InteractionSummary,
    KeyRecord,
    Store,
)

CREATED: dict[str, Any] = {"event_type": "interaction.created", "interaction": {}}


def summary(interaction_id: str, **changes: Any) -> InteractionSummary:
    moment = now()
    values: dict[str, Any] = {
        "id": interaction_id,
        "project_id": "default",
        "agent": "tour",
        "model": "script/inline",
        "environment_id": None,
        "previous_interaction_id": None,
        "status": "in_progress",
        "background": False,
        "store": True,
        "labels": None,
        "usage": None,
        "error": None,
        "step_count": 0,
        "last_step": None,
        "last_seq": 1,
        "created": moment,
        "updated": moment,
        "settled_at": None,
    }
    return InteractionSummary(**{**values, **changes})


def record(interaction_id: str, **changes: Any) -> InteractionRecord:
    return InteractionRecord(summary(interaction_id, **changes), {"input": "hi"}, {}, None)


def beginning(interaction_id: str, **changes: Any) -> Beginning:
    return Beginning(record(interaction_id, **changes), CREATED)


def environment(environment_id: str, **changes: Any) -> EnvironmentRecord:
    moment = now()
    values: dict[str, Any] = {
        "id": environment_id,
        "project_id": "default",
        "status": "active",
        "created": moment,
        "updated": moment,
        "last_used": moment,
    }
    return EnvironmentRecord(**{**values, **changes})


async def make_projects(store: Store, *names: str) -> None:
    """As always, by a first key."""
    for name in names:
        await store.keys.add(KeyRecord(f"key_{name}", name, name, "slk", None, ["run"], now()))
