"""How long, and with which pauses, to try to get back to a controller that went away."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from runtime import clock
from runtime.client.faults import ConnectionLost, ControllerUnreachable

PATIENCE_SECONDS = 60.0
_FIRST_DELAY = 0.1  # seconds
_LAST_DELAY = 5.0  # seconds

T = TypeVar("T")


class Patience:
    """The pauses between attempts: doubling, jittered, until `PATIENCE_SECONDS` are over."""

    def __init__(self) -> None:
        self._deadline: float | None = None
        self._delay = _FIRST_DELAY

    def next_delay(self) -> float | None:
        """Seconds to wait before the next attempt; None to give up."""
        if self._deadline is None:
            self._deadline = clock.monotonic() + PATIENCE_SECONDS
        if clock.monotonic() > self._deadline:
            return None
        delay, self._delay = self._delay, min(self._delay * 2, _LAST_DELAY)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311  # nosec B311  # spreads load, guards nothing


async def persistently(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns, made again when its connection broke; not when there never was one.

    Only for what may be asked twice.
    """
    patience = Patience()
    was_sent = False
    while True:
        try:
            return await attempt()
        except ControllerUnreachable as fault:
            was_sent = was_sent or isinstance(fault, ConnectionLost)
            delay = patience.next_delay() if was_sent else None
            if delay is None:
                raise
        await anyio.sleep(delay)
