"""What the interactions service looks things up in: agents, models, tools run by the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from runtime.models.port import ModelInfo
from runtime.schema.agents import AgentSpec
from runtime.schema.callers import DEFAULT_PROJECT
from runtime.schema.model import FunctionDeclaration, Generation


class AgentDirectory(Protocol):
    """The agents there are."""

    def get(self, name: str) -> AgentSpec:
        """The agent with this id or alias. Raises `NotFound` with the names there are."""
        ...

    def list(self) -> list[AgentSpec]:
        """All agents, by id."""
        ...


class ModelCatalog(Protocol):
    """The models there are."""

    @property
    def default(self) -> str | None:
        """The model of agents that name none."""
        ...

    def info(self, name: str) -> ModelInfo:
        """What is known of a model. Raises `ModelNotConfigured`."""
        ...

    def check(self, name: str) -> None:
        """Raises `ModelNotConfigured`, with a sentence that says how to configure it."""
        ...

    def unsupported(self, name: str, settings: Generation) -> tuple[str, str] | None:
        """A setting that the model does not take, and a sentence that says so."""
        ...

    def known(self) -> Sequence[ModelInfo]:
        """The models that callers can ask for by name."""
        ...


class CredentialDirectory(Protocol):
    """The credentials there are."""

    async def check(self, project_id: str, named: Mapping[str, str]) -> None:
        """Whether those in `named`, ids by where they are named, can be used.

        Raises `InvalidRequest`, also for a revoked one.
        """
        ...


class ToolOffers(Protocol):
    """The tools that the controller runs for a model: MCP servers, search, URL context."""

    async def offer(
        self, interaction_id: str, tool: dict[str, Any], project_id: str = DEFAULT_PROJECT
    ) -> list[FunctionDeclaration] | None:
        """What a tool, in its wire form, lets a model call; None where it is not configured.

        Only what was offered to an interaction can be called for it. What a server offers is asked
        meanwhile, and known to `RelayedTools.listed`. A stored credential that it names is one of
        the project. Raises `InvalidRequest` when the tool cannot be had as asked.
        """
        ...

    async def release(self, interaction_id: str) -> None:
        """The interaction comes to nothing or is over: let go of what is held for it."""
        ...


class NoToolOffers:
    """The controller runs no tools."""

    async def offer(
        self, interaction_id: str, tool: dict[str, Any], project_id: str = DEFAULT_PROJECT
    ) -> list[FunctionDeclaration] | None:
        """Nothing."""
        return None

    async def release(self, interaction_id: str) -> None:
        """Nothing is held."""
