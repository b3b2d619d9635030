"""Steps: the units of an interaction, and the history that models are given.

A tool call is a step and its result is another. The wire spells them differently by kind of tool
(`code_execution_call`, `mcp_server_tool_call`, `function_call`, ...); `as_call` and `as_result`
read any of them as one `ToolCall` or `ToolResult`, `call_step` and `result_step` go back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from runtime.schema.base import Open
from runtime.schema.content import Content, TextContent, text_of
from runtime.schema.web_results import pages_text, search_text

CODE_EXECUTION = "code_execution"
GOOGLE_SEARCH = "google_search"
URL_CONTEXT = "url_context"


class UserInputStep(Open):
    """What the caller said."""

    type: Literal["user_input"] = "user_input"
    content: list[Content] = Field(default_factory=list[Content])


class CorrectionStep(UserInputStep):
    """What the runtime says to a model whose answer is not accepted; it is never stored."""


class ModelOutputStep(Open):
    """What the model said."""

    type: Literal["model_output"] = "model_output"
    content: list[Content] = Field(default_factory=list[Content])
    error: dict[str, Any] | None = None


class ThoughtStep(Open):
    """A summary of what the model thought; `signature` is the provider's, opaque."""

    type: Literal["thought"] = "thought"
    signature: str | None = None
    summary: list[Content] = Field(default_factory=list[Content])


class FunctionCallStep(Open):
    """A call of a sandbox tool or of the caller's own function."""

    type: Literal["function_call"] = "function_call"
    id: str
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class FunctionResultStep(Open):
    """The result of a `function_call`."""

    type: Literal["function_result"] = "function_result"
    call_id: str
    name: str | None = None
    result: Any = None
    is_error: bool | None = None


class CodeExecutionCallStep(Open):
    """Code that the model wants run: `arguments` is `{code, language}`."""

    type: Literal["code_execution_call"] = "code_execution_call"
    id: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])
    signature: str | None = None


class CodeExecutionResultStep(Open):
    """What the code printed, showed or raised."""

    type: Literal["code_execution_result"] = "code_execution_result"
    call_id: str
    result: str | list[Content] = ""
    is_error: bool | None = None
    signature: str | None = None


class GoogleSearchCallStep(Open):
    """A web search: `arguments` is `{queries: [...]}`."""

    type: Literal["google_search_call"] = "google_search_call"
    id: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class GoogleSearchResultStep(Open):
    """What a web search found."""

    type: Literal["google_search_result"] = "google_search_result"
    call_id: str
    result: Any = None
    is_error: bool | None = None


class UrlContextCallStep(Open):
    """Pages to read: `arguments` is `{urls: [...]}`."""

    type: Literal["url_context_call"] = "url_context_call"
    id: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class UrlContextResultStep(Open):
    """What the pages say."""

    type: Literal["url_context_result"] = "url_context_result"
    call_id: str
    result: Any = None
    is_error: bool | None = None


class McpServerToolCallStep(Open):
    """A call of a tool of an MCP server."""

    type: Literal["mcp_server_tool_call"] = "mcp_server_tool_call"
    id: str
    name: str
    server_name: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class McpServerToolResultStep(Open):
    """The result of a tool of an MCP server."""

    type: Literal["mcp_server_tool_result"] = "mcp_server_tool_result"
    call_id: str
    name: str | None = None
    server_name: str | None = None
    result: Any = None
    is_error: bool | None = None


Step = Annotated[
    UserInputStep
    | ModelOutputStep
    | ThoughtStep
    | FunctionCallStep
    | FunctionResultStep
    | CodeExecutionCallStep
    | CodeExecutionResultStep
    | GoogleSearchCallStep
    | GoogleSearchResultStep
    | UrlContextCallStep
    | UrlContextResultStep
    | McpServerToolCallStep
    | McpServerToolResultStep,
    Field(discriminator="type"),
]
"""One step; on the wire a JSON object told apart by `type`."""

STEP: TypeAdapter[Step] = TypeAdapter(Step)
STEPS: TypeAdapter[list[Step]] = TypeAdapter(list[Step])
CONTENTS: TypeAdapter[list[Content]] = TypeAdapter(list[Content])


