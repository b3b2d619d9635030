"""Which of its tools a run may or must call. Pure."""

from __future__ import annotations

from runtime.controller.plan import RunPlan
from runtime.controller.toolset import Toolset
from runtime.errors import InvalidRequest
from runtime.schema.faults import did_you_mean
from runtime.schema.interactions import ToolChoiceConfig
from runtime.schema.model import FunctionDeclaration, ToolChoice

_PATH = "generation_config.tool_choice"


def choice_of(asked: str | ToolChoiceConfig | None, tools: Toolset) -> ToolChoice:
    """What `asked` means for `tools`. Raises `InvalidRequest`.

    What servers may still offer is taken on trust; `with_listed` looks again.
    """
    if asked is None:
        return ToolChoice()
    choice = (
        ToolChoice.model_validate({"mode": asked})
        if isinstance(asked, str)
        else _allowed(asked, tools)
    )
    callable_names = tools.names if choice.names is None else choice.names
    if choice.mode == "any" and not callable_names and not tools.servers:
        raise InvalidRequest(f"{_PATH}: 'any' needs a tool that can be called; there is none.")
    return choice


def with_listed(plan: RunPlan, listed: list[FunctionDeclaration]) -> RunPlan:
    """The plan with what its servers offer. Raises `InvalidRequest`."""
    spec = plan.spec
    relayed = [*spec.relayed_tools, *listed]
    tools = Toolset(spec.sandbox_tools, spec.client_functions, relayed)
    asked = plan.awaited.tool_choice if plan.awaited else None
    choice = choice_of(asked, tools)
    known = spec.model_copy(update={"relayed_tools": relayed, "tool_choice": choice})
    return plan.model_copy(update={"spec": known, "awaited": None})


def _allowed(asked: ToolChoiceConfig, tools: Toolset) -> ToolChoice:
    allowed = asked.allowed_tools
    if allowed.tools is None:
        return ToolChoice(mode=allowed.mode)
    names: list[str] = []
    for name in allowed.tools:
        meant = tools.meant_by(name)
        if not meant and not tools.is_awaited(name):
            raise InvalidRequest(
                f"{_PATH}.allowed_tools.tools: there is no tool '{name[:80]}' in this call."
                f"{did_you_mean(name, tools.names)}"
            )
        names += meant
    return ToolChoice(mode=allowed.mode, names=list(dict.fromkeys(names)))
