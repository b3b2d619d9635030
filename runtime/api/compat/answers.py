"""Answers to `POST /interactions` in the style of the call. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.api.compat import legacy
from runtime.api.compat.guide import read_guide
from runtime.controller.sessions import SessionCall

Json = dict[str, Any]
Events = AsyncGenerator[tuple[int, Json]]


@dataclass(frozen=True, slots=True)
class Call:
    """A call in the wire's shape, and how to answer it."""

    body: Any
    session: SessionCall | None = None
    is_guide_style: bool = False
    is_old: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def view(self, interaction: Json) -> Json:
        """The Interaction as the caller expects it."""
        if self.is_guide_style:
            identifier = interaction["id"]
            names = {"name": f"operations/{identifier}", "operation_id": identifier}
            interaction = {**interaction, **names}
        return legacy.old_view(interaction) if self.is_old else interaction

    def events(self, events: Events) -> Events:
        """The events as the caller expects them."""
        return legacy.old_events(events) if self.is_old else events


def read_call(body: Any, revision: str | None) -> Call:
    """The call in a body of either style. Raises `InvalidRequest`.

    `revision` is the header `Api-Revision`, by which old clients say which shape they read.
    """
    guide = read_guide(body, revision)
    if guide is None:
        return Call(body)
    is_old = guide.is_old
    headers = legacy.HEADERS if is_old else {}
    return Call(guide.body, guide.session, is_guide_style=True, is_old=is_old, headers=headers)