def goes_on(step: Step) -> bool:
    """Whether the step is an input that says nothing but `continue`: the task is an earlier one."""
    return isinstance(step, UserInputStep) and text_of(step.content).strip().lower() == "continue"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model asked a tool to do. `server` is set for a tool of an MCP server."""

    id: str
    name: str
    arguments: dict[str, Any]
    server: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered: text and pictures for the model; `value` is the wire's own form."""

    content: list[Content] = field(default_factory=list[Content])
    is_error: bool = False
    value: Any = None

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return text_of(self.content)


def text_result(text: str, *, is_error: bool = False) -> ToolResult:
    """A result that is one piece of text."""
    return ToolResult([TextContent(text=text)], is_error)


_KIND_OF_STEP = {
    "code_execution_call": CODE_EXECUTION,
    "google_search_call": GOOGLE_SEARCH,
    "url_context_call": URL_CONTEXT,
}


def as_call(step: Step) -> ToolCall | None:
    """The call that `step` holds, or None when it is not a call."""
    if not step.type.endswith("_call"):
        return None
    match step:
        case FunctionCallStep():
            return ToolCall(step.id, step.name, step.arguments)
        case McpServerToolCallStep():
            return ToolCall(step.id, step.name, step.arguments, step.server_name)
        case CodeExecutionCallStep() | GoogleSearchCallStep() | UrlContextCallStep():
            return ToolCall(step.id, _KIND_OF_STEP[step.type], step.arguments)
        case _:
            return None


def as_result(step: Step) -> tuple[str, ToolResult] | None:
    """The call id and result that `step` holds, or None when it is not a result."""
    if not step.type.endswith("_result"):
        return None
    match step:
        case GoogleSearchResultStep() if isinstance(step.result, list):
            return step.call_id, _web_result(step, search_text(step.result))
        case UrlContextResultStep() if isinstance(step.result, list):
            return step.call_id, _web_result(step, pages_text(step.result))
        case (
            CodeExecutionResultStep()
            | FunctionResultStep()
            | GoogleSearchResultStep()
            | UrlContextResultStep()
            | McpServerToolResultStep()
        ):
            return step.call_id, _result(step.result, step.is_error)
        case _:
            return None


def call_step(call: ToolCall) -> Step:
    """The wire's step for a call."""
    if call.server is not None:
        return McpServerToolCallStep(
            id=call.id, name=call.name, server_name=call.server, arguments=call.arguments
        )
    match call.name:
        case "code_execution":
            return CodeExecutionCallStep(id=call.id, arguments=call.arguments)
        case "google_search":
            return GoogleSearchCallStep(id=call.id, arguments=call.arguments)
        case "url_context":
            return UrlContextCallStep(id=call.id, arguments=call.arguments)
        case _:
            return FunctionCallStep(id=call.id, name=call.name, arguments=call.arguments)


def result_step(call: ToolCall, result: ToolResult) -> Step:
    """The wire's step for the result of a call."""
    value = result.value if result.value is not None else _value(result)
    error = True if result.is_error else None
    if call.server is not None:
        return McpServerToolResultStep(
            call_id=call.id, name=call.name, server_name=call.server, result=value, is_error=error
        )
    match call.name:
        case "code_execution":
            return CodeExecutionResultStep(call_id=call.id, result=value, is_error=error)
        case "google_search":
            return GoogleSearchResultStep(call_id=call.id, result=value, is_error=error)
        case "url_context":
            return UrlContextResultStep(call_id=call.id, result=value, is_error=error)
        case _:
            return FunctionResultStep(call_id=call.id, name=call.name, result=value, is_error=error)


def _value(result: ToolResult) -> Any:
    if all(isinstance(part, TextContent) for part in result.content):
        return result.text
    return [part.model_dump(exclude_none=True) for part in result.content]


def _result(value: Any, is_error: bool | None) -> ToolResult:
    return ToolResult(_parts(value), bool(is_error), value)


def _web_result(step: GoogleSearchResultStep | UrlContextResultStep, text: str) -> ToolResult:
    return ToolResult([TextContent(text=text)], bool(step.is_error), step.result)


def _parts(value: Any) -> list[Content]:
    if isinstance(value, str):
        return [TextContent(text=value)]
    if isinstance(value, list) and value and all(_is_content(part) for part in value):
        return CONTENTS.validate_python(value)
    if value is None:
        return []
    return [TextContent(text=json.dumps(value, ensure_ascii=False, default=str))]


def _is_content(part: Any) -> bool:
    if isinstance(part, dict):
        return part.get("type") in {"text", "image", "audio", "video", "document"}
    return hasattr(part, "mime_type") or isinstance(part, TextContent)
