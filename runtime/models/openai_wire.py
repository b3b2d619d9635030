"""OpenAI's Responses API: requests to it, and its stream of events. Pure; stateless (`store` off).

Thinking: `thinking_level` is `reasoning.effort` as it stands (`minimal`, `low`, `medium`, `high`,
`xhigh`; a model that lacks one refuses it). `thinking_summaries: auto` asks for summaries. The
encrypted reasoning comes back as the signature `openai:ID:CONTENT` and is replayed before the call
or the text that it led to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from runtime.models.calls import CallStream
from runtime.models.choices import Refusal, refuse, settled
from runtime.models.faults import ProviderError, ProviderFailed
from runtime.models.media import Media, media_of, refused, text_of_document
from runtime.models.schemas import is_strict
from runtime.models.transcript import (
    Answer,
    ModelTurn,
    Speech,
    Thought,
    UserTurn,
    plain_text,
    transcript,
)
from runtime.schema.content import Content, TextContent
from runtime.schema.model import (
    Generation,
    ModelDone,
    ModelPart,
    ModelRequest,
    SignaturePart,
    TextPart,
    ThoughtPart,
    ToolChoice,
)
from runtime.schema.steps import ToolCall, as_call
from runtime.schema.usage import Usage

PROVIDER = "openai"

_NOT_REASONING = re.compile(r"^(gpt-[34](?!\d)|gpt-3\.5|chatgpt-4o|gpt-5(\.\d+)?-chat|ft:gpt-[34])")
_FIXED_SAMPLING = re.compile(r"^(o\d|gpt-5($|-(?!chat)))")
_WITHOUT_SCHEMAS = re.compile(r"^(gpt-3\.5|gpt-4(-|$)|chatgpt-4o)")
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def reasons(model: str) -> bool:
    """Whether a model takes the `reasoning` settings; the others refuse them."""
    return _NOT_REASONING.match(model) is None


def body(request: ModelRequest, model: str, *, vision: bool = True) -> dict[str, Any]:
    """The request. Raises `ModelRefused` for what the API has no field for."""
    refuse(refusals(request.generation, model))
    made: dict[str, Any] = {
        "model": model,
        "input": list(_items(request, vision)),
        "store": False,
        **_generation(request, model),
    }
    if request.system_instruction:
        made["instructions"] = request.system_instruction
    if request.tools:
        made["tools"] = [_tool(tool.model_dump()) for tool in request.tools]
        made["tool_choice"] = _tool_choice(settled(request))
    if request.response_schema is not None:
        made["text"] = {"format": _format(request.response_schema)}
    made["prompt_cache_key"] = _cache_key(made)
    return made


def takes_schema(model: str, request: ModelRequest) -> bool:
    """Whether answers by a schema can be asked for; only by one with an object on top."""
    schema = request.response_schema or {}
    return schema.get("type") == "object" and _WITHOUT_SCHEMAS.match(model) is None


def refusals(settings: Generation, model: str) -> Iterator[Refusal]:
    """What the model does not take."""
    said = f"The model openai/{model} does not take"
    for field in ("seed", "stop_sequences"):
        if getattr(settings, field) is not None:
            yield field, f"{said} `{field}`. Leave it out."
    for field in ("temperature", "top_p"):
        if getattr(settings, field) is not None and _FIXED_SAMPLING.match(model):
            yield field, f"{said} `{field}`. Leave it out."
    if settings.thinking_level is not None and not reasons(model):
        yield "thinking_level", f"{said} `thinking_level`. Leave it out."


def _cache_key(made: dict[str, Any]) -> str:
    """The same for all calls of one conversation, so that they meet the same cache."""
    start = [made["model"], made.get("instructions"), made.get("tools"), made["input"][:1]]
    return hashlib.sha256(json.dumps(start).encode()).hexdigest()[:32]


def _generation(request: ModelRequest, model: str) -> dict[str, Any]:
    settings = request.generation
    made: dict[str, Any] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_output_tokens": settings.max_output_tokens,
    }
    made = {name: value for name, value in made.items() if value is not None}
    if not reasons(model):
        return made
    reasoning: dict[str, Any] = {}
    if settings.thinking_level is not None:
        reasoning["effort"] = settings.thinking_level
    if settings.thinking_summaries == "auto":
        reasoning["summary"] = "auto"
    if reasoning:
        made["reasoning"] = reasoning
    made["include"] = ["reasoning.encrypted_content"]
    return made


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", **tool, "strict": False}


def _tool_choice(choice: ToolChoice) -> Any:
    mode = {"any": "required", "none": "none"}.get(choice.mode, "auto")
    if choice.names is None or mode == "none":
        return mode
    names = [{"type": "function", "name": name} for name in choice.names]
    return {"type": "allowed_tools", "mode": mode, "tools": names}


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "name": "answer", "schema": schema, "strict": is_strict(schema)}


def _items(request: ModelRequest, vision: bool) -> Iterator[dict[str, Any]]:
    for turn in transcript(request.history, PROVIDER):
        if isinstance(turn, ModelTurn):
            yield from _model_items(turn)
        else:
            yield from _user_items(turn, vision)


def _model_items(turn: ModelTurn) -> Iterator[dict[str, Any]]:
    for item in turn.items:
        match item:
            case Thought(text, signature) if signature:
                yield _reasoning(text, signature)
            case Speech(text):
                yield {"type": "message", "role": "assistant", "content": text}
            case ToolCall():
                yield {
                    "type": "function_call",
                    "call_id": item.id,
                    "name": item.name,
                    "arguments": json.dumps(item.arguments, ensure_ascii=False),
                }
            case _:
                pass


def _reasoning(text: str, signature: str) -> dict[str, Any]:
    item_id, _, content = signature.partition(":")
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {
        "type": "reasoning",
        "id": item_id,
        "summary": summary,
        "encrypted_content": content,
    }


def _user_items(turn: UserTurn, vision: bool) -> Iterator[dict[str, Any]]:
    for answer in turn.answers:
        yield {
            "type": "function_call_output",
            "call_id": answer.call.id,
            "output": _output(answer, vision),
        }
    if turn.content:
        content = [_content(part, vision) for part in turn.content]
        yield {"type": "message", "role": "user", "content": content}


def _output(answer: Answer, vision: bool) -> Any:
    if plain_text(answer.result.content):
        return answer.result.text
    return [_content(part, vision) for part in answer.result.content]


def _content(part: Content, vision: bool) -> dict[str, Any]:
    if isinstance(part, TextContent):
        return {"type": "input_text", "text": part.text}
    media = media_of(part)
    match media.kind:
        case "image" if not vision:
            return {"type": "input_text", "text": media.left_out}
        case "image":
            return {"type": "input_image", "detail": "auto", "image_url": media.data_url}
        case "document":
            return _document(media)
        case "audio" if media.data and media.mime_type in _AUDIO_FORMATS:
            audio = {"data": media.data, "format": _AUDIO_FORMATS[media.mime_type]}
            return {"type": "input_audio", "input_audio": audio}
        case _:
            raise refused(media, PROVIDER)


def _document(media: Media) -> dict[str, Any]:
    if media.is_text:
        return {"type": "input_text", "text": text_of_document(media)}
    if media.uri:
        return {"type": "input_file", "file_url": media.uri}
    name = f"document.{media.mime_type.rpartition('/')[2]}"
    return {"type": "input_file", "filename": name, "file_data": media.data_url}


class ResponseReader:
    """Reads the events of one response; `feed` and then `finish` give its parts."""

    def __init__(self, request: ModelRequest) -> None:
        taken = [call.id for step in request.history if (call := as_call(step))]
        self._calls = CallStream(taken)
        self._show_thoughts = request.generation.thinking_summaries != "none"
        self._summary: tuple[Any, Any] | None = None
        self._refused = False
        self._done: ModelDone | None = None

    def feed(self, event: dict[str, Any]) -> list[ModelPart]:
        """The parts that an event gives. Raises `ProviderFailed` for one that reports an error."""
        match event.get("type"):
            case "response.output_text.delta":
                return [TextPart(text=event["delta"])]
            case "response.refusal.delta":
                self._refused = True
                return [TextPart(text=event["delta"])]
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return self._thought(event)
            case "response.output_item.added":
                return self._added(event)
            case "response.function_call_arguments.delta":
                return self._calls.arguments(event["output_index"], event["delta"])
            case "response.output_item.done":
                return self._item_done(event)
            case "response.completed" | "response.incomplete":
                return self._finished(event["response"])
            case "response.failed":
                raise _failure(event["response"].get("error") or {})
            case "error":
                raise _failure(event.get("error") or event)
            case _:
                return []

    def finish(self) -> list[ModelPart]:
        """The last part. Raises `ProviderFailed` when the stream broke off."""
        if self._done is None:
            raise ProviderFailed(ProviderError("the stream ended in the middle of the answer"))
        return [self._done]

    def _thought(self, event: dict[str, Any]) -> list[ModelPart]:
        if not self._show_thoughts:
            return []
        place = (event.get("output_index"), event.get("summary_index"))
        follows = self._summary is not None and self._summary != place
        gap = "\n\n" if follows and self._summary and self._summary[0] == place[0] else ""
        self._summary = place
        return [ThoughtPart(text=gap + event["delta"])]

    def _added(self, event: dict[str, Any]) -> list[ModelPart]:
        item = event["item"]
        if item.get("type") != "function_call":
            return []
        return self._calls.start(event["output_index"], item.get("call_id"), item["name"])

    def _item_done(self, event: dict[str, Any]) -> list[ModelPart]:
        item, key = event["item"], event["output_index"]
        if item.get("type") == "reasoning" and item.get("encrypted_content"):
            proof = f"{PROVIDER}:{item.get('id', '')}:{item['encrypted_content']}"
            return [SignaturePart(signature=proof)]
        if item.get("type") != "function_call":
            return []
        parts = [] if self._calls.has(key) else self._added(event)
        if not self._calls.has_arguments(key):
            parts += self._calls.arguments(key, item.get("arguments") or "")
        return [*parts, *self._calls.end(key)]

    def _finished(self, response: dict[str, Any]) -> list[ModelPart]:
        reason = (response.get("incomplete_details") or {}).get("reason")
        usage = _usage(response.get("usage") or {})
        if reason == "max_output_tokens":
            self._done = ModelDone(reason="length", usage=usage)
        elif reason == "content_filter" or self._refused:
            self._done = ModelDone(reason="refused", usage=usage)
        else:
            self._done = ModelDone(reason="calls" if self._calls.any else "stop", usage=usage)
        return self._calls.end_all()


def _failure(error: dict[str, Any]) -> ProviderFailed:
    kinds = [error.get("type"), error.get("code")]
    code = " ".join(str(kind) for kind in kinds if kind and kind != "error")
    return ProviderFailed(ProviderError(str(error.get("message") or "no reason given"), code=code))


def _usage(usage: dict[str, Any]) -> Usage:
    """Thought tokens are a part of OpenAI's output tokens, not of ours."""
    thought = (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0
    told, said = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    return Usage(
        total_input_tokens=told,
        total_cached_tokens=(usage.get("input_tokens_details") or {}).get("cached_tokens") or 0,
        total_output_tokens=said - thought,
        total_thought_tokens=thought,
        total_tokens=usage.get("total_tokens") or told + said,
    )
