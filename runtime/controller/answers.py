"""Whether an answer is what the caller asked for, and what the model is told when not. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from runtime.controller.json_schemas import TooComplex, mismatches
from runtime.errors import ModelFault, ResponseFormatMismatch, ToolChoiceIgnored
from runtime.schema.content import TextContent
from runtime.schema.model import CallStart, ModelDone, ModelPart, ModelRequest, TextPart
from runtime.schema.steps import CorrectionStep, ModelOutputStep, Step

PIECE = 400
"""Characters of one delta of a text that is not given on as it came."""
_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an answer is not accepted."""

    correction: str
    """What the model is told."""
    fault: ModelFault
    """What the run fails with when the model does not do better."""
    can_improve: bool = True


@dataclass(slots=True)
class HeldAnswer:
    """The parts of one answer, held back until it is known that they are wanted.

    An answer that calls a tool is not the final one: from the first call on nothing is held.
    """

    parts: list[ModelPart] = field(default_factory=list[ModelPart])
    done: ModelDone = field(default_factory=ModelDone)
    is_released: bool = False

    def take(self, part: ModelPart) -> list[ModelPart]:
        """The parts that are given on now."""
        if isinstance(part, ModelDone):
            self.done = part
            return []
        if self.is_released:
            return [part]
        self.parts.append(part)
        return self.release() if isinstance(part, CallStart) else []

    def release(self) -> list[ModelPart]:
        """Everything that is held."""
        self.is_released = True
        held, self.parts = self.parts, []
        return held

    def release_as(self, text: str) -> list[ModelPart]:
        """Everything that is held, with `text` as the text of the answer."""
        if text == self.text:
            return self.release()
        rest = [part for part in self.release() if not isinstance(part, TextPart)]
        return [*rest, *_pieces(text)]

    @property
    def is_whole(self) -> bool:
        """Whether the model ended it by itself, and without a call."""
        return self.done.reason == "stop" and not self.is_released

    @property
    def text(self) -> str:
        """The text that is held."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def corrected(request: ModelRequest, answer: HeldAnswer, correction: str) -> ModelRequest:
    """The request that asks again: the conversation goes on behind the rejected answer."""
    said: list[Step] = []
    if answer.text.strip():
        said.append(ModelOutputStep(content=[TextContent(text=answer.text)]))
    told = CorrectionStep(content=[TextContent(text=correction)])
    return request.model_copy(update={"history": [*request.history, *said, told]})


def no_call(request: ModelRequest) -> Objection:
    """The model called no tool although it must."""
    names = request.tool_choice.names
    offered = [tool.name for tool in request.tools if names is None or tool.name in names]
    listed = ", ".join(offered[:20]) + (" and others" if len(offered) > 20 else "")
    return Objection(
        f"You answered without calling a tool. Call one of these tools now: {listed}.",
        ToolChoiceIgnored(
            "The model answered without calling a tool, also when asked again, although "
            f"tool_choice is 'any'. It could have called: {listed}."
        ),
    )


def check_format(schema: dict[str, Any], text: str) -> str | Objection:
    """The answer as JSON text that is valid by `schema`, or the objection to it.

    A code fence around the JSON, and prose around one single fence, are left out.
    """
    found = _json_in(text)
    if isinstance(found, ValueError):
        return _mismatch([f"$: is not JSON: {found}"])
    answer, value = found
    try:
        problems = mismatches(schema, value)
    except TooComplex as error:
        message = f"The answer cannot be held against response_format.schema: {error}."
        return Objection("", ResponseFormatMismatch(message), can_improve=False)
    return _mismatch(problems) if problems else answer


def _mismatch(problems: list[str]) -> Objection:
    listed = "\n".join(f"- {problem}" for problem in problems)
    return Objection(
        "Your answer was not accepted. It must be one JSON value that is valid by the JSON Schema "
        "of the answer, with no text and no code fence around it. What is wrong ($ is the whole "
        f"value):\n{listed}\nAnswer again with the whole, corrected JSON value and nothing else.",
        ResponseFormatMismatch(
            "The answer is not valid by response_format, also after it was asked for again. "
            f"{'; '.join(problems[:3])}"
        ),
    )


def _json_in(text: str) -> tuple[str, Any] | ValueError:
    whole = text.strip()
    fenced = [match.strip() for match in _FENCED.findall(whole)]
    first = _parsed(whole)
    if isinstance(first, ValueError) and len(fenced) == 1:
        inner = _parsed(fenced[0])
        return first if isinstance(inner, ValueError) else (fenced[0], inner[0])
    return first if isinstance(first, ValueError) else (whole, first[0])


def _parsed(text: str) -> tuple[Any] | ValueError:
    """The value in a tuple, or why it is none that every reader of JSON can read."""
    if not text:
        return ValueError("it is empty")
    try:
        return (json.loads(text, parse_constant=_not_a_number, parse_float=_finite),)
    except ValueError as error:
        return error
    except RecursionError:
        return ValueError("it is nested too deeply")


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _pieces(text: str) -> Iterator[ModelPart]:
    for start in range(0, len(text), PIECE):
        yield TextPart(text=text[start : start + PIECE])
