"""What a tool choice comes to. Pure."""

from __future__ import annotations

from runtime.schema.model import ModelRequest, ToolChoice


def settled(request: ModelRequest) -> ToolChoice:
    """The tool choice of a request; an empty list of names allows no tool at all."""
    choice = request.tool_choice
    return ToolChoice(mode="none") if choice.names == [] else choice
