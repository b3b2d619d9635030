"""What of an interaction is worth showing, in order: a pure reading of its events or steps."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runtime.cli.acts import Act, act_of, doing
from runtime.client.records import AnyStep
from runtime.schema.content import Content, ImageContent, text_of
from runtime.schema.events import NONSENSE, fold
from runtime.schema.steps import (
    CODE_EXECUTION,
    ModelOutputStep,
    ThoughtStep,
    ToolCall,
    ToolResult,
    UserInputStep,
    as_call,
    as_result,
)

_PLACEHOLDER = re.compile(r"^\[picture \d+\]\n?", re.MULTILINE)
"""Stands in an output where a picture was; the picture itself comes after."""
_STEP: TypeAdapter[AnyStep] = TypeAdapter(AnyStep)


@dataclass(frozen=True, slots=True)
class Task:
    """What the caller asked for."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model thought."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Code that the model runs."""

    language: str
    code: str


@dataclass(frozen=True, slots=True)
class Output:
    """What code printed."""

    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a tool or the model made."""

    data: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class Say:
    """What the model said."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A function of the caller that the model waits for."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong with the run itself."""

    code: str
    message: str


Item = Task | Thought | Code | Output | Picture | Act | Say | Waiting | Fault
"""One thing to show."""


class Transcript:
    """Turns events, as they come, into the items that they complete."""

    def __init__(self) -> None:
        self._events: dict[int, list[dict[str, Any]]] = {}
        self._calls: dict[str, ToolCall] = {}
        self._faults: set[Fault] = set()
        self.step_count = 0

    def feed(self, event: dict[str, Any]) -> list[Item]:
        """The items that `event` completes."""
        match event:
            case {"event_type": "step.start" | "step.delta", "index": int(index)}:
                self._events.setdefault(index, []).append(event)
                return []
            case {"event_type": "step.stop", "index": int(index)}:
                return self.steps(_folded(self._events.pop(index, [])))
            case {"event_type": "interaction.completed", "interaction": dict(interaction)}:
                return self.ending(interaction)
            case {"event_type": "error", "error": dict(error)}:
                return self._new_faults([error])
            case _:
                return []

    def steps(self, steps: list[dict[str, Any]]) -> list[Item]:
        """The items of whole steps."""
        self.step_count += len(steps)
        return [item for step in steps for item in self._items(step)]

    def _items(self, wire: dict[str, Any]) -> list[Item]:
        try:
            step = _STEP.validate_python(wire)
        except ValidationError:
            return []
        match step:
            case UserInputStep():
                return [Task(text) for text in [text_of(step.content)] if text]
            case ThoughtStep():
                return [Thought(text) for text in [text_of(step.summary)] if text.strip()]
            case ModelOutputStep():
                return _spoken(step.content)
            case _:
                return self._tool_items(step)

    def _tool_items(self, step: Any) -> list[Item]:
        if (call := as_call(step)) is not None:
            self._calls[call.id] = call
            return _code(call)
        answered = as_result(step)
        if answered is None:
            return []
        identifier, result = answered
        call = self._calls.pop(identifier, ToolCall(identifier, "tool", {}))
        return _answer(call, result)

    def ending(self, interaction: dict[str, Any]) -> list[Item]:
        """What to say when it has settled: functions that it waits for, and what went wrong."""
        waiting: list[Item] = [
            Waiting(call.name, json.dumps(call.arguments, ensure_ascii=False))
            for call in self._calls.values()
            if interaction.get("status") == "requires_action"
        ]
        self._calls.clear()
        return [*waiting, *self._new_faults(interaction.get("errors") or [])]

    def _new_faults(self, errors: list[dict[str, Any]]) -> list[Item]:
        """Those that were not shown yet: what ends a run is an event, and stands in its end."""
        faults = [fault for fault in map(_fault, errors) if fault not in self._faults]
        self._faults.update(faults)
        return [*faults]

    @property
    def activity(self) -> str:
        """What is going on just now, in a few words."""
        if self._events:
            return _WRITING.get(str(self._started()["step"].get("type")), self._running())
        return self._running()

    def _running(self) -> str:
        if self._calls:
            return doing(list(self._calls.values())[-1])
        return "thinking" if self.step_count else "starting"

    @property
    def draft(self) -> str:
        """The text so far of the step that is being written."""
        if not self._events or self._started()["step"].get("type") not in _DRAFTED:
            return ""
        deltas = [event.get("delta", {}) for event in self._latest()]
        return "".join(_delta_text(delta) for delta in deltas)

    def _started(self) -> dict[str, Any]:
        first = self._latest()[0]
        return first if "step" in first else {"step": {}}

    def _latest(self) -> list[dict[str, Any]]:
        return self._events[max(self._events)]


_DRAFTED = frozenset({"model_output", "thought"})
_WRITING = {
    "thought": "thinking",
    "model_output": "writing",
    "code_execution_call": "writing code",
    "function_call": "choosing a tool",
}


def _folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The step, if it makes sense: a guest may have made it up."""
    try:
        return fold(events)
    except NONSENSE:
        return []


def _delta_text(delta: dict[str, Any]) -> str:
    match delta:
        case {"type": "thought_summary", "content": {"text": str(text)}} | {"text": str(text)}:
            return text
        case _:
            return ""


def _code(call: ToolCall) -> list[Item]:
    if call.name != CODE_EXECUTION:
        return []
    code = call.arguments.get("code")
    language = str(call.arguments.get("language") or "python")
    return [Code(language, code)] if isinstance(code, str) else []


def _answer(call: ToolCall, result: ToolResult) -> list[Item]:
    pictures = _pictures(result.content)
    if call.name != CODE_EXECUTION:
        return [act_of(call, result), *pictures]
    text = _PLACEHOLDER.sub("", result.text).rstrip() if pictures else result.text.rstrip()
    output: list[Item] = [Output(text, result.is_error)] if text else []
    return [*output, *pictures]


def _spoken(content: list[Content]) -> list[Item]:
    text = text_of(content)
    said: list[Item] = [Say(text)] if text.strip() else []
    return [*said, *_pictures(content)]


def _pictures(content: list[Content]) -> list[Item]:
    found: list[Item] = []
    for part in content:
        data = _decoded(part.data) if isinstance(part, ImageContent) and part.data else None
        if data and isinstance(part, ImageContent):
            found.append(Picture(data, part.mime_type or "image/png"))
    return found


def _decoded(data: str) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def _fault(error: dict[str, Any]) -> Fault:
    return Fault(str(error.get("code") or "error"), str(error.get("message") or ""))
