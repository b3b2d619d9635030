"""Who gets the next place for a sandbox: no project all of them, none of them never. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Share = Callable[[str], int | None]
"""How many places a project may have; None is as many as there are."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A place that a live sandbox has."""

    environment_id: str
    project_id: str
    idle_since: float | None
    """On the monotonic clock; None while somebody uses it."""


@dataclass(frozen=True, slots=True)
class Free:
    """Take the place of a sandbox that nobody uses, which is stopped."""

    environment_id: str


Step = Free | Literal["take", "wait"]


@dataclass(frozen=True, slots=True)
class Places:
    """All places at one moment."""

    total: int
    live: Sequence[Taken]
    starting: Sequence[str]
    """The projects of sandboxes that are about to live."""
    waiting: Sequence[str]
    """The projects of those that wait, in the order in which they came."""
    share: Share

    def step(self, index: int) -> Step:
        """What is for `waiting[index]` to do.

        A project that has its share makes room for itself or waits. Among the others it is the
        turn of a project that has the fewest places, and there of who came first.
        """
        counts = self._counts()
        project_id = self.waiting[index]
        if not self._may_have_more(project_id, counts):
            return self._longest_idle(project_id) or "wait"
        able = [at for at, one in enumerate(self.waiting) if self._may_have_more(one, counts)]
        if min(able, key=lambda at: (counts[self.waiting[at]], at)) != index:
            return "wait"
        if counts.total() < self.total:
            return "take"
        return self._longest_idle(None) or "wait"

    def _counts(self) -> Counter[str]:
        return Counter([*(one.project_id for one in self.live), *self.starting])

    def _may_have_more(self, project_id: str, counts: Counter[str]) -> bool:
        share = self.share(project_id)
        return share is None or counts[project_id] < share

    def _longest_idle(self, project_id: str | None) -> Free | None:
        idle = [
            (one.idle_since, one.environment_id)
            for one in self.live
            if one.idle_since is not None and project_id in (None, one.project_id)
        ]
        return Free(min(idle)[1]) if idle else None
