"""Anthropic's Messages API: requests to it, and its stream of events. Pure.

Thinking, by the model's version:

| `thinking_level` | from 4.7 | 4.6 | before, and other makers' models |
| --- | --- | --- | --- |
| (none) | the model's own; adaptive with `thinking_summaries: auto` | same | off |
| `minimal`, `low` | adaptive, effort `low` | same | budget of 1024, 2048 tokens |
| `medium` | adaptive, effort `medium` | same | 8192 |
| `high` | adaptive, effort `high` | same | 16384 |
| `xhigh` | adaptive, effort `xhigh` | effort `max` | 32768 |

`thinking_summaries: none` leaves the text of thoughts out. A thought comes back as the signature
`anthropic:PROOF`, one that the API hides as `anthropic:redacted:DATA`; both are replayed.

Prompt caching: breakpoints stand behind the tools, the system instruction, and the last two
messages of the user, so that each call of a long loop reads what the one before wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from runtime.models.choices import Refusal, refuse, settled
from runtime.models.media import media_of, refused, text_of_document
from runtime.models.schemas import plain
from runtime.models.transcript import (
    Answer,
    ModelTurn,
    Speech,
    Thought,
    Turn,
    UserTurn,
    transcript,
)
from runtime.schema.content import Content, TextContent
from runtime.schema.model import FunctionDeclaration, Generation, ModelRequest, ToolChoice
from runtime.schema.steps import ToolCall

PROVIDER = "anthropic"
REDACTED = "redacted:"

Version = tuple[int, int]

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_NEWEST: Version = (99, 0)
_OTHER_MAKER: Version = (4, 5)
_WITH_SCHEMAS: Version = (4, 5)
_ADAPTIVE: Version = (4, 6)
_FIXED_SAMPLING: Version = (4, 7)
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768}
_LEAST_BUDGET = 1024
_CACHED = {"cache_control": {"type": "ephemeral"}}
_NOT_CACHEABLE = {"thinking", "redacted_thinking"}


def version_of(model: str) -> Version:
    """The version in a model's name: `claude-opus-4-7` is (4, 7), `claude-sonnet-5` is (5, 0)."""
    if "claude" not in model:
        return _OTHER_MAKER
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST


def body(request: ModelRequest, model: str, *, vision: bool = True) -> dict[str, Any]:
    """The request, without `stream`. Raises `ModelRefused` for what the API has no field for."""
    turns = transcript(request.history, PROVIDER)
    tools = _tools(request, turns)
    made: dict[str, Any] = {
        "model": model,
        "messages": _messages(turns, vision),
        **_generation(request.generation, model),
    }
    if request.system_instruction:
        made["system"] = [{"type": "text", "text": request.system_instruction, **_CACHED}]
    if tools:
        made["tools"] = [*tools[:-1], {**tools[-1], **_CACHED}]
        made["tool_choice"] = _tool_choice(request)
    if request.response_schema is not None:
        schema = {"type": "json_schema", "schema": plain(request.response_schema)}
        made.setdefault("output_config", {})["format"] = schema
    return made


def takes_schema(model: str, request: ModelRequest) -> bool:
    """Whether answers by a schema can be asked for: from Claude 4.5 on, in few keywords."""
    if "claude" not in model or version_of(model) < _WITH_SCHEMAS:
        return False
    return request.response_schema is not None and plain(request.response_schema) is not None


def refusals(settings: Generation, model: str) -> Iterator[Refusal]:
    """What the model does not take, by itself or together with other settings."""
    version, said = version_of(model), f"The model anthropic/{model} does not take"
    if settings.seed is not None:
        yield "seed", f"{said} `seed`. Leave it out."
    for field in ("temperature", "top_p"):
        if getattr(settings, field) is None:
            continue
        if version >= _FIXED_SAMPLING:
            yield field, f"{said} `{field}`. Leave it out."
        elif settings.thinking_level is not None:
            yield field, f"{said} `{field}` together with `thinking_level`."
    tokens = settings.max_output_tokens or _most_output(version)
    if settings.thinking_level and version < _ADAPTIVE and tokens < 2 * _LEAST_BUDGET:
        least = 2 * _LEAST_BUDGET
        need = f"The model anthropic/{model} needs {least} or more."
        words = f"`max_output_tokens` of {tokens} is too little for `thinking_level`. {need}"
        yield "max_output_tokens", words


def _generation(settings: Generation, model: str) -> dict[str, Any]:
    refuse(refusals(settings, model))
    version = version_of(model)
    made: dict[str, Any] = {"max_tokens": settings.max_output_tokens or _most_output(version)}
    if settings.stop_sequences:
        made["stop_sequences"] = settings.stop_sequences
    # The SDK has no parameters for these any more, because newer models refuse them.
    sampling = {"temperature": settings.temperature, "top_p": settings.top_p}
    sampling = {name: value for name, value in sampling.items() if value is not None}
    if sampling:
        made["extra_body"] = sampling
    if settings.thinking_level is not None:
        made |= _thinking(settings, version, made["max_tokens"])
    elif settings.thinking_summaries == "auto" and version >= _ADAPTIVE:
        made["thinking"] = {"type": "adaptive", "display": "summarized"}
    return made


