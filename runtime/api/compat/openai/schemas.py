"""OpenAI-style answers, as this API's OpenAPI document shows them; OpenAI's own says more."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from runtime.schema.base import Open


class OpenAIFault(Open):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    """The field that is wrong, where it is one."""
    code: str | None


class OpenAIErrorBody(Open):
    """The body of every answer below `/openai` that is not a success."""

    error: OpenAIFault


class ResponseFault(Open):
    """Why a run failed."""

    code: str
    message: str


class OpenAIResponse(Open):
    """An interaction as a Response."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["in_progress", "completed", "failed", "cancelled", "incomplete"]
    background: bool
    model: str | None
    output: list[dict[str, Any]]
    error: ResponseFault | None
    incomplete_details: dict[str, Any] | None
    instructions: str | None
    previous_response_id: str | None
    parallel_tool_calls: bool
    store: bool
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    usage: dict[str, Any] | None
    metadata: dict[str, str]
    environment_id: str | None
    """The environment that was worked in; a field of ours."""


class OpenAIDeleted(Open):
    """What was deleted."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ChatCompletion(Open):
    """An interaction as a chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str | None
    choices: list[dict[str, Any]] = Field(min_length=1)
    usage: dict[str, Any]


class OpenAIModel(Open):
    """An agent or a model, to be called by its id."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class OpenAIModelList(Open):
    """Agents and models."""

    object: Literal["list"]
    data: list[OpenAIModel]
