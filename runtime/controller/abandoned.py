"""Answers that never arrived.

The official SDKs repeat a `POST /interactions` whose connection broke, up to four times within 30
seconds, the same body and no key: taken literally that starts the work again. So when a caller
goes away before its answer, the interaction is kept here for a while, and the next identical call
of the same caller takes it up instead of starting another. Identical calls that overlap, or that
follow an answer that was delivered, are calls of their own.
"""

from __future__ import annotations

from collections import OrderedDict

from runtime import clock

KEPT_SECONDS = 60.0
MAX_KEPT = 1000


class Abandoned:
    """Interactions whose callers went away, by fingerprint of caller and request."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def leave(self, fingerprint: str, interaction_id: str) -> None:
        """The caller went away before the answer."""
        self._kept[fingerprint] = (interaction_id, clock.monotonic() + KEPT_SECONDS)
        self._kept.move_to_end(fingerprint)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def take(self, fingerprint: str) -> str | None:
        """The interaction that this caller is still owed, once."""
        interaction_id, until = self._kept.pop(fingerprint, ("", 0.0))
        return interaction_id if clock.monotonic() < until else None
