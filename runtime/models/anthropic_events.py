"""Reads the stream of events of Anthropic's Messages API. Pure."""

from __future__ import annotations

from typing import Any

from runtime.models.anthropic_wire import PROVIDER, REDACTED
from runtime.models.calls import CallStream, whole_arguments
from runtime.models.faults import ProviderError, ProviderFailed
from runtime.schema.model import (
    ModelDone,
    ModelPart,
    ModelRequest,
    SignaturePart,
    TextPart,
    ThoughtPart,
)
from runtime.schema.steps import as_call
from runtime.schema.usage import Usage


class MessageReader:
    """Reads the events of one message; `feed` and then `finish` give its parts."""

    def __init__(self, request: ModelRequest) -> None:
        self._calls = CallStream([call.id for step in request.history if (call := as_call(step))])
        self._usage: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._is_whole = False

    def feed(self, event: dict[str, Any]) -> list[ModelPart]:
        """The parts that an event gives. Raises `ProviderFailed` for one that reports an error."""
        match event.get("type"):
            case "message_start":
                self._count(event["message"].get("usage"))
            case "content_block_start":
                return self._begun(event["index"], event["content_block"])
            case "content_block_delta":
                return self._continued(event["index"], event["delta"])
            case "content_block_stop" if self._calls.has(event["index"]):
                return self._calls.end(event["index"])
            case "message_delta":
                self._count(event.get("usage"))
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
            case "message_stop":
                self._is_whole = True
            case "error":
                error = event.get("error") or {}
                message = str(error.get("message") or "no reason given")
                raise ProviderFailed(ProviderError(message, code=str(error.get("type") or "")))
            case _:
                pass
        return []

    def finish(self) -> list[ModelPart]:
        """The last parts. Raises `ProviderFailed` when the stream broke off."""
        if not self._is_whole and self._stop_reason is None:
            raise ProviderFailed(ProviderError("the stream ended in the middle of the answer"))
        return [*self._calls.end_all(), self._done()]

    def _begun(self, index: int, block: dict[str, Any]) -> list[ModelPart]:
        match block.get("type"):
            case "text" if block.get("text"):
                return [TextPart(text=block["text"])]
            case "thinking" if block.get("thinking"):
                return [ThoughtPart(text=block["thinking"])]
            case "redacted_thinking":
                return [SignaturePart(signature=f"{PROVIDER}:{REDACTED}{block['data']}")]
            case "tool_use":
                parts = self._calls.start(index, block.get("id"), block["name"])
                if block.get("input"):
                    parts += self._calls.arguments(index, whole_arguments(block["input"]))
                return parts
            case _:
                return []

    def _continued(self, index: int, delta: dict[str, Any]) -> list[ModelPart]:
        match delta.get("type"):
            case "text_delta" if delta["text"]:
                return [TextPart(text=delta["text"])]
            case "thinking_delta" if delta["thinking"]:
                return [ThoughtPart(text=delta["thinking"])]
            case "signature_delta":
                return [SignaturePart(signature=f"{PROVIDER}:{delta['signature']}")]
            case "input_json_delta" if self._calls.has(index):
                return self._calls.arguments(index, delta["partial_json"])
            case _:
                return []

    def _count(self, usage: dict[str, Any] | None) -> None:
        """Later counts are totals that replace earlier ones."""
        self._usage |= {key: value for key, value in (usage or {}).items() if value is not None}

    def _done(self) -> ModelDone:
        match self._stop_reason:
            case "max_tokens" | "model_context_window_exceeded":
                return ModelDone(reason="length", usage=usage_of(self._usage))
            case "refusal":
                return ModelDone(reason="refused", usage=usage_of(self._usage))
            case _:
                reason = "calls" if self._calls.any else "stop"
                return ModelDone(reason=reason, usage=usage_of(self._usage))


def usage_of(usage: dict[str, Any]) -> Usage:
    """Cached input is not in Anthropic's input tokens, thoughts are in its output tokens."""
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    told = (usage.get("input_tokens") or 0) + cached + written
    said = usage.get("output_tokens") or 0
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Usage(
        total_input_tokens=told,
        total_cached_tokens=cached,
        total_output_tokens=said - thought,
        total_thought_tokens=thought,
        total_tokens=told + said,
    )
