"""What a tool of the sandbox is: an async callable that reports live output and gives a result.

A tool is cancelled by cancelling its task; before it returns from the cancellation it must have
stopped what it started (interrupted the kernel, killed the command), within about a second.
It raises `ToolFault` for a mistake of the model's, which reaches the model as an error result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from runtime.schema.steps import ToolResult

Emit = Callable[[str], Awaitable[None]]
"""Takes live text output while the tool runs."""


class Tool(Protocol):
    """One tool; its name and arguments are those of `runtime.schema.sandbox_tools`."""

    async def __call__(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Run once. Arguments were checked for required names and JSON types before."""
        ...
