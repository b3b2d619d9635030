"""From a log to its steps, when part of the log may be nonsense that a guest sent."""

from __future__ import annotations

from typing import Any

import structlog

from runtime.schema.events import NONSENSE, fold

log = structlog.get_logger(__name__)


def steps_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps that `events` add up to; one that cannot be read is left out."""
    try:
        return fold(events)
    except NONSENSE:
        log.warning("a log holds steps that cannot be read")
    groups: dict[Any, list[dict[str, Any]]] = {}
    for event in events:
        groups.setdefault(str(event.get("index")), []).append(event)
    return [step for group in groups.values() for step in _try_fold(group)]


def _try_fold(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        return fold(events)
    except NONSENSE:
        return []
