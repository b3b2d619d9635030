"""Plays the turns of a script: which turn is next by the history, and what it says. Pure.

Nothing is remembered between calls. The position is the number of calls that stand in the history
since the caller last said something; a result of a caller's own function does not count as that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import ScriptMismatch
from runtime.ids import new_id
from runtime.models.estimate import estimated_usage
from runtime.schema.model import (
    CallArguments,
    CallEnd,
    CallStart,
    ModelDone,
    ModelPart,
    ModelRequest,
    TextPart,
    ThoughtPart,
)
from runtime.schema.steps import Step, ToolResult, UserInputStep, as_call, as_result

LONGEST_HEAD = 500
"""Characters of a result that a mismatch shows."""
SHORTEST_PIECE = 16
MOST_PIECES = 200

_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something to say, or to think."""

    text: str
    is_thought: bool = False


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A tool call. `expect` must be found in the text of its result; it may name groups."""

    name: str
    arguments: dict[str, Any]
    expect: re.Pattern[str] | None = None
    where: str = ""
    """`file:line:column`; empty where there is no file."""
    must_succeed: bool = False
    """Whether an error as the result, with nothing expected of it, ends the script."""


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """One answer of the model. Without calls it is the last of its script."""

    utterances: list[Utterance] = field(default_factory=list[Utterance])
    calls: list[ScriptedCall] = field(default_factory=list[ScriptedCall])

    @property
    def speaks(self) -> bool:
        """Whether it says something or calls a tool; else the last result is its answer."""
        return bool(self.calls) or any(not utterance.is_thought for utterance in self.utterances)


def play(turns: list[ScriptedTurn], request: ModelRequest) -> list[ModelPart]:
    """The parts of the next turn; when nothing is left to say, the text of the last result.

    Raises `ScriptMismatch` when a result is not what was expected of it.
    """
    results = list(_results(request.history))
    made = [call for turn in turns for call in turn.calls][: len(results)]
    variables = _variables(made, results)
    turn = _next_turn(turns, len(results))
    parts = list(_parts(turn, variables))
    if not turn.speaks and results and results[-1]:
        parts += [TextPart(text=piece) for piece in pieces(results[-1].text)]
    reason = "calls" if turn.calls else "stop"
    return [*parts, ModelDone(reason=reason, usage=estimated_usage(request, parts))]


def _next_turn(turns: list[ScriptedTurn], made: int) -> ScriptedTurn:
    for turn in turns:
        if made <= 0:
            return turn
        made -= len(turn.calls)
    return ScriptedTurn()


def _results(history: list[Step]) -> Iterator[ToolResult | None]:
    """The result of each call since the last input, in the order of the calls."""
    start = next(
        (
            index
            for index in range(len(history) - 1, -1, -1)
            if isinstance(step := history[index], UserInputStep) and step.content
        ),
        -1,
    )
    recent = history[start + 1 :]
    results = {found[0]: found[1] for step in recent if (found := as_result(step))}
    for step in recent:
        if (call := as_call(step)) is not None:
            yield results.get(call.id)


def _variables(calls: list[ScriptedCall], results: list[ToolResult | None]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for call, result in zip(calls, results, strict=False):
        if result is not None:
            variables |= _captured(call, result)
    return variables


def _captured(call: ScriptedCall, result: ToolResult) -> dict[str, str]:
    if call.expect is None:
        if call.must_succeed and result.is_error:
            raise _mismatch(call, "did not fail", result)
        return {}
    found = call.expect.search(result.text)
    if found is None:
        raise _mismatch(call, f"matches {call.expect.pattern!r}", result)
    return {name: value for name, value in found.groupdict().items() if value is not None}


def _mismatch(call: ScriptedCall, expected: str, result: ToolResult) -> ScriptMismatch:
    head = result.text[:LONGEST_HEAD]
    more = " …" if len(result.text) > LONGEST_HEAD else ""
    kind = "failed with" if result.is_error else "is"
    where = f"{call.where}: " if call.where else ""
    wish = f"{where}the script expects a result of {call.name} that {expected}"
    return ScriptMismatch(f"{wish}; it {kind}: {head}{more}")


def _parts(turn: ScriptedTurn, variables: dict[str, str]) -> Iterator[ModelPart]:
    for utterance in turn.utterances:
        for piece in pieces(filled_in(utterance.text, variables)):
            yield ThoughtPart(text=piece) if utterance.is_thought else TextPart(text=piece)
    for call in turn.calls:
        yield CallStart(id=new_id("call"), name=call.name)
        arguments = json.dumps(_filled_in_all(call.arguments, variables), ensure_ascii=False)
        for piece in pieces(arguments):
            yield CallArguments(fragment=piece)
        yield CallEnd()


def filled_in(text: str, variables: dict[str, str]) -> str:
    """`${name}` replaced by the variable of that name; `$${name}` stands for `${name}`.

    A name that is no variable is left as it is, so that shell code can be written plainly.
    """

    def value(match: re.Match[str]) -> str:
        whole = match.group()
        if whole.startswith("$$"):
            return whole[1:] if match.group(1) in variables else whole
        return variables.get(match.group(1), whole)

    return _VARIABLE.sub(value, text)


def names_in(text: str) -> set[str]:
    """The names that `filled_in` would look up."""
    return {m.group(1) for m in _VARIABLE.finditer(text) if not m.group().startswith("$$")}


def _filled_in_all(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, str):
        return filled_in(value, variables)
    if isinstance(value, dict):
        return {key: _filled_in_all(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled_in_all(item, variables) for item in value]
    return value


def pieces(text: str) -> Iterator[str]:
    """The text in pieces, as a model would stream it: a few words each, never many pieces."""
    size = max(SHORTEST_PIECE, -(-len(text) // MOST_PIECES))
    for start in range(0, len(text), size):
        yield text[start : start + size]
