"""How much of a conversation a run's model can be given. Pure."""

from __future__ import annotations

from runtime.controller.history import History
from runtime.models.port import ModelInfo
from runtime.schema.agents import AgentSpec
from runtime.schema.protocol import ContextSpec
from runtime.schema.steps import Step
from runtime.schema.tokens import step_tokens

UNKNOWN_WINDOW_TOKENS = 32_768
"""For models of which nobody said how much they can read."""


def context_of(
    info: ModelInfo, agent: AgentSpec | None, history: History, new: list[Step]
) -> ContextSpec:
    """The context of a run whose history ends with the steps `new`."""
    own = agent.limits.compact_at if agent else None
    usage = (history.previous.usage if history.previous else None) or {}
    reported = usage.get("context_tokens")
    used = None
    if isinstance(reported, int):
        used = reported + sum(step_tokens(step) for step in new)
    return ContextSpec(
        window_tokens=info.context_tokens or UNKNOWN_WINDOW_TOKENS,
        compact_at=own or info.compact_at,
        used_tokens=used,
    )
