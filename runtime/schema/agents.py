"""An agent as the controller knows it, whether it came from YAML or over the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from runtime.schema.base import Strict
from runtime.schema.limits import SandboxLimits
from runtime.schema.model import FunctionDeclaration, Generation
from runtime.schema.network import Network


class AgentLimits(Strict):
    """What one interaction of the agent may use; what is left out is the default limit."""

    max_steps: int = Field(default=200, ge=1, le=10_000)
    """Model turns."""
    timeout_seconds: float = Field(default=3600.0, gt=0, le=86_400)
    max_total_tokens: int | None = Field(default=None, ge=1)
    tool_timeout_seconds: float = Field(default=300.0, gt=0, le=86_400)
    output_chars: int = Field(default=20_000, ge=1000, le=1_000_000)
    """Of one result of code execution; the whole is kept in a file."""
    log_bytes: int = Field(default=64 * 1024**2, ge=64 * 1024, le=1024**3)
    """Of all steps of an interaction, as they are stored."""
    compact_at: float | None = Field(default=None, ge=0.1, le=0.95)
    """Share of the model's context at which older steps are compacted; the configured one when
    None."""


class Skill(Strict):
    """A folder with a `SKILL.md` that the agent reads when it needs it."""

    name: str
    description: str
    folder: Path


class DataSource(Strict):
    """A file or folder of the operator's that is copied into a new workspace."""

    path: Path
    """On the controller's machine, absolute."""
    target: str
    """In the workspace, absolute."""


class AgentSpec(Strict):
    """Everything that makes an agent."""

    id: str
    aliases: list[str] = Field(default_factory=list[str])
    description: str = ""
    model: str | None = None
    """An alias or `provider/name`; the configured default when None."""
    instructions: str = ""
    sandbox_tools: list[str] = Field(default_factory=list[str])
    """Names of `runtime.schema.sandbox_tools`."""
    functions: list[FunctionDeclaration] = Field(default_factory=list[FunctionDeclaration])
    other_tools: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    """Tools in their wire form that the controller runs, such as `mcp_server`."""
    skills: list[Skill] = Field(default_factory=list[Skill])
    data_sources: list[DataSource] = Field(default_factory=list[DataSource])
    environment_variables: dict[str, str] = Field(default_factory=dict[str, str])
    credential_variables: dict[str, str] = Field(default_factory=dict[str, str])
    """Variables by the ids of the credentials that stand behind them."""
    network: Network | None = None
    """What its environments may reach; None is the operator's default."""
    generation: Generation = Generation()
    limits: AgentLimits = AgentLimits()
    sandbox: SandboxLimits = SandboxLimits()
    """What its sandboxes get, below the operator's figures."""
    source: str | None = None
    """`file:line` of where it was read; None for one made over the API."""
