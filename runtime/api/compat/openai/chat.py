"""An interaction as a chat completion, whole or in chunks. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from runtime.api.compat.openai.faults import as_error, error_body
from runtime.api.compat.openai.items import Naming, arguments_text
from runtime.errors import SandlotError
from runtime.store import InteractionSummary

Json = dict[str, Any]
PARAGRAPH = "\n\n"
"""Stands between what a model said before and after it used tools."""
_REASONS = {
    "completed": "stop",
    "requires_action": "tool_calls",
    "incomplete": "length",
    "budget_exceeded": "length",
}


def completion_head(summary: InteractionSummary, kind: str) -> Json:
    """What stands in a completion and in each of its chunks."""
    return {
        "id": "chatcmpl-" + summary.id.removeprefix("int_"),
        "object": kind,
        "created": int(summary.created.timestamp()),
        "model": summary.agent or summary.model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def completion_of(view: Json, summary: InteractionSummary, naming: Naming) -> Json:
    """The completion that a settled interaction is. Raises what the run failed with."""
    error = failure(summary.status, summary.error)
    if error is not None:
        raise error
    texts: list[str] = []
    calls: list[Json] = []
    for step in view["steps"]:
        if step["type"] == "model_output":
            texts.append("".join(p["text"] for p in step.get("content") or [] if "text" in p))
        elif step["type"] == "function_call" and step["name"] in naming.functions:
            function = {"name": step["name"], "arguments": arguments_text(step)}
            calls.append({"id": step["id"], "type": "function", "function": function})
    text = PARAGRAPH.join(text for text in texts if text)
    message: Json = {"role": "assistant", "content": text or (None if calls else "")}
    message.update({"refusal": None, "annotations": []})
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None}
    return {
        **completion_head(summary, "chat.completion"),
        "choices": [{**choice, "finish_reason": _REASONS[summary.status]}],
        "usage": completion_usage(summary.usage or {}),
    }


def failure(status: str, error: Json | None) -> SandlotError | None:
    """Why there is no completion; None where there is one."""
    if status in _REASONS:
        return None
    if status == "in_progress":
        return as_error("controller_stopped", "The controller is shutting down; try again.")
    found = error or {"code": status, "message": f"The run was {status}."}
    return as_error(str(found["code"]), str(found["message"]))


def completion_usage(usage: Json) -> Json:
    """Token counts, as Chat Completions name them."""
    thought = usage.get("total_thought_tokens", 0)
    return {
        "prompt_tokens": usage.get("total_input_tokens", 0) + usage.get("total_tool_use_tokens", 0),
        "completion_tokens": usage.get("total_output_tokens", 0) + thought,
        "total_tokens": usage.get("total_tokens", 0),
        "prompt_tokens_details": {"cached_tokens": usage.get("total_cached_tokens", 0)},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


@dataclass(slots=True)
class ChatChunks:
    """Translates the events of one log into chunks."""

    head: Json
    naming: Naming
    with_usage: bool
    _kinds: dict[int, str] = field(default_factory=dict[int, str])
    _calls: dict[int, int] = field(default_factory=dict[int, int])
    _silent: set[int] = field(default_factory=set[int])
    """Calls whose arguments have not begun."""
    _has_text: bool = False
    _needs_paragraph: bool = False

    def feed(self, event: Json) -> list[Json]:
        """What an event of the log says."""
        match event:
            case {"event_type": "interaction.created"}:
                return [self._chunk({"role": "assistant", "content": "", "refusal": None})]
            case {"event_type": "step.start", "index": index, "step": step}:
                return self._begin(index, step)
            case {"event_type": "step.delta", "index": index, "delta": delta}:
                return self._grow(index, delta)
            case {"event_type": "step.stop", "index": index} if index in self._silent:
                self._silent.discard(index)
                return [self._arguments(index, "{}")]
            case {"event_type": "interaction.completed", "interaction": interaction}:
                return self._conclude(interaction)
            case _:
                return []

    def _begin(self, index: int, step: Json) -> list[Json]:
        self._kinds[index] = step["type"]
        if step["type"] == "model_output":
            self._needs_paragraph = self._has_text
        if step["type"] != "function_call" or step["name"] not in self.naming.functions:
            return []
        self._calls[index] = len(self._calls)
        self._silent.add(index)
        function = {"name": step["name"], "arguments": ""}
        call = {"index": self._calls[index], "id": step["id"], "type": "function"}
        return [self._chunk({"tool_calls": [{**call, "function": function}]})]

    def _grow(self, index: int, delta: Json) -> list[Json]:
        match self._kinds.get(index), delta:
            case "model_output", {"type": "text", "text": str(text)} if text:
                text = PARAGRAPH + text if self._needs_paragraph else text
                self._needs_paragraph, self._has_text = False, True
                return [self._chunk({"content": text})]
            case _, {"type": "arguments_delta", "arguments": str(text)} if index in self._calls:
                self._silent.discard(index)
                return [self._arguments(index, text)]
            case _:
                return []

    def _arguments(self, index: int, text: str) -> Json:
        call = {"index": self._calls[index], "function": {"arguments": text}}
        return self._chunk({"tool_calls": [call]})

    def _conclude(self, interaction: Json) -> list[Json]:
        error = failure(interaction["status"], interaction.get("error"))
        if error is not None:
            return [error_body(error.http_status, error.code, error.message)]
        last = [self._chunk({}, _REASONS[interaction["status"]])]
        if self.with_usage:
            usage = completion_usage(interaction.get("usage") or {})
            last.append({**self.head, "choices": [], "usage": usage})
        return last

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self.head, "choices": [choice]}
        return {**chunk, "usage": None} if self.with_usage else chunk


def chunk_block(chunk: Json) -> bytes:
    """One chunk on the wire."""
    return f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
