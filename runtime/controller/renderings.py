"""Interactions as the JSON that callers get, kept in memory until they change.

Who polls asks for the same bytes again and again. The database stays the truth: what is kept here
is dropped with every write, and what was read before a write is never kept after it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 32 * 1024**2
MAX_COUNT = 10_000
Form = tuple[str, bool]
"""For whose project, and whether the input is included: nobody else is given these bytes."""


@dataclass(slots=True)
class Rendering:
    """One interaction in the forms that were asked for; take it first, then look at the truth."""

    bodies: dict[Form, bytes] = field(default_factory=dict[Form, bytes])

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(len(body) for body in self.bodies.values())


class Renderings:
    """The interactions that were looked at last."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_count: int = MAX_COUNT) -> None:
        self._kept: OrderedDict[str, Rendering] = OrderedDict()
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._bytes = 0

    def of(self, interaction_id: str) -> Rendering:
        """What is kept of an interaction; empty at first."""
        found = self._kept.get(interaction_id)
        if found is None:
            found = self._kept[interaction_id] = Rendering()
        self._kept.move_to_end(interaction_id)
        if len(self._kept) > self._max_count:
            self._forget_oldest()
        return found

    def keep(self, interaction_id: str, rendering: Rendering, form: Form, body: bytes) -> None:
        """Add a form, unless the interaction has changed since `rendering` was taken."""
        if self._kept.get(interaction_id) is not rendering or form in rendering.bodies:
            return
        rendering.bodies[form] = body
        self._bytes += len(body)
        while self._bytes > self._max_bytes:
            self._forget_oldest()

    def drop(self, interaction_id: str) -> None:
        """The interaction has changed or is gone."""
        found = self._kept.pop(interaction_id, None)
        if found is not None:
            self._bytes -= found.size

    def drop_empty(self, interaction_id: str) -> None:
        """The interaction is not there for who asked; others may have looked at it."""
        found = self._kept.get(interaction_id)
        if found is not None and not found.bodies:
            del self._kept[interaction_id]

    def _forget_oldest(self) -> None:
        self._bytes -= self._kept.popitem(last=False)[1].size


def render(view: dict[str, Any]) -> bytes:
    """The JSON of a view."""
    return json.dumps(view, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
