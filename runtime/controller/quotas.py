"""Quotas of projects: what may not be more, counted, and what comes too fast, refused.

What is in the database is counted there, in the transaction that adds to it
(`runtime.store.bounds`); the rest is counted here, since one controller owns the state.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import anyio

from runtime import clock
from runtime.errors import QuotaExceeded
from runtime.schema.quotas import QuotaLimits, QuotasSettings
from runtime.store import BoundReached, Bounds

Stored = Callable[[str], Awaitable[int]]
"""How many bytes a project has stored."""
_FREE: AbstractAsyncContextManager[object] = nullcontext()
_HOW = "the operator changes it in sandlot.yaml, for one project under quotas.projects"


@dataclass(slots=True)
class Bucket:
    """Lets so many through each second, and as many at once after a pause."""

    rate: float
    level: float
    filled: float
    """On the monotonic clock, which nobody sets."""

    def take(self, moment: float) -> float:
        """Take one; 0.0, or else in how many seconds there will be one."""
        gained = (moment - self.filled) * self.rate
        self.level, self.filled = min(max(1.0, self.rate), self.level + gained), moment
        if self.level < 1.0:
            return (1.0 - self.level) / self.rate
        self.level -= 1.0
        return 0.0


class Quotas:
    """The quotas of all projects."""

    def __init__(
        self,
        settings: QuotasSettings | None = None,
        max_running: int = 8,
        stored: Stored | None = None,
    ) -> None:
        """`max_running` is how many sandboxes may live at once, whoever has them."""
        self._settings = settings or QuotasSettings()
        self._max_running = max_running
        self._stored = stored
        self._limits: dict[str, QuotaLimits] = {}
        self._buckets: dict[str, Bucket] = {}
        self._slots: dict[str, anyio.Semaphore] = {}

    def limits(self, project_id: str) -> QuotaLimits:
        """What a project may have."""
        found = self._limits.get(project_id)
        if found is None:
            found = self._limits[project_id] = self._settings.of(project_id)
        return found

    def admit(self, project_id: str) -> None:
        """Count one call of a project. Raises `QuotaExceeded` when they come too fast."""
        rate = self.limits(project_id).requests_per_second
        if rate is None:
            return
        moment = clock.monotonic()
        bucket = self._buckets.get(project_id)
        if bucket is None:
            bucket = self._buckets[project_id] = Bucket(rate, max(1.0, rate), moment)
        wait = bucket.take(moment)
        if wait > 0.0:
            raise QuotaExceeded(
                f"The project '{project_id}' may make {rate:g} requests a second "
                f"(quotas.requests_per_second). Slow down; {_HOW}.",
                retry_seconds=math.ceil(wait),
            )

    def slot(self, project_id: str) -> AbstractAsyncContextManager[object]:
        """A place to run in, waited for where the project has a limit of them."""
        limit = self.limits(project_id).running
        if limit is None:
            return _FREE
        found = self._slots.get(project_id)
        if found is None:
            found = self._slots[project_id] = anyio.Semaphore(limit)
        return found

    def sandboxes(self, project_id: str) -> int | None:
        """How many sandboxes of a project may live at once."""
        return self.limits(project_id).running

    def bounds(self, project_id: str) -> Bounds:
        """What is counted when an interaction begins."""
        limits = self.limits(project_id)
        running = limits.running or self._max_running
        unsettled = None if limits.queued is None else running + limits.queued
        return Bounds(unsettled, limits.environments)

    def reached(self, project_id: str, error: BoundReached) -> QuotaExceeded:
        """The refusal that a reached bound means."""
        has = f"The project '{project_id}' has {error.bound}"
        if error.name == "environments":
            return QuotaExceeded(
                f"{has} environments, as many as it may keep (quotas.environments). Delete some, "
                f"or go on in one of them; {_HOW}."
            )
        return QuotaExceeded(
            f"{has} interactions that run or wait, as many as it may have (quotas.running and "
            f"quotas.queued). Wait until one has ended; {_HOW}."
        )

    async def check_stored(self, project_id: str, more_bytes: int) -> None:
        """Raise `QuotaExceeded` where a project has no room for so many bytes more."""
        room = await self.room(project_id)
        if more_bytes > room or room <= 0:
            limit = self.limits(project_id).stored_bytes
            raise QuotaExceeded(
                f"The files and workspaces of the project '{project_id}' may have {limit} bytes "
                f"together (quotas.stored); {max(0, int(room))} are left. Delete some; {_HOW}."
            )

    async def room(self, project_id: str) -> float:
        """How many bytes more a project may store; infinitely many without a limit."""
        limit = self.limits(project_id).stored_bytes
        if limit is None or self._stored is None:
            return math.inf
        return limit - await self._stored(project_id)
