"""Chat completions as many servers speak them: requests, and the stream of chunks. Pure.

Made for Ollama, vLLM, llama.cpp and their like, and forgiving: calls may come without ids or
indexes or all with index 0, arguments whole or as objects, reasoning as `reasoning_content`,
`reasoning` or `<think>` tags, usage not at all (it is estimated then).

Thinking: `thinking_level` becomes `reasoning_effort`, `minimal` as `low` and `xhigh` as `high`,
since servers know three. Reasoning that came in a field of its own is given back in that field,
for the turns since the latest input only: models that think between tool calls need it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from runtime.models.choices import Refusal, settled
from runtime.models.media import media_of, refused, text_of_document
from runtime.models.schemas import is_strict
from runtime.models.transcript import (
    Answer,
    ModelTurn,
    Speech,
    Thought,
    UserTurn,
    latest_input,
    transcript,
)
from runtime.schema.content import Content, TextContent
from runtime.schema.model import Generation, ModelRequest
from runtime.schema.steps import ToolCall

PROVIDER = "openai_compatible"
REASONING_FIELDS = ("reasoning_content", "reasoning")

_EFFORTS = {"minimal": "low", "xhigh": "high"}
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def body(
    request: ModelRequest, model: str, *, vision: bool = True, asks_usage: bool = True
) -> dict[str, Any]:
    """The request, without `stream`. Raises `ModelRefused` for content it cannot carry."""
    made: dict[str, Any] = {
        "model": model,
        "messages": list(_messages(request, vision)),
        **_generation(request),
    }
    choice = settled(request)
    if request.tools:
        tools = [tool.model_dump() for tool in request.tools]
        if choice.names is not None and choice.mode != "none":
            tools = [tool for tool in tools if tool["name"] in choice.names]
        made["tools"] = [{"type": "function", "function": tool} for tool in tools]
        if choice.mode in {"any", "none"}:
            made["tool_choice"] = "required" if choice.mode == "any" else "none"
    if request.response_schema is not None:
        schema = request.response_schema
        named = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
        made["response_format"] = {"type": "json_schema", "json_schema": named}
    if asks_usage:
        made["stream_options"] = {"include_usage": True}
    return made


def refusals(settings: Generation, model: str) -> Iterator[Refusal]:
    """Nothing: which settings a server takes is not known before it is asked."""
    yield from ()


def takes_schema(model: str, request: ModelRequest) -> bool:
    """Whether an answer by a schema is asked for in the request; a server may refuse it still."""
    return bool(request.response_schema)


def _generation(request: ModelRequest) -> dict[str, Any]:
    settings = request.generation
    level = settings.thinking_level
    made = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "seed": settings.seed,
        "max_tokens": settings.max_output_tokens,
        "stop": settings.stop_sequences,
        "reasoning_effort": _EFFORTS.get(level, level) if level else None,
    }
    return {name: value for name, value in made.items() if value is not None}


def _messages(request: ModelRequest, vision: bool) -> Iterator[dict[str, Any]]:
    if request.system_instruction:
        yield {"role": "system", "content": request.system_instruction}
    turns = transcript(request.history, PROVIDER)
    current = latest_input(turns)
    for index, turn in enumerate(turns):
        if isinstance(turn, ModelTurn):
            yield from _model_message(turn, keeps_reasoning=index > current)
        else:
            yield from _user_messages(turn, vision)


def _model_message(turn: ModelTurn, *, keeps_reasoning: bool) -> Iterator[dict[str, Any]]:
    text = "".join(item.text for item in turn.items if isinstance(item, Speech))
    made: dict[str, Any] = {"role": "assistant", "content": text or None}
    if turn.calls:
        made["tool_calls"] = [_tool_call(call) for call in turn.calls]
    thoughts = [item for item in turn.items if isinstance(item, Thought) and item.signature]
    if keeps_reasoning and thoughts and thoughts[0].signature in REASONING_FIELDS:
        made[str(thoughts[0].signature)] = "".join(thought.text for thought in thoughts)
    if text or turn.calls:
        yield made


def _tool_call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _user_messages(turn: UserTurn, vision: bool) -> Iterator[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for answer in turn.answers:
        media = [part for part in answer.result.content if not isinstance(part, TextContent)]
        yield {"role": "tool", "tool_call_id": answer.call.id, "content": _told(answer, len(media))}
        if media:
            shown.append({"type": "text", "text": f"From the result of {answer.call.name}:"})
            shown += [_part(part, vision) for part in media]
    parts = shown + [_part(part, vision) for part in turn.content]
    if parts:
        # Plain text where it will do: some chat templates cannot read a list of parts.
        is_text = all(part["type"] == "text" for part in parts)
        text = "\n".join(part["text"] for part in parts) if is_text else ""
        yield {"role": "user", "content": text if is_text else parts}


def _told(answer: Answer, media: int) -> str:
    """The text of a result; a message of a tool carries nothing else."""
    note = f"[{media} more in the next message]" if media else ""
    return "\n".join(text for text in (answer.result.text, note) if text)


def _part(part: Content, vision: bool) -> dict[str, Any]:
    if isinstance(part, TextContent):
        return {"type": "text", "text": part.text}
    media = media_of(part)
    match media.kind:
        case "image" if not vision:
            return {"type": "text", "text": media.left_out}
        case "image":
            return {"type": "image_url", "image_url": {"url": media.data_url}}
        case "document" if media.is_text:
            return {"type": "text", "text": text_of_document(media)}
        case "audio" if media.data and media.mime_type in _AUDIO_FORMATS:
            audio = {"data": media.data, "format": _AUDIO_FORMATS[media.mime_type]}
            return {"type": "input_audio", "input_audio": audio}
        case _:
            raise refused(media, PROVIDER)
