"""The shape before the steps: turns as input, `outputs` in answers, `content.*` events. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from runtime.api.compat.messages import content_of
from runtime.errors import InvalidRequest

Json = dict[str, Any]
NOTE = (
    "This call has the shape from before 2026-05-20 and was answered in it. Send 'schemaVersion': "
    "'2026-05-20' and 'input' as a text, content or steps, and read 'steps' instead of 'outputs'."
)
HEADERS = {
    # RFC 9745: the moment since which it is deprecated.
    "Deprecation": "@1779235200",
    "Warning": f'299 sandlot "{NOTE}"',
}
_ROLES = {"user": "user_input", "model": "model_output", "assistant": "model_output"}
_RENAMED = {
    "interaction.created": "interaction.start",
    "interaction.completed": "interaction.complete",
}


def is_old_input(value: Any) -> bool:
    """Whether `input` is a list of turns, `{role, content}`."""
    return isinstance(value, list) and any(
        isinstance(item, dict) and "role" in item and "type" not in item for item in value
    )


def read_turns(turns: list[Any]) -> list[Json]:
    """The steps that turns mean. Raises `InvalidRequest`."""
    steps: list[Json] = []
    for index, turn in enumerate(turns):
        path = f"input[{index}]"
        if not isinstance(turn, dict) or str(turn.get("role")) not in _ROLES:
            raise InvalidRequest(f"{path}.role: use 'user' or 'model'.")
        for name in turn.keys() - {"role", "content"}:
            raise InvalidRequest(f"Unknown parameter '{path}.{name}'.")
        content = content_of(turn.get("content"), f"{path}.content")
        steps.append({"type": _ROLES[turn["role"]], "content": content})
    return steps


def old_view(view: Json) -> Json:
    """An Interaction with `outputs` instead of `steps`, and a note."""
    kept = {name: value for name, value in view.items() if name != "steps"}
    return {**kept, "outputs": outputs_of(view.get("steps") or []), "warnings": [NOTE]}


def outputs_of(steps: list[Json]) -> list[Json]:
    """What the model made, one entry per piece of content, thought, call or result."""
    outputs: list[Json] = []
    for step in steps:
        if step["type"] == "model_output":
            outputs += step.get("content") or []
        elif step["type"] != "user_input":
            outputs.append(step)
    return outputs


async def old_events(
    events: AsyncGenerator[tuple[int, Json]],
) -> AsyncGenerator[tuple[int, Json]]:
    """The events of a log under their old names."""
    async for seq, event in events:
        yield seq, old_event(event)


def old_event(event: Json) -> Json:
    """One event under its old name."""
    match event:
        case {"event_type": "step.start", "step": {"type": "model_output"}, "index": index}:
            content = {"type": "text", "text": ""}
            return {"event_type": "content.start", "index": index, "content": content}
        case {"event_type": "step.start", "step": step, "index": index}:
            return {"event_type": "content.start", "index": index, "content": step}
        case {"event_type": "step.delta" | "step.stop" as kind}:
            return {**event, "event_type": kind.replace("step.", "content.")}
        case {"event_type": kind, "interaction": dict()} if kind in _RENAMED:
            return {**event, "event_type": _RENAMED[kind], "warnings": [NOTE]}
        case _:
            return event
