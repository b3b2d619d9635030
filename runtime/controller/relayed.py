"""Calls of tools that the controller runs: each ends within the time that a tool has."""

from __future__ import annotations

from typing import Any

import anyio

from runtime.controller.plan import RunPlan
from runtime.controller.ports import RelayedTools
from runtime.errors import ToolFault
from runtime.schema.steps import ToolResult


async def in_time(
    tools: RelayedTools, plan: RunPlan, name: str, arguments: dict[str, Any]
) -> ToolResult:
    """The result of one call. Raises `ToolFault`, also when it takes too long."""
    seconds = plan.spec.limits.tool_timeout_seconds
    with anyio.move_on_after(seconds):
        return await tools.call(plan.interaction_id, name, arguments)
    raise ToolFault(
        f"{name} did not answer within {seconds:g} s, which is all the time that a tool has "
        "(limits.tool_timeout)."
    )
