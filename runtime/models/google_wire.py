"""Google's generateContent: requests to it, and its stream of chunks, as the SDK's dicts. Pure.

Thinking: from Gemini 3 on, `thinking_level` is Gemini's own (`minimal` to `xhigh`; a model that
lacks one refuses it). Gemini 2 takes budgets: 512, 1024, 8192, 16384 and 24576 tokens. Summaries
are asked for by `thinking_summaries: auto`.

A thought signature belongs to a call or to the text's start. It is given on right before that
part as `google:BASE64`, and put back onto the part that follows it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from runtime.errors import ModelRefused
from runtime.models.calls import CallStream, whole_arguments
from runtime.models.choices import Refusal, refuse, settled
from runtime.models.faults import ProviderError, ProviderFailed
from runtime.models.media import Media, media_of
from runtime.models.transcript import Answer, ModelTurn, Speech, Thought, UserTurn, transcript
from runtime.schema.content import Content, TextContent
from runtime.schema.model import (
    Generation,
    ModelDone,
    ModelPart,
    ModelRequest,
    SignaturePart,
    TextPart,
    ThoughtPart,
)
from runtime.schema.steps import ToolCall, as_call
from runtime.schema.usage import Usage

PROVIDER = "google"

_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 16384, "xhigh": 24576}
_UNTHINKING = re.compile(r"gemini-(1|2\.0)|gemma-[123]\b")
_URL_SAFE = str.maketrans("+/", "-_")
_MODES = {"auto": "AUTO", "any": "ANY", "none": "NONE", "validated": "VALIDATED"}
_REFUSALS = {
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MODEL_ARMOR",
}
_BROKEN = {
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "MALFORMED_RESPONSE",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "OTHER",
}
# The API takes this text for a call that another model made. It travels as base64 that is decoded
# here, because the SDK encodes the bytes again and the text must arrive as it stands.
_UNSIGNED = base64.urlsafe_b64decode("skip_thought_signature_validator")


def generation_of(model: str) -> int:
    """The major version of a Gemini model; a name without one counts as the newest."""
    found = re.search(r"gemini-(\d+)", model)
    if found:
        return int(found[1])
    return 99 if "gemini" in model else 2


def request_of(request: ModelRequest, model: str, *, vision: bool = True) -> dict[str, Any]:
    """The arguments of `generate_content_stream`. Raises `ModelRefused`."""
    return {
        "model": model,
        "contents": list(_contents(request, model, vision)),
        "config": _config(request, model),
    }


def refusals(settings: Generation, model: str) -> Iterator[Refusal]:
    """What the model does not take."""
    if settings.thinking_level is not None and _UNTHINKING.search(model):
        sentence = f"The model google/{model} does not take `thinking_level`. Leave it out."
        yield "thinking_level", sentence


def _config(request: ModelRequest, model: str) -> dict[str, Any]:
    settings = request.generation
    refuse(refusals(settings, model))
    made: dict[str, Any] = {
        "system_instruction": request.system_instruction,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "seed": settings.seed,
        "max_output_tokens": settings.max_output_tokens,
        "stop_sequences": settings.stop_sequences,
        "thinking_config": _thinking(request, model) or None,
        "response_json_schema": request.response_schema or None,
        "response_mime_type": None if request.response_schema is None else "application/json",
    }
    if request.tools:
        made["tools"] = [{"function_declarations": [_tool(t.model_dump()) for t in request.tools]}]
        made["tool_config"] = {"function_calling_config": _calling(request)}
        made["automatic_function_calling"] = {"disable": True}
    return {name: value for name, value in made.items() if value is not None}


def takes_schema(model: str, request: ModelRequest) -> bool:
    """Whether answers by a schema can be asked for: of Gemini, before 3 not beside tools."""
    return "gemini" in model and (generation_of(model) >= 3 or not request.tools)


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": tool["name"],
        "description": tool["description"],
        "parameters_json_schema": tool["parameters"],
    }


def _calling(request: ModelRequest) -> dict[str, Any]:
    choice = settled(request)
    if choice.names is None or choice.mode == "none":
        return {"mode": _MODES[choice.mode]}
    # Names are taken with these two modes only; VALIDATED leaves the model the choice to answer.
    mode = "ANY" if choice.mode == "any" else "VALIDATED"
    return {"mode": mode, "allowed_function_names": choice.names}


def _thinking(request: ModelRequest, model: str) -> dict[str, Any]:
    settings = request.generation
    made: dict[str, Any] = {}
    if settings.thinking_summaries is not None:
        made["include_thoughts"] = settings.thinking_summaries == "auto"
    if settings.thinking_level is not None and generation_of(model) >= 3:
        made["thinking_level"] = settings.thinking_level.upper()
    elif settings.thinking_level is not None:
        made["thinking_budget"] = _BUDGETS[settings.thinking_level]
    return made


def _contents(request: ModelRequest, model: str, vision: bool) -> Iterator[dict[str, Any]]:
    modern = generation_of(model) >= 3
    for turn in transcript(request.history, PROVIDER):
        if isinstance(turn, ModelTurn):
            content = {"role": "model", "parts": list(_model_parts(turn, modern))}
        else:
            content = {"role": "user", "parts": list(_user_parts(turn, modern, vision))}
        if content["parts"]:
            yield content


def _model_parts(turn: ModelTurn, modern: bool) -> Iterator[dict[str, Any]]:
    signature: bytes | None = None
    is_first_call = True
    for item in turn.items:
        match item:
            case Thought(_, proof):
                signature = _decoded(proof) if proof else signature
                continue
            case Speech(text):
                part: dict[str, Any] = {"text": text}
            case ToolCall():
                part = {"function_call": {"id": item.id, "name": item.name, "args": item.arguments}}
                if modern and is_first_call and signature is None:
                    signature = _UNSIGNED
                is_first_call = False
        yield {**part, "thought_signature": signature} if signature else part
        signature = None


def _user_parts(turn: UserTurn, modern: bool, vision: bool) -> Iterator[dict[str, Any]]:
    for answer in turn.answers:
        yield {"function_response": _response(answer, modern, vision)}
    if not modern:
        for answer in turn.answers:
            yield from (part for part in _media_parts(answer, vision) if "text" not in part)
    for part in turn.content:
        yield _part(part, vision)


def _response(answer: Answer, modern: bool, vision: bool) -> dict[str, Any]:
    media = _media_parts(answer, vision)
    notes = [part["text"] for part in media if "text" in part]
    text = "\n".join([answer.result.text, *notes]) if notes else answer.result.text
    made: dict[str, Any] = {
        "id": answer.call.id,
        "name": answer.call.name,
        "response": {"error" if answer.result.is_error else "output": text},
    }
    carried = [part for part in media if "text" not in part]
    if modern and carried:
        made["parts"] = carried
    return made


def _media_parts(answer: Answer, vision: bool) -> list[dict[str, Any]]:
    parts = [part for part in answer.result.content if not isinstance(part, TextContent)]
    return [_part(part, vision) for part in parts]


def _part(part: Content, vision: bool) -> dict[str, Any]:
    if isinstance(part, TextContent):
        return {"text": part.text}
    media = media_of(part)
    if media.kind == "image" and not vision:
        return {"text": media.left_out}
    if media.uri:
        return {"file_data": {"file_uri": media.uri, "mime_type": media.mime_type}}
    return {"inline_data": {"mime_type": media.mime_type, "data": _bytes(media)}}


def _bytes(media: Media) -> bytes:
    try:
        return base64.b64decode(media.data or "", validate=True)
    except binascii.Error:
        raise ModelRefused(f"The {media.kind} ({media.mime_type}) is not valid base64.") from None


def _decoded(signature: str) -> bytes | None:
    try:
        return base64.b64decode(signature, altchars=b"-_", validate=True)
    except binascii.Error:
        return None


class ChunkReader:
    """Reads the chunks of one answer; `feed` and then `finish` give its parts."""

    def __init__(self, request: ModelRequest) -> None:
        self._calls = CallStream([call.id for step in request.history if (call := as_call(step))])
        self._has_spoken = False
        self._reason = ""
        self._blocked = False
        self._usage: dict[str, Any] = {}

    def feed(self, chunk: dict[str, Any]) -> list[ModelPart]:
        """The parts that a chunk gives. Raises `ProviderFailed` for a broken answer."""
        self._usage = chunk.get("usage_metadata") or self._usage
        self._blocked = self._blocked or bool(
            (chunk.get("prompt_feedback") or {}).get("block_reason")
        )
        candidate = next(iter(chunk.get("candidates") or []), {})
        parts: list[ModelPart] = []
        for part in (candidate.get("content") or {}).get("parts") or []:
            parts += self._part(part)
        self._reason = candidate.get("finish_reason") or self._reason
        if self._reason in _BROKEN:
            message = candidate.get("finish_message") or "no reason given"
            raise ProviderFailed(ProviderError(f"a broken answer, {self._reason}: {message}"))
        return parts

    def finish(self) -> list[ModelPart]:
        """The last part. Raises `ProviderFailed` when the stream broke off."""
        usage = _usage(self._usage)
        if self._blocked or self._reason in _REFUSALS:
            return [ModelDone(reason="refused", usage=usage)]
        if not self._reason:
            raise ProviderFailed(ProviderError("the stream ended in the middle of the answer"))
        if self._reason == "MAX_TOKENS":
            return [ModelDone(reason="length", usage=usage)]
        return [ModelDone(reason="calls" if self._calls.any else "stop", usage=usage)]

    def _part(self, part: dict[str, Any]) -> list[ModelPart]:
        text, call = part.get("text") or "", part.get("function_call")
        proof = self._proof(part)
        if part.get("thought"):
            return [*([ThoughtPart(text=text)] if text else []), *proof]
        if call:
            return [*proof, *self._call(call)]
        # A signature after the text began belongs to nothing that could follow it in the history.
        found = [] if self._has_spoken else proof
        if text:
            self._has_spoken = True
            found.append(TextPart(text=text))
        return found

    def _proof(self, part: dict[str, Any]) -> list[ModelPart]:
        signature = part.get("thought_signature")
        if not signature:
            return []
        return [SignaturePart(signature=f"{PROVIDER}:{signature.translate(_URL_SAFE)}")]

    def _call(self, call: dict[str, Any]) -> list[ModelPart]:
        self._has_spoken = True
        key = object()
        parts = self._calls.start(key, call.get("id"), call.get("name") or "")
        parts += self._calls.arguments(key, whole_arguments(call.get("args")))
        return parts + self._calls.end(key)


def _usage(usage: dict[str, Any]) -> Usage:
    told = usage.get("prompt_token_count") or 0
    said = usage.get("candidates_token_count") or 0
    thought = usage.get("thoughts_token_count") or 0
    by_tools = usage.get("tool_use_prompt_token_count") or 0
    return Usage(
        total_input_tokens=told,
        total_cached_tokens=usage.get("cached_content_token_count") or 0,
        total_output_tokens=said,
        total_thought_tokens=thought,
        total_tool_use_tokens=by_tools,
        total_tokens=usage.get("total_token_count") or told + said + thought + by_tools,
        input_tokens_by_modality=_by_modality(usage.get("prompt_tokens_details")),
        output_tokens_by_modality=_by_modality(usage.get("candidates_tokens_details")),
    )


def _by_modality(details: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    rows = [
        {"modality": str(row["modality"]).lower(), "tokens": row.get("token_count") or 0}
        for row in details or []
        if row.get("modality")
    ]
    return rows or None
