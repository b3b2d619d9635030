"""Calls whose answers never arrived.

The official SDKs repeat a `POST /interactions` up to four times within 30 seconds, when something
in between gave up on it or, in some of them, when its connection broke: the same body, no key, no
mark. Taken literally that starts the work again. Only one thing tells a repetition from a second
call that is meant: nobody waits for the first one any more. So an interaction whose caller went
away before its answer is kept here for a while, and the next identical call of the same caller
takes it up instead of starting another, also while the first is still being begun. Identical calls
that overlap, or that follow an answer that was delivered, are calls of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import anyio
from anyio.lowlevel import checkpoint

from runtime import clock

KEPT_SECONDS = 60.0
MAX_KEPT = 1000
LOOKS = 12
"""How often the event loop turns before a connection that has ended counts as open: it must hear of
the end, the call that waits must, and the interaction must be left here."""


IsGone = Callable[[], Awaitable[bool]]
"""Whether the caller of a call is gone."""


class OpenCall:
    """A call that has no answer yet."""

    def __init__(self, is_gone: IsGone | None) -> None:
        self.is_gone = is_gone
        """None where the call itself leaves what it began."""
        self.is_taken = False
        """Whether another call took it up: its interaction is that one's now."""
        self.interaction_id: str | None = None
        self.ended = anyio.Event()


class Abandoned:
    """Interactions whose callers went away, by fingerprint of caller and request."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._open: dict[str, list[OpenCall]] = {}

    @contextmanager
    def calling(self, fingerprint: str, is_gone: IsGone | None) -> Generator[OpenCall]:
        """Around a call, as long as its caller may still go away and come again."""
        call = OpenCall(is_gone)
        calls = self._open.setdefault(fingerprint, [])
        calls.append(call)
        try:
            yield call
        finally:
            call.ended.set()
            calls.remove(call)
            if not calls:
                self._open.pop(fingerprint, None)

    def leave(self, fingerprint: str, interaction_id: str) -> None:
        """The caller went away before the answer."""
        self._kept[fingerprint] = (interaction_id, clock.monotonic() + KEPT_SECONDS)
        self._kept.move_to_end(fingerprint)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    async def take(self, fingerprint: str) -> str | None:
        """The interaction that this caller is still owed, once."""
        for _ in range(LOOKS):
            interaction_id = self._left(fingerprint)
            if interaction_id is not None or fingerprint not in self._open:
                return interaction_id
            for call in [*self._open[fingerprint]]:
                if call.is_gone and not call.is_taken and await call.is_gone():
                    call.is_taken = True
                    await call.ended.wait()
                    return call.interaction_id
            await checkpoint()
        return None

    def _left(self, fingerprint: str) -> str | None:
        interaction_id, until = self._kept.pop(fingerprint, ("", 0.0))
        return interaction_id if clock.monotonic() < until else None
