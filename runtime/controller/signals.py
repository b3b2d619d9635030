"""Wakes whoever waits for news of an interaction, without polling."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio


@dataclass(slots=True)
class _Bell:
    event: anyio.Event = field(default_factory=anyio.Event)
    waiting: int = 0


class Signals:
    """One bell per key, there only while somebody listens.

    Take the bell first, then look at the truth, then wait: news in between is not missed.
    """

    def __init__(self) -> None:
        self._bells: dict[str, _Bell] = {}

    def ring(self, key: str) -> None:
        """Wake everyone who took the bell of `key` before now."""
        bell = self._bells.pop(key, None)
        if bell is not None:
            bell.event.set()

    def listen(self, key: str) -> Listener:
        """Take the bell of `key`; to be used as a context manager."""
        return Listener(self._bells, key)


class Listener:
    """A bell that was taken."""

    def __init__(self, bells: dict[str, _Bell], key: str) -> None:
        self._bells = bells
        self._key = key

    def __enter__(self) -> Listener:
        self._bell = self._bells.setdefault(self._key, _Bell())
        self._bell.waiting += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._bell.waiting -= 1
        if self._bell.waiting == 0 and self._bells.get(self._key) is self._bell:
            del self._bells[self._key]

    async def wait(self) -> None:
        """Until the bell is rung."""
        await self._bell.event.wait()
