"""What an agent's YAML file may say. Every key is described in `docs/agents.md`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from runtime.schema.agents import AgentLimits
from runtime.schema.base import Strict
from runtime.schema.limits import SandboxLimits
from runtime.schema.model import Generation
from runtime.schema.network import Network
from runtime.specs.file_models import file_model

DEFAULT_TOOLS = ["code_execution", "filesystem", "browser"]


class DataSourceEntry(Strict):
    """One entry of `data_sources`; a bare text stands for its path."""

    path: str
    """A file, a folder or a glob pattern, relative to the agent's file."""
    target: str | None = None
    """Where it goes in the workspace; `/workspace/data/<name>` when left out."""

    @model_validator(mode="before")
    @classmethod
    def _bare_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class McpServerEntry(Strict):
    """A tool of type `mcp_server`: a server whose tools the controller offers to the agent."""

    type: str
    name: str
    url: str
    """Of its Streamable HTTP endpoint."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    allowed_tools: list[Any] | None = None
    """Names, or `{mode, tools}` as on the wire; all tools when left out."""
    credential: str | None = None
    """Id of a stored credential that signs the requests."""


class GoogleSearchEntry(Strict):
    """A tool of type `google_search`."""

    type: str
    search_types: list[str] | None = None


class UrlContextEntry(Strict):
    """A tool of type `url_context`."""

    type: str


class VariableEntry(Strict):
    """An environment variable: a text, or `{credential}` where the egress proxy puts the value in.

    A bare text stands for its value.
    """

    value: str | None = None
    credential: str | None = None
    """Id of a stored credential for environment variables."""

    @model_validator(mode="before")
    @classmethod
    def _bare_value(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"value": value}

    @model_validator(mode="after")
    def _has_one(self) -> VariableEntry:
        if (self.value is None) == (self.credential is None):
            raise ValueError("must be a text, or a mapping with the id of a `credential`")
        return self


class AgentFile(Strict):
    """The whole file."""

    id: str
    aliases: list[str] = Field(default_factory=list[str])
    description: str = ""
    model: str | None = None
    instructions: str | None = None
    instructions_file: str | None = None
    tools: list[Any] = Field(default_factory=lambda: list[Any](DEFAULT_TOOLS))
    skills: list[str] = Field(default_factory=list[str])
    data_sources: list[DataSourceEntry] = Field(default_factory=list[DataSourceEntry])
    environment_variables: dict[str, VariableEntry] = Field(
        default_factory=dict[str, VariableEntry]
    )
    network: Network | None = None
    generation: Generation = Generation()
    limits: AgentLimits = AgentLimits()
    sandbox: SandboxLimits = SandboxLimits()


AGENT_FILE = file_model(AgentFile)
"""The model that files are checked with."""
