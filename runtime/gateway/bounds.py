"""What keeps one guest from taking the controller's memory and time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from runtime import clock

SHARE = 0.2
BURST_SECONDS = 1.0


class ByteBudget:
    """Bytes that may wait at once; one message larger than all of it may wait alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._given_back = anyio.Event()

    async def take(self, size: int) -> None:
        """Wait until there is room for `size` bytes, and take it."""
        while self._used and self._used + size > self._limit:
            await self._given_back.wait()
        self._used += size

    def give_back(self, size: int) -> None:
        """The message waits no longer."""
        self._used -= size
        self._given_back.set()
        self._given_back = anyio.Event()


class Pace:
    """The share of the controller's time that one guest may have; who took more has to rest."""

    def __init__(self, share: float = SHARE, burst_seconds: float = BURST_SECONDS) -> None:
        """`burst_seconds` of work come at once after a quiet time, `share` of them a second."""
        self._share = share
        self._most = burst_seconds
        self._left = burst_seconds
        self._seen = clock.monotonic()

    @contextmanager
    def work(self, weight: float = 1.0) -> Generator[None]:
        """Count the time inside, which must not wait for anything, `weight` times."""
        begun = clock.monotonic()
        try:
            yield
        finally:
            self.spend((clock.monotonic() - begun) * weight)

    def spend(self, seconds: float) -> None:
        """Count work that is done elsewhere."""
        now = clock.monotonic()
        self._left = min(self._most, self._left + (now - self._seen) * self._share) - seconds
        self._seen = now

    async def rest(self) -> None:
        """Wait until the guest may have something done again; others have a turn in any case."""
        self.spend(0)
        await anyio.sleep(max(0.0, -self._left / self._share))
