"""What the loop asks a model and what a model streams back, the same for every provider."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from runtime.schema.base import Strict
from runtime.schema.steps import Step
from runtime.schema.usage import Usage


class FunctionDeclaration(Strict):
    """A tool as a model sees it."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object"})
    """JSON Schema of the arguments, always of type `object`."""


class ToolChoice(Strict):
    """Whether the model may, must or must not call tools, and which."""

    mode: Literal["auto", "any", "none", "validated"] = "auto"
    names: list[str] | None = None
    """The only tools that may be called; None is all of them."""


class Generation(Strict):
    """Sampling and length settings; None leaves the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    thinking_level: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    thinking_summaries: Literal["auto", "none"] | None = None


class ModelRequest(Strict):
    """One call of a model: the whole conversation and what it may use."""

    model: str
    """A name of the configuration, or `provider/name`."""
    system_instruction: str | None = None
    history: list[Step]
    tools: list[FunctionDeclaration] = Field(default_factory=list[FunctionDeclaration])
    tool_choice: ToolChoice = ToolChoice()
    generation: Generation = Generation()
    response_schema: dict[str, Any] | None = None
    """JSON Schema that the answer must satisfy."""
    purpose: Literal["turn", "summary"] = "turn"
    """`summary`: the loop wants the conversation summarised, for itself."""


class TextPart(Strict):
    """A piece of the answer."""

    type: Literal["text"] = "text"
    text: str


class ThoughtPart(Strict):
    """A piece of the thought summary."""

    type: Literal["thought"] = "thought"
    text: str


class SignaturePart(Strict):
    """Closes the current thought with the provider's proof of it.

    The value is `provider:opaque`, so that another provider knows to leave it out.
    """

    type: Literal["signature"] = "signature"
    signature: str


class CallStart(Strict):
    """The model begins to ask for a tool; the arguments follow in pieces."""

    type: Literal["call_start"] = "call_start"
    id: str
    name: str


class CallArguments(Strict):
    """A fragment of the JSON text of the arguments of the call that was started last."""

    type: Literal["call_arguments"] = "call_arguments"
    fragment: str


class CallEnd(Strict):
    """The call that was started last is whole."""

    type: Literal["call_end"] = "call_end"


class ModelDone(Strict):
    """The last part of every stream."""

    type: Literal["done"] = "done"
    reason: Literal["stop", "calls", "length", "refused"] = "stop"
    usage: Usage = Usage()


ModelPart = Annotated[
    TextPart | ThoughtPart | SignaturePart | CallStart | CallArguments | CallEnd | ModelDone,
    Field(discriminator="type"),
]
"""One part of a model's streamed answer."""

MODEL_PARTS: TypeAdapter[list[ModelPart]] = TypeAdapter(list[ModelPart])
