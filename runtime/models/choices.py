"""What a tool choice comes to, and settings that a model does not take. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.errors import ModelRefused
from runtime.schema.model import ModelRequest, ToolChoice

Refusal = tuple[str, str]
"""A field of `Generation` that a model does not take, and a sentence that says so."""


def settled(request: ModelRequest) -> ToolChoice:
    """The tool choice of a request; an empty list of names allows no tool at all."""
    choice = request.tool_choice
    return ToolChoice(mode="none") if choice.names == [] else choice


def refuse(refusals: Iterable[Refusal]) -> None:
    """Raises `ModelRefused` with the first of `refusals`."""
    for _, sentence in refusals:
        raise ModelRefused(sentence)
