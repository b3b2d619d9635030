"""Events: the numbered entries of an interaction's log, and the fold from events to steps.

Names, order and payloads are those of the Interactions API's server-sent events. `step.start` is
bare, all content comes in deltas, and the deltas of a step add up to the step.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from runtime.schema.base import Open
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

_ARGUMENTS_KEY = "_arguments_text"
_MEDIA = frozenset({"image", "audio", "video", "document"})


def fold(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps that a log adds up to, in their wire form, an unfinished last one included."""
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
        step["signature"] = step.get("signature", "") + delta["signature"]
    elif kind == "arguments_delta":
        step[_ARGUMENTS_KEY] = step.get(_ARGUMENTS_KEY, "") + delta["arguments"]
    elif kind == "text_annotation_delta":
        _annotate(step.setdefault("content", []), delta["annotations"])
    elif kind.endswith("_call"):
        step["arguments"] = {**step.get("arguments", {}), **delta.get("arguments", {})}
    elif kind.endswith("_result"):
        _append_result(step, delta)


def _append_text(parts: list[dict[str, Any]], text: str) -> None:
    if parts and parts[-1]["type"] == "text" and not parts[-1].get("annotations"):
        parts[-1]["text"] += text
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
    result = step.get("result")
    if not isinstance(result, list):
        step["result"] = [{"type": "text", "text": result}] if result else []
    step["result"].append(delta)


def _append_result(step: dict[str, Any], delta: dict[str, Any]) -> None:
    piece, so_far = delta.get("result"), step.get("result")
    if isinstance(piece, str) and isinstance(so_far, list):
        if piece:
            _append_text(so_far, piece)
    elif isinstance(piece, str) and isinstance(so_far, str):
        step["result"] = so_far + piece
    elif isinstance(piece, list) and isinstance(so_far, list):
        so_far.extend(piece)
    elif piece is not None:
        step["result"] = piece
    if delta.get("is_error") is not None:
        step["is_error"] = delta["is_error"]


def _annotate(parts: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> None:
    if parts and parts[-1]["type"] == "text":
        parts[-1]["annotations"] = [*parts[-1].get("annotations", []), *annotations]


def _finish(step: dict[str, Any]) -> dict[str, Any]:
    text = step.pop(_ARGUMENTS_KEY, None)
    if text:
        try:
            step["arguments"] = json.loads(text)
        except ValueError:
            step["arguments"] = {"_partial": text}
    return step
