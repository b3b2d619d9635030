"""Requests of `POST /interactions`, as strict as the wire allows.

What is not known is an error that names it; what is known but not served is refused by
`runtime.controller.resolve`, with a sentence of its own.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator

from runtime.errors import InvalidRequest
from runtime.schema.base import Request
from runtime.schema.content import Content
from runtime.schema.inputs import input_steps
from runtime.schema.limits import CallLimits, SandboxLimits
from runtime.schema.network import Network
from runtime.schema.steps import Step

_INT = re.compile(r"[0-9]{1,18}")


def _int64(value: Any) -> Any:
    # JSON has no 64-bit integers, so some SDKs send them as strings.
    return int(value) if isinstance(value, str) and _INT.fullmatch(value) else value


Int64 = Annotated[int, BeforeValidator(_int64, json_schema_input_type=int | str)]


class AgentConfig(Request):
    """Settings of one call of an agent."""

    type: Literal["antigravity", "dynamic"] = "antigravity"
    model: str | None = None
    """The model to use instead of the agent's own."""
    max_total_tokens: Int64 | None = Field(default=None, ge=1)
    """Input, output and thinking together; the run then ends with status `incomplete`."""
    limits: CallLimits | None = None
    """What this interaction may use, below the agent's own figures."""


class AllowedTools(Request):
    """The tools that a model may call."""

    mode: Literal["auto", "any", "none", "validated"] = "auto"
    tools: list[str] | None = None


class ToolChoiceConfig(Request):
    """How a model may use tools."""

    allowed_tools: AllowedTools


class GenerationConfig(Request):
    """Sampling and length, for calls of a model."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = None
    max_output_tokens: Int64 | None = Field(default=None, ge=1)
    stop_sequences: list[str] | None = None
    thinking_level: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    thinking_summaries: Literal["auto", "none"] | None = None
    tool_choice: Literal["auto", "any", "none", "validated"] | ToolChoiceConfig | None = None
    image_config: dict[str, Any] | None = None
    speech_config: Any = None
    transcription_config: dict[str, Any] | None = None
    video_config: dict[str, Any] | None = None


class CodeExecutionTool(Request):
    """Python and bash in the sandbox."""

    type: Literal["code_execution"]


class FilesystemTool(Request):
    """File tools in the sandbox; an agent with an environment has them without asking."""

    type: Literal["filesystem"]


class BrowserTool(Request):
    """A browser in the sandbox."""

    type: Literal["browser"]


class FunctionTool(Request):
    """A function that the caller runs: the interaction stops with `requires_action`."""

    type: Literal["function"]
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments, of type `object`."""
    short_description: str | None = None
    defer_loading: bool | None = None


class McpServerTool(Request):
    """The tools of an MCP server that speaks Streamable HTTP."""

    type: Literal["mcp_server"]
    name: str | None = Field(default=None, pattern=r"^[a-z0-9_-]+$")
    url: str | None = None
    headers: dict[str, str] | None = None
    allowed_tools: list[str | AllowedTools] | None = None
    credential: str | None = None


class GoogleSearchTool(Request):
    """Web search."""

    type: Literal["google_search"]
    search_types: list[str] | None = None


class UrlContextTool(Request):
    """Pages read by the controller."""

    type: Literal["url_context"]


Tool = Annotated[
    CodeExecutionTool
    | FilesystemTool
    | BrowserTool
    | FunctionTool
    | McpServerTool
    | GoogleSearchTool
    | UrlContextTool,
    Field(discriminator="type"),
]


class Source(Request):
    """Something to put into a new environment."""

    type: Literal["inline", "repository", "gcs", "skill_registry"]
    target: str | None = None
    """Where to put it; a relative path starts at the root of the environment."""
    source: str | None = None
    content: str | None = None
    encoding: Literal["utf-8", "base64"] | None = None


class VariableValue(Request):
    """The value of an environment variable, or where to find it."""

    value: str | None = None
    credential: str | None = None


class EnvironmentRequest(Request):
    """A new environment, or one to go on in."""

    type: Literal["remote"] = "remote"
    environment_id: str | None = None
    env_id: str | None = None
    """Another spelling of `environment_id`."""
    sources: list[Source] | None = None
    network: Network | None = None
    """What it may reach; left out, the agent's own rules, else the operator's default."""
    env: dict[str, str | VariableValue] | None = None
    limits: SandboxLimits | None = None
    """What a new environment's sandboxes get, below the agent's and the operator's figures."""


def _environment(value: Any) -> Any:
    if isinstance(value, str):
        return {} if value == "remote" else {"environment_id": value}
    return value


Environment = Annotated[
    EnvironmentRequest,
    BeforeValidator(_environment, json_schema_input_type=str | EnvironmentRequest),
]


def _checked_input(value: Any) -> Any:
    input_steps(value)
    return value


Input = Annotated[
    Any, PlainValidator(_checked_input, json_schema_input_type=str | Content | list[Content | Step])
]


class CreateInteraction(Request):
    """The body of `POST /interactions`: one of `agent` and `model`, and `input`."""

    agent: str | None = None
    """Id or alias of an agent."""
    model: str | None = None
    """A configured model, to be asked without an agent."""
    input: Input
    """A text, a content part, a list of content parts, or a list of steps."""
    agent_config: AgentConfig | None = None
    generation_config: GenerationConfig | None = None
    environment: Environment | None = None
    """`remote` for a new one, the id of one to go on in, or an object."""
    tools: list[Tool] | None = None
    """Replaces the agent's own tools."""
    system_instruction: str | None = None
    previous_interaction_id: str | None = None
    stream: bool = False
    background: bool = False
    store: bool = True
    labels: dict[str, str] | None = None
    response_format: dict[str, Any] | list[dict[str, Any]] | None = None
    response_mime_type: str | None = None
    response_modalities: list[str] | None = None
    service_tier: str | None = None
    cached_content: str | None = None
    safety_settings: list[dict[str, Any]] | None = None
    webhook_config: dict[str, Any] | None = None
    continuation_token: str | None = None


_REFUSED_TOOLS = {"computer_use", "file_search", "google_maps", "retrieval", "tool_search"}


def refuse_unserved_tools(body: Any) -> None:
    """Say in plain words that a tool of the API is not served. Raises `InvalidRequest`."""
    tools = body.get("tools") if isinstance(body, dict) else None
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind in _REFUSED_TOOLS:
            raise InvalidRequest(f"tools[{index}]: the tool '{kind}' is not supported.")
