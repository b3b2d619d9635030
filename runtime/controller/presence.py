"""Calls that last: event streams, terminals, calls that wait; by the key that they came with.

They are counted against the quota of their project, and end when their key is revoked. What they
look at goes on without them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import anyio

from runtime.controller.quotas import Quotas
from runtime.errors import QuotaExceeded, Unauthenticated
from runtime.schema.callers import Caller


@dataclass(eq=False, slots=True)
class Stay:
    """One call that lasts; `leave` it at the end."""

    caller: Caller
    presence: Presence
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """The call's work; cancelled when the key is revoked."""
    is_ended: bool = False
    """Whether the key was revoked."""
    is_handed_on: bool = False
    """Whether somebody else leaves it than who entered."""

    def leave(self) -> None:
        """The call is over; may be said twice."""
        self.presence.forget(self)


class Presence:
    """All calls that last."""

    def __init__(self, quotas: Quotas | None = None) -> None:
        self._quotas = quotas or Quotas()
        self._by_key: defaultdict[str, set[Stay]] = defaultdict(set)
        self._counts: Counter[str] = Counter()
        self._ended: set[str] = set()

    def enter(self, caller: Caller) -> Stay:
        """A call begins that will last.

        Raises `QuotaExceeded`, and `Unauthenticated` when its key was revoked after the call was
        let in: it may have waited for a sandbox meanwhile.
        """
        if caller.key_id in self._ended:
            raise Unauthenticated("The API key of this call was revoked.")
        project_id = caller.project_id
        limit = self._quotas.limits(project_id).streams
        if limit is not None and self._counts[project_id] >= limit:
            raise QuotaExceeded(
                f"The project '{project_id}' has {limit} streams, terminals and waiting calls "
                "open, as many as it may have (quotas.streams). Close some; the operator changes "
                "it in sandlot.yaml, for one project under quotas.projects."
            )
        stay = Stay(caller, self)
        self._by_key[caller.key_id].add(stay)
        self._counts[project_id] += 1
        return stay

    def forget(self, stay: Stay) -> None:
        """A call is over."""
        stays = self._by_key.get(stay.caller.key_id, set())
        if stay not in stays:
            return
        stays.remove(stay)
        if not stays:
            del self._by_key[stay.caller.key_id]
        self._counts[stay.caller.project_id] -= 1

    def count(self, project_id: str) -> int:
        """How many calls of a project last now."""
        return self._counts[project_id]

    async def end(self, key_id: str) -> None:
        """The key is not valid any more: its calls end, and none begins."""
        self._ended.add(key_id)
        for stay in self._by_key.get(key_id, ()):
            stay.is_ended = True
            stay.scope.cancel()
