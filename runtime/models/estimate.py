"""The usage of a call that nobody counted. Pure.

Used for the script model, and for servers that do not report usage.
"""

from __future__ import annotations

from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.steps import ModelOutputStep, Step, ThoughtStep, as_call
from runtime.schema.tokens import characters, tokens
from runtime.schema.usage import Usage


def estimated_usage(request: ModelRequest, parts: list[ModelPart]) -> Usage:
    """The usage of one call.

    Input is the system instruction, the tools and the history. What an earlier call of the same
    conversation was given too, all up to the latest turn of the model, counts as cached.
    """
    head = characters(request.system_instruction) + sum(
        characters(tool.model_dump()) for tool in request.tools
    )
    weights = [characters(step.model_dump(exclude_none=True)) for step in request.history]
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
