"""Short ways to write histories and to read answers."""

from __future__ import annotations

from typing import Any

from runtime.schema.content import Content, TextContent
from runtime.schema.model import (
    CallArguments,
    CallEnd,
    CallStart,
    ModelPart,
    ModelRequest,
    TextPart,
    ThoughtPart,
)
from runtime.schema.steps import (
    FunctionCallStep,
    FunctionResultStep,
    ModelOutputStep,
    Step,
    ThoughtStep,
    UserInputStep,
)


def user(*content: str | Content) -> Step:
    return UserInputStep(
        content=[TextContent(text=part) if isinstance(part, str) else part for part in content]
    )


def said(text: str) -> Step:
    return ModelOutputStep(content=[TextContent(text=text)])


def thought(text: str, signature: str | None = None) -> Step:
    return ThoughtStep(summary=[TextContent(text=text)] if text else [], signature=signature)


def call(call_id: str, name: str = "f", **arguments: Any) -> Step:
    return FunctionCallStep(id=call_id, name=name, arguments=arguments)


def result(call_id: str, value: Any = "done", *, is_error: bool = False) -> Step:
    return FunctionResultStep(call_id=call_id, result=value, is_error=is_error or None)


def ask(*history: Step, **fields: Any) -> ModelRequest:
    return ModelRequest(model="m", history=list(history), **fields)


def told(parts: list[ModelPart]) -> list[str]:
    """An answer in short: `say:…`, `think:…`, `sign:…`, `NAME(ARGUMENTS)`, `done:REASON`."""
    short: list[str] = []
    for part in parts:
        kind, text = _short(part)
        if short and kind and short[-1].startswith(kind) and not isinstance(part, CallStart):
            short[-1] += text
        else:
            short.append(kind + text)
    return short


def _short(part: ModelPart) -> tuple[str, str]:
    match part:
        case TextPart():
            return "say:", part.text
        case ThoughtPart():
            return "think:", part.text
        case CallStart():
            return "call:", f"{part.name}("
        case CallArguments():
            return "call:", part.fragment
        case CallEnd():
            return "call:", ")"
        case _:
            return (
                "",
                f"{part.type}:{getattr(part, 'signature', None) or getattr(part, 'reason', '')}",
            )
