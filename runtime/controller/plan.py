"""What the runner is handed for one interaction: everything resolved, nothing left to look up."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from runtime.schema.agents import DataSource, Skill
from runtime.schema.base import Strict
from runtime.schema.callers import DEFAULT_PROJECT
from runtime.schema.interactions import ToolChoiceConfig
from runtime.schema.limits import SandboxLimits
from runtime.schema.protocol import RunSpec


class InlineFile(Strict):
    """A file that the caller put into the request."""

    target: str
    """Absolute in the sandbox."""
    content_base64: str


class Repository(Strict):
    """A repository that a new environment begins with."""

    url: str
    target: str
    """Absolute in the sandbox."""


class EnvironmentPlan(Strict):
    """The environment that a run needs, and what to put into it when it is new."""

    environment_id: str
    is_new: bool
    project_id: str = DEFAULT_PROJECT
    variables: dict[str, str] = Field(default_factory=dict[str, str])
    data_sources: list[DataSource] = Field(default_factory=list[DataSource])
    skills: list[Skill] = Field(default_factory=list[Skill])
    files: list[InlineFile] = Field(default_factory=list[InlineFile])
    repositories: list[Repository] = Field(default_factory=list[Repository])
    limits: SandboxLimits = SandboxLimits()
    """What its sandboxes get of what the operator allows."""
    network_changed: bool = False
    """Whether the call gave an existing environment new rules."""

    @property
    def has_contents(self) -> bool:
        """Whether there is anything to put into the environment before its first run."""
        return bool(self.data_sources or self.skills or self.files or self.repositories)


class AwaitedServers(Strict):
    """What the tools of a run depend on before its MCP servers have said what they offer."""

    names: list[str]
    tool_choice: str | ToolChoiceConfig | None = None
    """As it was asked for."""


class RunPlan(Strict):
    """One interaction, resolved."""

    interaction_id: str
    spec: RunSpec
    project_id: str = DEFAULT_PROJECT
    environment: EnvironmentPlan | None = None
    """None: no tool of the run needs a sandbox, so the loop runs in the controller."""
    awaited: AwaitedServers | None = None
    """Servers whose tools `spec` does not have yet."""


class Runs(Protocol):
    """Executes plans. The runner is the real one."""

    async def submit(self, plan: RunPlan) -> None:
        """Start the run, or queue it when all sandboxes are busy; returns at once.

        Events and the final status go to the event log, exactly one terminal status, always.
        """
        ...

    async def cancel(self, interaction_id: str) -> None:
        """Stop the run; returns once the interaction has settled. Nothing for a settled one."""
        ...
