"""Reads the chunks of a chat completion, whoever wrote the server. Pure."""

from __future__ import annotations

from typing import Any

from runtime.models.calls import CallStream, whole_arguments
from runtime.models.chat_wire import PROVIDER, REASONING_FIELDS
from runtime.models.estimate import estimated_usage
from runtime.models.faults import ProviderError, ProviderFailed
from runtime.models.think_tags import ThinkTags
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


class ChatReader:
    """Reads the chunks of one completion; `feed` and then `finish` give its parts."""

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._calls = CallStream([call.id for step in request.history if (call := as_call(step))])
        self._keys: dict[object, object] = {}
        self._ids: dict[object, str] = {}
        self._latest: object = None
        self._tags = ThinkTags()
        self._reasoning_field = ""
        self._given: list[ModelPart] = []
        self._reason = ""
        self._usage: dict[str, Any] = {}

    def feed(self, chunk: dict[str, Any]) -> list[ModelPart]:
        """The parts that a chunk gives."""
        self._usage = chunk.get("usage") or self._usage
        choice = next(iter(chunk.get("choices") or []), {})
        delta = choice.get("delta") or choice.get("message") or {}
        parts = self._thought(delta)
        if content := delta.get("content"):
            parts += self._text(content)
        if refusal := delta.get("refusal"):
            self._reason = "content_filter"
            parts.append(TextPart(text=refusal))
        for position, call in enumerate(delta.get("tool_calls") or []):
            parts += self._before_answer(self._tags.finish())
            parts += self._call(call, position)
        self._reason = self._reason or choice.get("finish_reason") or ""
        self._given += parts
        return parts

    def finish(self) -> list[ModelPart]:
        """The last parts. Raises `ProviderFailed` when nothing came at all."""
        if not self._given and not self._reason:
            raise ProviderFailed(ProviderError("the stream ended before the answer began"))
        parts = [*self._before_answer(self._tags.finish()), *self._sign(), *self._calls.end_all()]
        self._given += parts
        return [*parts, ModelDone(reason=self._end(), usage=self._counted())]

    def _end(self) -> Any:
        if self._reason == "length":
            return "length"
        if self._reason == "content_filter":
            return "refused"
        return "calls" if self._calls.any else "stop"

    def _thought(self, delta: dict[str, Any]) -> list[ModelPart]:
        for field in REASONING_FIELDS:
            text = delta.get(field)
            if isinstance(text, str) and text:
                self._reasoning_field = field
                return self._shown([ThoughtPart(text=text)])
        return []

    def _text(self, content: str) -> list[ModelPart]:
        return self._before_answer(self._tags.feed(content))

    def _before_answer(self, parts: list[ModelPart]) -> list[ModelPart]:
        parts = self._shown(parts)
        return [*self._sign(), *parts] if parts else []

    def _shown(self, parts: list[ModelPart]) -> list[ModelPart]:
        if self._request.generation.thinking_summaries != "none":
            return parts
        return [part for part in parts if not isinstance(part, ThoughtPart)]

    def _sign(self) -> list[ModelPart]:
        """Closes a thought that came in a field, naming the field to give it back in."""
        field, self._reasoning_field = self._reasoning_field, ""
        if not field or self._request.generation.thinking_summaries == "none":
            return []
        return [SignaturePart(signature=f"{PROVIDER}:{field}")]

    def _call(self, delta: dict[str, Any], position: int) -> list[ModelPart]:
        function = delta.get("function") or {}
        name, fragment = function.get("name"), function.get("arguments")
        key = self._key(delta, position, name)
        parts = self._sign()
        if key is None:
            key = self._new_key(delta, position)
            parts += self._switch(key)
            parts += self._calls.start(key, delta.get("id"), name or "")
        self._latest = key
        if fragment:
            parts += self._calls.arguments(key, whole_arguments(fragment))
        return parts

    def _key(self, delta: dict[str, Any], position: int, name: str | None) -> object | None:
        """The key of the call that a delta goes on with; None when it begins a new one."""
        call_id = delta.get("id")
        if delta.get("index") is None and not call_id:
            return None if name else self._latest
        key = self._keys.get(self._place(delta, position))
        if key is None:
            return None
        if call_id and self._ids.get(key) not in {None, call_id}:
            return None
        is_next = bool(name) and not call_id and self._calls.is_whole(key)
        return None if is_next else key

    def _new_key(self, delta: dict[str, Any], position: int) -> object:
        key = object()
        self._keys[self._place(delta, position)] = key
        if call_id := delta.get("id"):
            self._ids[key] = call_id
        return key

    @staticmethod
    def _place(delta: dict[str, Any], position: int) -> object:
        index = delta.get("index")
        return index if index is not None else delta.get("id") or ("at", position)

    def _switch(self, key: object) -> list[ModelPart]:
        """A new call begins: the one before is over if its arguments are whole."""
        latest = self._latest
        if latest is None or latest is key or not self._calls.is_whole(latest):
            return []
        return self._calls.end(latest)

    def _counted(self) -> Usage:
        if not self._usage.get("prompt_tokens"):
            return estimated_usage(self._request, self._given)
        return _usage(self._usage)


def _usage(usage: dict[str, Any]) -> Usage:
    """Thought tokens are a part of the completion's tokens, where they are told at all."""
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    told, said = usage["prompt_tokens"], usage.get("completion_tokens") or 0
    return Usage(
        total_input_tokens=told,
        total_cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        total_output_tokens=max(0, said - thought),
        total_thought_tokens=thought,
        total_tokens=usage.get("total_tokens") or told + said,
    )
