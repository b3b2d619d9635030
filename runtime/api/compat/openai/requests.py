"""Bodies of OpenAI-style calls, read strictly: what is not served is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from runtime.errors import InvalidRequest
from runtime.schema.faults import explain

Json = dict[str, Any]


_NEUTRAL: dict[str, list[Any]] = {
    "verbosity": ["medium"],
    "service_tier": ["auto", "default"],
    "parallel_tool_calls": [True],
    "top_logprobs": [0],
    "truncation": ["disabled"],
    "n": [1],
    "logprobs": [False],
    "logit_bias": [{}],
    "frequency_penalty": [0],
    "presence_penalty": [0],
    "modalities": [["text"]],
}
"""Fields that are known, with the values that change nothing; with none, any value is refused."""


def _neutral(value: Any, info: ValidationInfo) -> Any:
    allowed = _NEUTRAL.get(info.field_name or "", [])
    if value is None or value in allowed:
        return value
    shown = " or ".join(repr(one) for one in allowed)
    raise ValueError(f"only {shown} is supported" if allowed else "is not supported")


Neutral = Annotated[Any, BeforeValidator(_neutral)]
Effort = Literal["minimal", "low", "medium", "high", "xhigh"]


class Body(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Reasoning(Body):
    """How much to think, and whether to show it."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class Text(Body):
    """The form of the answer."""

    format: Json | None = None
    verbosity: Neutral = None


class StreamOptions(Body):
    """How to stream."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Common(Body):
    model: str = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    tools: list[Json] | None = None
    tool_choice: Any = None
    # Said about the caller, not about the answer.
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: Neutral = None
    parallel_tool_calls: Neutral = None
    top_logprobs: Neutral = None
    moderation: Neutral = None
    prompt_cache_options: Neutral = None


class ResponsesRequest(_Common):
    """The body of `POST /responses`."""

    input: str | list[Any]
    instructions: str | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    reasoning: Reasoning | None = None
    text: Text | None = None
    include: list[str] | None = None
    truncation: Neutral = None
    max_tool_calls: Neutral = None
    conversation: Neutral = None
    prompt: Neutral = None
    context_management: Neutral = None


class ChatRequest(_Common):
    """The body of `POST /chat/completions`."""

    messages: list[Any] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    reasoning_effort: Effort | None = None
    response_format: Json | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Neutral = None
    logprobs: Neutral = None
    logit_bias: Neutral = None
    frequency_penalty: Neutral = None
    presence_penalty: Neutral = None
    modalities: Neutral = None
    verbosity: Neutral = None
    audio: Neutral = None
    prediction: Neutral = None
    web_search_options: Neutral = None
    functions: Neutral = None
    function_call: Neutral = None


Asked = TypeVar("Asked", ResponsesRequest, ChatRequest)


def read(kind: type[Asked], body: Any) -> Asked:
    """The request in a body. Raises `InvalidRequest`, naming fields."""
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(explain(error, body, known=kind.model_fields)) from error