def _most_output(version: Version) -> int:
    return 8192 if version < (4, 0) else 32_000


def _thinking(settings: Generation, version: Version, max_tokens: int) -> dict[str, Any]:
    level = settings.thinking_level or "low"
    display = "omitted" if settings.thinking_summaries == "none" else "summarized"
    if version >= _ADAPTIVE:
        effort = {"minimal": "low", "xhigh": "max" if version < _FIXED_SAMPLING else "xhigh"}
        return {
            "thinking": {"type": "adaptive", "display": display},
            "output_config": {"effort": effort.get(level, level)},
        }
    thinking = {"type": "enabled", "budget_tokens": min(_BUDGETS[level], max_tokens // 2)}
    hidden = {"display": "omitted"} if display == "omitted" else {}
    return {"thinking": {**thinking, **hidden}}


def _tools(request: ModelRequest, turns: list[Turn]) -> list[dict[str, Any]]:
    """The tools; where none are given, those of the history, which the API wants declared."""
    declared = request.tools or [
        FunctionDeclaration(name=name)
        for name in dict.fromkeys(
            call.name for turn in turns if isinstance(turn, ModelTurn) for call in turn.calls
        )
    ]
    choice = settled(request)
    if choice.names is not None and choice.mode != "none" and not _is_forced(choice):
        declared = [tool for tool in declared if tool.name in choice.names]
    return [
        {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
        for tool in declared
    ]


def _tool_choice(request: ModelRequest) -> dict[str, Any]:
    choice = settled(request)
    if choice.mode == "none" or not request.tools:
        return {"type": "none"}
    if choice.names is not None and _is_forced(choice):
        return {"type": "tool", "name": choice.names[0]}
    return {"type": "any" if choice.mode == "any" else "auto"}


def _is_forced(choice: ToolChoice) -> bool:
    return choice.mode == "any" and choice.names is not None and len(choice.names) == 1


def _messages(turns: list[Turn], vision: bool) -> list[dict[str, Any]]:
    messages = [message for turn in turns if (message := _message(turn, vision))["content"]]
    users = [message for message in messages if message["role"] == "user"]
    for message in users[-2:]:
        _mark(message["content"])
    return messages


def _mark(blocks: list[dict[str, Any]]) -> None:
    if blocks[-1]["type"] not in _NOT_CACHEABLE:
        blocks[-1] = {**blocks[-1], **_CACHED}


def _message(turn: Turn, vision: bool) -> dict[str, Any]:
    if isinstance(turn, UserTurn):
        blocks = [_tool_result(answer, vision) for answer in turn.answers]
        blocks += _blocks(turn.content, vision)
        return {"role": "user", "content": blocks}
    return {"role": "assistant", "content": list(_model_blocks(turn))}


def _model_blocks(turn: ModelTurn) -> Iterator[dict[str, Any]]:
    for item in turn.items:
        match item:
            case Thought(_, signature) if signature and signature.startswith(REDACTED):
                data = signature.removeprefix(REDACTED)
                yield {"type": "redacted_thinking", "data": data}
            case Thought(text, signature) if signature:
                yield {"type": "thinking", "thinking": text, "signature": signature}
            case Speech(text):
                yield {"type": "text", "text": text}
            case ToolCall():
                yield {
                    "type": "tool_use",
                    "id": _plain_id(item.id),
                    "name": item.name,
                    "input": item.arguments,
                }
            case _:
                pass


def _tool_result(answer: Answer, vision: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "tool_result", "tool_use_id": _plain_id(answer.call.id)}
    content = _blocks(answer.result.content, vision)
    if content:
        made["content"] = content
    if answer.result.is_error:
        made["is_error"] = True
    return made


def _plain_id(call_id: str) -> str:
    """An id of another provider in the characters that this one takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_id)


def _blocks(content: list[Content], vision: bool) -> list[dict[str, Any]]:
    blocks = [_block(part, vision) for part in content]
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]


def _block(part: Content, vision: bool) -> dict[str, Any]:
    if isinstance(part, TextContent):
        return {"type": "text", "text": part.text}
    media = media_of(part)
    source = (
        {"type": "url", "url": media.uri}
        if media.uri
        else {"type": "base64", "media_type": media.mime_type, "data": media.data}
    )
    match media.kind:
        case "image" if not vision:
            return {"type": "text", "text": media.left_out}
        case "image":
            return {"type": "image", "source": source}
        case "document" if media.is_text:
            return {"type": "text", "text": text_of_document(media)}
        case "document" if media.mime_type == "application/pdf":
            return {"type": "document", "source": source}
        case _:
            raise refused(media, PROVIDER)
