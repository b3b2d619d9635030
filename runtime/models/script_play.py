"""Plays the turns of a script: which turn is next by the history, and what it says. Pure.

Nothing is remembered between calls. The position is the number of calls that stand in the history
since the caller last said something; a result of a caller's own function does not count as that,
nor does `continue`. Calls that a compaction took away count, and so do answers sent back.
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
from runtime.schema.compaction import compaction_of
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
from runtime.schema.steps import (
    CorrectionStep,
    Step,
    ToolResult,
    UserInputStep,
    as_call,
    as_result,
    goes_on,
)

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
    if request.purpose == "summary":
        return _finished(request, [TextPart(text=piece) for piece in pieces(_summary(request))])
    results = list(_results(request.history))
    made = [call for turn in turns for call in turn.calls][: len(results)]
    variables = _variables(made, results)
    turn = _next_turn(turns, len(results), _corrections(request.history))
    parts = list(_parts(turn, variables))
    if not turn.speaks and results and results[-1]:
        parts += [TextPart(text=piece) for piece in pieces(results[-1].text)]
    return _finished(request, parts)


def _finished(request: ModelRequest, parts: list[ModelPart]) -> list[ModelPart]:
    calls = any(isinstance(part, CallStart) for part in parts)
    usage = estimated_usage(request, parts)
    return [*parts, ModelDone(reason="calls" if calls else "stop", usage=usage)]


def _next_turn(turns: list[ScriptedTurn], made: int, corrected: int) -> ScriptedTurn:
    """The turn behind so many calls and so many answers that were sent back."""
    for turn in turns:
        if turn.calls and made <= 0:
            return turn
        if not turn.calls and made <= 0 and corrected <= 0:
            return turn
        made -= len(turn.calls)
        corrected -= not turn.calls
    # An answer that is sent back once more is given once more.
    return turns[-1] if turns and not turns[-1].calls and made <= 0 else ScriptedTurn()


def _corrections(history: list[Step]) -> int:
    return sum(isinstance(step, CorrectionStep) for step in _since_the_task(history))


def _summary(request: ModelRequest) -> str:
    made = len(list(_results(request.history)))
    return f"# Task\nTo play a script.\n# Facts\n{made} of its calls were made."


def _since_the_task(history: list[Step]) -> list[Step]:
    """The steps behind the latest input that is more than `continue`."""
    for index in range(len(history) - 1, -1, -1):
        if is_task(history[index]):
            return history[index + 1 :]
    return history


def is_task(step: Step) -> bool:
    """Whether a step is an input that scripts count from."""
    is_input = isinstance(step, UserInputStep) and bool(step.content)
    return is_input and not isinstance(step, CorrectionStep) and not goes_on(step)


def _results(history: list[Step]) -> Iterator[ToolResult | None]:
    """The result of each call since the task, in the order of the calls; None for lost ones."""
    recent = _since_the_task(history)
    results = {found[0]: found[1] for step in recent if (found := as_result(step))}
    for step in recent:
        compaction = compaction_of(step)
        if compaction is not None:
            yield from [None] * compaction.calls
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
