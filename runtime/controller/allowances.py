"""How much an interaction and its sandbox get: what calls, agents and the operator say of it.

A call may ask for less than its agent has, and an agent for less than the operator allows; who
asks for more is told so. What nobody names is the default, lowered to what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from runtime.errors import InvalidRequest
from runtime.schema.agents import AgentLimits, AgentSpec
from runtime.schema.interactions import CreateInteraction
from runtime.schema.limits import (
    CallLimits,
    Excess,
    SandboxLimits,
    excesses,
    lowered,
    sandbox_ceilings,
    setting_of,
)
from runtime.schema.protocol import RunLimits
from runtime.schema.settings import SandboxSettings, Settings

_RUN_FIELDS = tuple(CallLimits.model_fields)


class Allowances:
    """What the operator allows, and what that leaves to agents and calls."""

    def __init__(self, settings: Settings) -> None:
        self._runs = settings.limits
        self._sandboxes = sandbox_ceilings(settings)
        self.egress = settings.egress

    def of_run(self, request: CreateInteraction, agent: AgentSpec | None) -> RunLimits:
        """The limits of one interaction. Raises `InvalidRequest` when it asks for too much."""
        own = agent.limits if agent else AgentLimits()
        config = request.agent_config
        asked = (config and config.limits) or CallLimits()
        _refuse(excesses(asked, self._runs), "agent_config.limits", "limits.{} of the operator")
        _refuse(excesses(asked, _set_only(own)), "agent_config.limits", "limits.{} of the agent")
        figures: dict[str, Any] = {
            name: _least(getattr(asked, name) or getattr(own, name), getattr(self._runs, name))
            for name in _RUN_FIELDS
        }
        tokens = [config.max_total_tokens if config else None, own.max_total_tokens]
        figures["max_total_tokens"] = _least(*tokens, self._runs.max_total_tokens)
        return RunLimits(**figures)

    def of_environment(self, asked: SandboxLimits | None, agent: AgentSpec | None) -> SandboxLimits:
        """The limits that a new environment is given. Raises `InvalidRequest`."""
        wanted, own = asked or SandboxLimits(), agent.sandbox if agent else SandboxLimits()
        for excess in excesses(wanted, self._sandboxes):
            _refuse([excess], "environment.limits", f"{setting_of(excess.field)} of the operator")
        _refuse(excesses(wanted, own), "environment.limits", "sandbox.{} of the agent")
        return lowered(wanted, own)


def within(settings: SandboxSettings, limits: SandboxLimits) -> SandboxSettings:
    """The settings of one sandbox: an environment never gets more than the operator allows now."""
    names = set(SandboxLimits.model_fields) & set(SandboxSettings.model_fields)
    allowed = SandboxLimits.model_construct(**{name: getattr(settings, name) for name in names})
    least = lowered(limits, allowed)
    return settings.model_copy(update={name: getattr(least, name) for name in names})


def _refuse(found: Iterable[Excess], where: str, bound: str) -> None:
    for excess in found:
        name = excess.field
        key = name.removesuffix("_bytes").removesuffix("_seconds")  # as files spell it
        raise InvalidRequest(f"{where}.{name}: {excess} ({bound.format(key)}).")


def _set_only(limits: AgentLimits) -> BaseModel:
    """Only what the agent says itself binds a call: a default does not."""
    named = {name: getattr(limits, name) for name in limits.model_fields_set & {*_RUN_FIELDS}}
    return CallLimits.model_construct(**named)


def _least(*figures: float | None) -> float | None:
    return min((figure for figure in figures if figure is not None), default=None)
