"""Events: the numbered entries of an interaction's log, and the fold from events to steps.

Names, order and payloads are those of the Interactions API's server-sent events. `step.start` is
bare, all content comes in deltas, and the deltas of a step add up to the step.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from runtime.schema.base import Open
from runtime.schema.framing import holds_more_than
from runtime.schema.usage import Usage

TERMINAL = frozenset({"completed", "failed", "cancelled", "incomplete", "budget_exceeded"})
"""Statuses that never change again."""

SETTLED = TERMINAL | {"requires_action"}
"""Statuses in which nothing runs: the terminal ones, and waiting for the caller's functions."""


class InteractionCreated(Open):
    """The first event of every log."""

    event_type: Literal["interaction.created"] = "interaction.created"
    interaction: dict[str, Any]


class StatusUpdate(Open):
    """The status changed."""

    event_type: Literal["interaction.status_update"] = "interaction.status_update"
    interaction_id: str
    status: str


class StepStart(Open):
    """A step begins: its type, and id and name where it is a call."""

    event_type: Literal["step.start"] = "step.start"
    index: int
    step: dict[str, Any]


class StepDelta(Open):
    """A piece of the step at `index`."""

    event_type: Literal["step.delta"] = "step.delta"
    index: int
    delta: dict[str, Any]


class StepStop(Open):
    """The step at `index` is whole; `usage` is the sum so far."""

    event_type: Literal["step.stop"] = "step.stop"
    index: int
    usage: Usage | None = None
    step_usage: Usage | None = None


class InteractionCompleted(Open):
    """The last event: the run settled, with whichever status."""

    event_type: Literal["interaction.completed"] = "interaction.completed"
    interaction: dict[str, Any]


class ErrorEvent(Open):
    """Something went wrong."""

    event_type: Literal["error"] = "error"
    error: dict[str, Any]


Event = Annotated[
    InteractionCreated
    | StatusUpdate
    | StepStart
    | StepDelta
    | StepStop
    | InteractionCompleted
    | ErrorEvent,
    Field(discriminator="event_type"),
]
StepEvent = Annotated[StepStart | StepDelta | StepStop, Field(discriminator="event_type")]
"""The events that a loop makes; the others are the controller's own."""

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
STEP_EVENTS: TypeAdapter[list[StepEvent]] = TypeAdapter(list[StepEvent])

NONSENSE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
"""What `fold` raises for events that do not add up, as a guest may make them."""
_ARGUMENTS_KEY = "_arguments_text"
_MEDIA = frozenset({"image", "audio", "video", "document"})
_GROWING_LISTS = ("content", "summary", "result")
MAX_ARGUMENT_VALUES = 250_000
MAX_ARGUMENT_DEPTH = 200
"""Arguments that come as text with more values, or nested deeper, stay a text."""


class _Growing:
    """A text in the making. Adding to a real one would copy all of it, each time."""

    def __init__(self, beginning: str) -> None:
        self._pieces = [beginning]

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def whole(self) -> str:
        return "".join(self._pieces)


def fold(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps that a log adds up to, in their wire form, an unfinished last one included.

    Takes a time that grows with the log and no faster; the events stay as they are.
    """
    steps: dict[int, dict[str, Any]] = {}
    for event in events:
        match event.get("event_type"):
            case "step.start":
                steps[event["index"]] = json.loads(json.dumps(event["step"]))
            case "step.delta":
                step = steps.get(event["index"])
                if step is not None:
                    _apply(step, event["delta"])
            case _:
                pass
    return [_finish(steps[index]) for index in sorted(steps)]


def _apply(step: dict[str, Any], delta: dict[str, Any]) -> None:
    kind = delta["type"]
    if kind == "text":
        _append_text(step.setdefault("content", []), delta["text"])
    elif kind in _MEDIA:
        _append_media(step, delta)
    elif kind == "thought_summary":
        _append_content(step.setdefault("summary", []), delta["content"])
    elif kind == "thought_signature":
        _grow(step, "signature", delta["signature"])
    elif kind == "arguments_delta":
        _grow(step, _ARGUMENTS_KEY, delta["arguments"])
    elif kind == "text_annotation_delta":
        _annotate(step.setdefault("content", []), delta["annotations"])
    elif kind.endswith("_call"):
        step.setdefault("arguments", {}).update(delta.get("arguments", {}))
    elif kind.endswith("_result"):
        _append_result(step, delta)


def _grow(holder: dict[str, Any], key: str, text: str) -> None:
    so_far = holder.get(key)
    if not isinstance(so_far, _Growing):
        so_far = holder[key] = _Growing(so_far or "")
    so_far.add(text)


def _append_text(parts: list[dict[str, Any]], text: str) -> None:
    if parts and parts[-1]["type"] == "text" and not parts[-1].get("annotations"):
        _grow(parts[-1], "text", text)
    else:
        parts.append({"type": "text", "text": text})


def _append_content(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    if part.get("type") == "text":
        _append_text(parts, part["text"])
    else:
        parts.append(part)


def _append_media(step: dict[str, Any], delta: dict[str, Any]) -> None:
    if not step["type"].endswith("_result"):
        step.setdefault("content", []).append(delta)
        return
    result = _whole(step.get("result"))
    if not isinstance(result, list):
        result = [{"type": "text", "text": result}] if result else []
    result.append(delta)
    step["result"] = result


def _append_result(step: dict[str, Any], delta: dict[str, Any]) -> None:
    piece, so_far = delta.get("result"), step.get("result")
    if isinstance(piece, str) and isinstance(so_far, list):
        if piece:
            _append_text(so_far, piece)
    elif isinstance(piece, str) and isinstance(so_far, str | _Growing):
        _grow(step, "result", piece)
    elif isinstance(piece, list):
        # Copies, as what follows is added to them.
        parts = [{**part} if isinstance(part, dict) else part for part in piece]
        if isinstance(so_far, list):
            so_far.extend(parts)
        else:
            step["result"] = parts
    elif piece is not None:
        step["result"] = piece
    if delta.get("is_error") is not None:
        step["is_error"] = delta["is_error"]


def _annotate(parts: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> None:
    if parts and parts[-1]["type"] == "text":
        parts[-1].setdefault("annotations", []).extend(annotations)


def _finish(step: dict[str, Any]) -> dict[str, Any]:
    text = _whole(step.pop(_ARGUMENTS_KEY, None))
    if text:
        step["arguments"] = _arguments(text)
    for key in ("signature", "result"):
        if key in step:
            step[key] = _whole(step[key])
    for key in _GROWING_LISTS:
        parts = step.get(key)
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict) and "text" in part:
                part["text"] = _whole(part["text"])
    return step


def _whole(value: Any) -> Any:
    return value.whole() if isinstance(value, _Growing) else value


def _arguments(text: str) -> Any:
    """What a text of arguments says, where that can be kept; else the text."""
    unread = {"_partial": text}
    if holds_more_than(text.encode("utf-8", "surrogatepass"), MAX_ARGUMENT_VALUES):
        return unread
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return unread
    return value if _is_no_deeper_than(MAX_ARGUMENT_DEPTH, value) else unread


def _is_no_deeper_than(depth: int, value: Any) -> bool:
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
