"""The latest events of the logs that somebody follows, in memory, for all who follow together.

An event that a thousand streams wait for is not read from the database a thousand times. A tail
holds a bounded stretch; who is behind it reads the database until it has caught up. So a slow
reader costs nothing but its place in the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import anyio

from runtime.store import Logged

MAX_EVENTS = 512
MAX_CHARACTERS = 1024 * 1024


@dataclass(slots=True)
class Tail:
    """The end of one log."""

    entries: deque[Logged] = field(default_factory=deque[Logged])
    last: int | None = None
    """The number of the last event; None while it is not known here."""
    is_settled: bool = False
    is_gone: bool = False
    bell: anyio.Event = field(default_factory=anyio.Event)
    """Rung with the next news. Take it first, then look at the truth, then wait."""
    readers: int = 0
    _size: int = 0

    def after(self, seq: int) -> list[Logged] | None:
        """All events behind `seq`, perhaps none; None when the database has to be asked."""
        if self.last is None or seq > self.last:
            return None
        missing = self.last - seq
        if missing > len(self.entries):
            return None
        return list(islice(self.entries, len(self.entries) - missing, None))

    def add(self, stored: list[Logged], *, settled: bool) -> None:
        """Take in what was stored, and ring."""
        if stored and self.last is not None and stored[0].seq != self.last + 1:
            # Told out of order. The database knows better than this tail.
            self._clear()
        elif stored:
            self.entries.extend(stored)
            self._size += sum(len(one.text) for one in stored)
            self.last = stored[-1].seq
            self._trim()
        self.is_settled = self.is_settled or settled
        self.ring()

    def ring(self) -> None:
        """Wake all who took the bell before now."""
        bell, self.bell = self.bell, anyio.Event()
        bell.set()

    def _trim(self) -> None:
        while len(self.entries) > MAX_EVENTS or self._size > MAX_CHARACTERS:
            self._size -= len(self.entries.popleft().text)

    def _clear(self) -> None:
        self.entries.clear()
        self._size = 0
        self.last = None


class Tails:
    """One tail for each log that is followed."""

    def __init__(self) -> None:
        self._tails: dict[str, Tail] = {}

    @contextmanager
    def follow(self, interaction_id: str) -> Generator[Tail]:
        """The tail of a log, for as long as it is read."""
        tail = self._tails.setdefault(interaction_id, Tail())
        tail.readers += 1
        try:
            yield tail
        finally:
            tail.readers -= 1
            if tail.readers == 0:
                del self._tails[interaction_id]

    def add(self, interaction_id: str, stored: list[Logged], *, settled: bool = False) -> None:
        """These events were stored behind all others."""
        tail = self._tails.get(interaction_id)
        if tail is not None:
            tail.add(stored, settled=settled)

    def forget(self, interaction_id: str) -> None:
        """The log was deleted."""
        tail = self._tails.get(interaction_id)
        if tail is not None:
            tail.is_gone = True
            tail.ring()
