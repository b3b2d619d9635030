"""Wall-clock and monotonic time. The only module that may ask the system what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The current time, aware, in UTC, cut to microseconds."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds from an arbitrary start that never go backwards."""
    return time.monotonic()


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00Z`: the wire's timestamp form, whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
