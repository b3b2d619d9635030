"""Bodies that are being read: bounded together, since each is in memory until it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from runtime.errors import QuotaExceeded

PROJECT_BYTES = 256 * 1024 * 1024
"""Of a project's bodies at once; of all projects' twice that."""
FREE_BYTES = 256 * 1024
"""Of each body this much is not counted: what is not large is read at any time."""


@dataclass(slots=True)
class Room:
    """What one body takes."""

    incoming: Incoming
    project_id: str
    size_bytes: int = 0
    counted_bytes: int = 0
    is_refused: bool = False

    def take(self, size_bytes: int) -> bool:
        """Whether there is room for so much more of it; once there was none, there is none."""
        self.size_bytes += size_bytes
        more = max(0, self.size_bytes - FREE_BYTES) - self.counted_bytes
        if not self.is_refused and self.incoming.take(self.project_id, more):
            self.counted_bytes += more
            return True
        self.give_back()
        self.is_refused = True
        return False

    def give_back(self) -> None:
        """Its bytes are not kept any more."""
        self.incoming.take(self.project_id, -self.counted_bytes)
        self.counted_bytes = 0

    def check(self) -> None:
        """Raise `QuotaExceeded` where there was no room for all of it."""
        if self.is_refused:
            raise QuotaExceeded(
                "Too many large bodies are being sent at once, by this project or by all of them. "
                "Send fewer at a time, or upload files."
            )


class Incoming:
    """All bodies that are being read."""

    def __init__(self, project_bytes: int = PROJECT_BYTES) -> None:
        self._project_bytes = project_bytes
        self._by_project: Counter[str] = Counter()

    @contextmanager
    def room(self, project_id: str) -> Generator[Room]:
        """Around the reading of one body."""
        room = Room(self, project_id)
        try:
            yield room
        finally:
            room.give_back()

    def take(self, project_id: str, size_bytes: int) -> bool:
        """Count so many bytes more, or fewer; False, and nothing is counted, without room."""
        own = self._by_project[project_id] + size_bytes
        everything = self._by_project.total() + size_bytes
        if size_bytes > 0 and (own > self._project_bytes or everything > 2 * self._project_bytes):
            return False
        self._by_project[project_id] = own
        return True
