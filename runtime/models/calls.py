"""Tool calls out of a stream: one call after another, though their pieces may come mixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from runtime.ids import new_id
from runtime.schema.model import CallArguments, CallEnd, CallStart, ModelPart


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    text: str = ""
    waiting: list[str] = field(default_factory=list[str])
    ended: bool = False

    @property
    def is_whole(self) -> bool:
        try:
            json.loads(self.text)
        except ValueError:
            return False
        return True


class CallStream:
    """Gives on the pieces of the oldest call that has not ended, and keeps those of later ones.

    `key` is whatever the provider tells its calls apart by. `taken` are ids that a call must not
    have; a missing or taken id is replaced by a new one.
    """

    def __init__(self, taken: Collection[str] = (), make_id: Callable[[str], str] = new_id) -> None:
        self._taken = set(taken)
        self._make_id = make_id
        self._calls: dict[object, _Call] = {}
        self._queue: list[_Call] = []
        self.any = False

    def has(self, key: object) -> bool:
        """Whether a call with this key was started."""
        return key in self._calls

    def is_whole(self, key: object) -> bool:
        """Whether the arguments so far are a whole JSON value."""
        return self._calls[key].is_whole

    def has_arguments(self, key: object) -> bool:
        """Whether any piece of the arguments came."""
        return bool(self._calls[key].text)

    def start(self, key: object, call_id: str | None, name: str) -> list[ModelPart]:
        """A call begins."""
        if not call_id or call_id in self._taken:
            call_id = self._make_id("call")
        self._taken.add(call_id)
        self.any = True
        call = self._calls[key] = _Call(call_id, name)
        self._queue.append(call)
        return [CallStart(id=call.id, name=call.name)] if self._queue[0] is call else []

    def arguments(self, key: object, fragment: str) -> list[ModelPart]:
        """A piece of the arguments came."""
        call = self._calls[key]
        if not fragment or call.ended:
            return []
        call.text += fragment
        if self._queue[0] is call:
            return [CallArguments(fragment=fragment)]
        call.waiting.append(fragment)
        return []

    def end(self, key: object) -> list[ModelPart]:
        """A call is whole; later ones that waited for it follow."""
        self._calls[key].ended = True
        parts: list[ModelPart] = []
        while self._queue and self._queue[0].ended:
            call = self._queue.pop(0)
            if not call.text:
                parts.append(CallArguments(fragment="{}"))
            parts.append(CallEnd())
            parts += self._begin_next()
        return parts

    def end_all(self) -> list[ModelPart]:
        """No more pieces come: every call ends."""
        return [part for key in list(self._calls) for part in self._end_open(key)]

    def _end_open(self, key: object) -> list[ModelPart]:
        return [] if self._calls[key].ended else self.end(key)

    def _begin_next(self) -> list[ModelPart]:
        if not self._queue:
            return []
        call = self._queue[0]
        waiting, call.waiting = call.waiting, []
        return [
            CallStart(id=call.id, name=call.name),
            *(CallArguments(fragment=fragment) for fragment in waiting),
        ]


def whole_arguments(value: object) -> str:
    """Arguments that came as an object, or as text already."""
    return value if isinstance(value, str) else json.dumps(value or {}, ensure_ascii=False)
