"""Calls of tools that the controller runs: each ends within the time that a tool has."""

from __future__ import annotations

from typing import Any

import anyio

from runtime.controller.plan import RunPlan
from runtime.controller.ports import RelayedTools
from runtime.errors import ToolFault
from runtime.schema.steps import ToolResult
from runtime.schema.tokens import characters

MAX_RESULT_CHARS = 16 * 1024 * 1024
"""Of one result, pictures included."""


async def in_time(
    tools: RelayedTools, plan: RunPlan, name: str, arguments: dict[str, Any]
) -> ToolResult:
    """The result of one call. Raises `ToolFault`, also when it takes too long."""
    seconds = plan.spec.limits.tool_timeout_seconds
    with anyio.move_on_after(seconds):
        result = await tools.call(plan.interaction_id, name, arguments)
        return _checked(name, result)
    raise ToolFault(
        f"{name} did not answer within {seconds:g} s, which is all the time that a tool has "
        "(limits.tool_timeout)."
    )


def _checked(name: str, result: ToolResult) -> ToolResult:
    size = sum(len(part.model_dump_json()) for part in result.content) + characters(result.value)
    if size <= MAX_RESULT_CHARS:
        return result
    raise ToolFault(
        f"The result of {name} was left out: it takes {size // 1024**2} MiB, and at most "
        f"{MAX_RESULT_CHARS // 1024**2} MiB are taken. Ask for less at once."
    )
