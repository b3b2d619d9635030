"""OpenAI-style requests as bodies of `POST /interactions`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.api.compat.messages import read_messages
from runtime.api.compat.openai.inputs import read_input
from runtime.api.compat.openai.requests import ChatRequest, ResponsesRequest
from runtime.api.compat.openai.tools import (
    beside_the_agents_own,
    container_of,
    wire_choice,
    wire_tools,
)
from runtime.errors import InvalidRequest

Json = dict[str, Any]
_INCLUDES = {
    "reasoning.encrypted_content",
    "code_interpreter_call.outputs",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "file_search_call.results",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call means: an agent, or a model where there is no agent of that name."""

    name: str
    agent: Json | None = None


@dataclass(frozen=True, slots=True)
class Previous:
    """The response that a call follows."""

    interaction_id: str
    environment_id: str | None


def responses_body(asked: ResponsesRequest, target: Target, previous: Previous | None) -> Json:
    """The wire's body of a Responses call. Raises `InvalidRequest`, naming OpenAI's field."""
    for name in asked.include or []:
        if name not in _INCLUDES:
            raise InvalidRequest(f"include: '{name[:80]}' is not supported.")
    said = read_input(asked.input)
    thinking = asked.reasoning
    summary = thinking and (thinking.summary or thinking.generate_summary)
    generation = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "max_output_tokens": asked.max_output_tokens,
        "thinking_level": thinking.effort if thinking else None,
        "thinking_summaries": "auto" if summary else None,
        "tool_choice": wire_choice(asked.tool_choice),
    }
    texts = [asked.instructions or "", *said.instructions]
    body = {
        "input": said.steps,
        "system_instruction": "\n\n".join(text for text in texts if text) or None,
        "previous_interaction_id": previous.interaction_id if previous else None,
        "response_format": _format(asked.text.format if asked.text else None, "text.format"),
        "background": asked.background,
        "stream": asked.stream,
        "store": asked.store,
        "labels": asked.metadata or None,
    }
    tools = _tools(asked.tools, target)
    kinds = {tool["type"] for tool in tools or []}
    environment = container_of(asked.tools or [])
    if environment is None and previous and (target.agent or "code_execution" in kinds):
        environment = previous.environment_id
    names = {"max_output_tokens": "max_output_tokens", "thinking_level": "reasoning.effort"}
    return _body({**body, "tools": tools, "environment": environment}, generation, target, names)


def chat_body(asked: ChatRequest, target: Target) -> Json:
    """The wire's body of a Chat Completions call. Raises `InvalidRequest`."""
    said = read_messages(asked.messages)
    if asked.max_tokens is not None and asked.max_completion_tokens is not None:
        raise InvalidRequest("max_tokens: cannot be given together with 'max_completion_tokens'.")
    generation = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "seed": asked.seed,
        "max_output_tokens": asked.max_completion_tokens or asked.max_tokens,
        "stop_sequences": [asked.stop] if isinstance(asked.stop, str) else asked.stop,
        "thinking_level": asked.reasoning_effort,
        "tool_choice": wire_choice(asked.tool_choice),
    }
    tools = _tools(asked.tools, target)
    # An agent's run that stops for the caller's functions has to be there when it goes on.
    has_functions = any(tool["type"] == "function" for tool in tools or [])
    body = {
        "input": said.steps,
        "system_instruction": said.instruction,
        "response_format": _format(asked.response_format, "response_format"),
        "stream": asked.stream,
        "store": bool(asked.store) or (target.agent is not None and has_functions),
        "labels": asked.metadata or None,
        "tools": tools,
    }
    names = {
        "max_output_tokens": "max_completion_tokens",
        "stop_sequences": "stop",
        "thinking_level": "reasoning_effort",
    }
    return _body(body, generation, target, names)


def _tools(asked: list[Json] | None, target: Target) -> list[Json] | None:
    if not asked:
        return None
    tools = wire_tools(asked)
    return beside_the_agents_own(tools, target.agent) if target.agent else tools


def _body(body: Json, generation: Json, target: Target, names: Json) -> Json:
    """The body without what was not said. An agent brings its own settings for generation."""
    config = {name: value for name, value in generation.items() if value is not None}
    found = {name: value for name, value in body.items() if value is not None}
    if target.agent is None:
        found["model"] = target.name
        return {**found, "generation_config": config} if config else found
    refused = [names.get(name, name) for name in config]
    if "response_format" in found:
        refused.append(
            "text.format" if "max_output_tokens" in names.values() else "response_format"
        )
    for name in refused:
        raise InvalidRequest(
            f"{name}: cannot be set for the agent '{target.name}', which brings its own settings."
        )
    found["agent"] = target.agent["id"]
    return found


def _format(asked: Json | None, path: str) -> Json | None:
    match asked:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "text", "mime_type": "application/json"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return {"type": "text", "mime_type": "application/json", "schema": schema}
        case {"type": "json_schema", "schema": dict(schema)}:
            return {"type": "text", "mime_type": "application/json", "schema": schema}
        case _:
            raise InvalidRequest(
                f"{path}: use {{'type': 'text'}}, 'json_object', or 'json_schema' with a 'schema'."
            )
