"""Token counts where nobody counts: four characters are a token, a medium is 258. Pure.

Used for the script model, and for servers that do not report usage.
"""

from __future__ import annotations

import json
from typing import Any

from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.steps import ModelOutputStep, Step, ThoughtStep, as_call
from runtime.schema.usage import Usage

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MEDIUM = 258


def tokens(characters: int) -> int:
    """The tokens of so many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def estimated_usage(request: ModelRequest, parts: list[ModelPart]) -> Usage:
    """The usage of one call.

    Input is the system instruction, the tools and the history. What an earlier call of the same
    conversation was given too, all up to the latest turn of the model, counts as cached.
    """
    head = _characters(request.system_instruction) + sum(
        _characters(tool.model_dump()) for tool in request.tools
    )
    weights = [_characters(step.model_dump(exclude_none=True)) for step in request.history]
    seen = _seen_before(request.history)
    told = tokens(head + sum(weights))
    thought = sum(len(part.text) for part in parts if part.type == "thought")
    said = sum(_said(part) for part in parts)
    return Usage(
        total_input_tokens=told,
        total_cached_tokens=tokens(head + sum(weights[:seen])) if seen else 0,
        total_output_tokens=tokens(said),
        total_thought_tokens=tokens(thought),
        total_tokens=told + tokens(said) + tokens(thought),
    )


def _seen_before(history: list[Step]) -> int:
    """How many steps the previous call was given."""
    count = len(history)
    while count and not _is_models(history[count - 1]):
        count -= 1
    while count and _is_models(history[count - 1]):
        count -= 1
    return count


def _is_models(step: Step) -> bool:
    return isinstance(step, ModelOutputStep | ThoughtStep) or as_call(step) is not None


def _said(part: ModelPart) -> int:
    match part.type:
        case "text":
            return len(part.text)
        case "call_start":
            return len(part.name)
        case "call_arguments":
            return len(part.fragment)
        case _:
            return 0


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        if "mime_type" in value and "data" in value:
            return TOKENS_PER_MEDIUM * CHARACTERS_PER_TOKEN
        return sum(len(str(key)) + _characters(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(_characters(item) for item in value)
    return 0 if value is None else len(json.dumps(value, default=str))
