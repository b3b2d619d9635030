"""Guide-style calls and their answers, as the OpenAPI document shows them.

Nothing is read with these types: `runtime.api.compat.guide` translates such calls.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from runtime.schema.base import Open
from runtime.schema.resources import Interaction

SchemaVersion = Literal["2026-05-20", "v1", "v1beta", "v1alpha", "v1beta1"]


class SessionConfig(Open):
    """Opens a session, or changes its time to live."""

    model_config = ConfigDict(extra="forbid")

    ttl: Annotated[str, Field(pattern=r"^[0-9]{1,6}s?$")] | float | None = None
    """Seconds, such as `3600s`, from 1 s to 7 days."""


class GuideInteraction(Open):
    """A guide-style body of `POST /interactions`; the wire's own fields mean the same in it."""

    agent_id: str | None = None
    """Id or alias of an agent."""
    model: str | None = None
    """A configured model; beside `agent_id` the model that the agent is to use."""
    contents: str | list[Any] | dict[str, Any] | None = None
    """A text, texts, or `{role, parts}`."""
    messages: list[dict[str, Any]] | None = None
    """`{role, content}`, instead of `contents`."""
    session_id: str | None = None
    """The session that this is a turn of."""
    session_config: SessionConfig | None = None
    schemaVersion: SchemaVersion | None = None  # noqa: N815 - the wire's name
    """The shape of the answer: with `steps`. Left out, a call in an older shape gets `outputs`."""
    tools: list[Any] | None = None
    """`{codeExecution: {}}`, `{functionDeclarations: […]}` and the wire's own tools."""
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None


class GuideAnswer(Interaction):
    """An Interaction with what a guide-style call gets beside it."""

    operation_id: str
    """For `/operations/{id}`; the id of the interaction."""
    name: str
    """`operations/` and that id."""
    session_id: str | None = None
    outputs: list[dict[str, Any]] | None = None
    """In place of `steps`, in the old shape."""
    warnings: list[str] | None = None
