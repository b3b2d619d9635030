"""What the runner needs of its neighbours, in the words of the runner."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Set
from typing import Any, Protocol

from runtime.errors import ToolFault
from runtime.models.port import ModelInfo
from runtime.schema.model import FunctionDeclaration, ModelPart, ModelRequest
from runtime.schema.protocol import Fault
from runtime.schema.steps import ToolResult
from runtime.schema.usage import Usage


class Journal(Protocol):
    """Where a run's events go; stored first, shown then."""

    async def append(self, interaction_id: str, events: list[dict[str, Any]]) -> int:
        """Store events and return the number of the last one. Raises `StorageFull`."""
        ...

    async def settle(
        self, interaction_id: str, status: str, usage: Usage, error: Fault | None
    ) -> bool:
        """Write the final status and event; False, and no change, when it had settled before.

        Raises `StorageFull`.
        """
        ...


class Model(Protocol):
    """One provider of models."""

    @property
    def info(self) -> ModelInfo:
        """What is known of it."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """The parts of one answer, the last one a `ModelDone`. Raises `ModelFault`."""
        ...


class ModelDirectory(Protocol):
    """Finds the provider of a model."""

    def resolve(self, name: str) -> tuple[Model, str]:
        """The provider and the provider's own name of the model. Raises `ModelNotConfigured`."""
        ...


class Delivery(Protocol):
    """Brings media into the form that a model takes."""

    async def deliver(
        self, request: ModelRequest, model: Model, granted: frozenset[str]
    ) -> ModelRequest:
        """The request with bytes, text or notes for all media that it refers to; never fails.

        Nothing is found by a reference that is not in `granted`.
        """
        ...


class NoDelivery:
    """Requests go to models as they are."""

    async def deliver(
        self, request: ModelRequest, model: Model, granted: frozenset[str]
    ) -> ModelRequest:
        """The same."""
        return request


class RelayedTools(Protocol):
    """Tools that the controller runs."""

    async def listed(self, interaction_id: str, taken: Set[str]) -> list[FunctionDeclaration]:
        """What the servers of an interaction offer, once they have said it.

        No name is one of `taken`. Raises `ToolServerFault` and `InvalidRequest`.
        """
        ...

    async def call(self, interaction_id: str, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Run one. Raises `ToolFault`."""
        ...

    async def release(self, interaction_id: str) -> None:
        """The interaction is over: let go of what is held for it. Nothing the second time."""
        ...


class NoRelayedTools:
    """No tool is run by the controller."""

    async def listed(self, interaction_id: str, taken: Set[str]) -> list[FunctionDeclaration]:
        """Nothing."""
        return []

    async def call(self, interaction_id: str, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Refuse."""
        raise ToolFault(f"There is no tool {name}.")

    async def release(self, interaction_id: str) -> None:
        """Nothing is held."""
