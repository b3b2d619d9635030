"""A history of wire steps as turns of a conversation, the form that every provider wants. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from runtime.schema.compaction import note_of
from runtime.schema.content import Content, TextContent, text_of
from runtime.schema.steps import (
    ModelOutputStep,
    Step,
    ThoughtStep,
    ToolCall,
    ToolResult,
    UserInputStep,
    as_call,
    as_result,
    text_result,
)

NO_RESULT = "There is no result: the run ended before the call did."


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model thought: its summary, and the provider's proof where it is the same one's."""

    text: str
    signature: str | None


@dataclass(frozen=True, slots=True)
class Speech:
    """What the model said."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A tool call and what came of it."""

    call: ToolCall
    result: ToolResult


@dataclass(slots=True)
class ModelTurn:
    """Everything that one model call gave, in order."""

    items: list[Thought | Speech | ToolCall] = field(
        default_factory=list["Thought | Speech | ToolCall"]
    )

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls of the turn."""
        return [item for item in self.items if isinstance(item, ToolCall)]


@dataclass(slots=True)
class UserTurn:
    """What the model is told next: the results of its calls, then what the caller says."""

    answers: list[Answer] = field(default_factory=list[Answer])
    content: list[Content] = field(default_factory=list[Content])


Turn = ModelTurn | UserTurn


def transcript(history: list[Step], provider: str) -> list[Turn]:
    """The turns of a history, model and user strictly taking turns.

    Signatures are kept where they are `provider:…`, without that prefix. A call without a result
    is given one that says so; a result without its call is left out.
    """
    results = {found[0]: found[1] for step in reversed(history) if (found := as_result(step))}
    turns: list[Turn] = []
    for step in history:
        if isinstance(step, UserInputStep):
            _user_turn(turns, results).content.extend(step.content)
        elif as_result(step) is not None:
            _close(turns, results)
        elif (note := note_of(step)) is not None:
            _user_turn(turns, results).content.append(TextContent(text=note))
        else:
            _model_turn(turns).items.extend(_items(step, provider))
    _close(turns, results)
    return turns


def _items(step: Step, provider: str) -> Iterator[Thought | Speech | ToolCall]:
    call = as_call(step)
    if call is not None:
        yield call
    elif isinstance(step, ThoughtStep):
        yield Thought(text_of(step.summary), own_signature(step.signature, provider))
    elif isinstance(step, ModelOutputStep) and (text := text_of(step.content)).strip():
        yield Speech(text)


def own_signature(signature: str | None, provider: str) -> str | None:
    """The provider's part of a signature; None when it is another provider's, or none."""
    prefix, colon, rest = (signature or "").partition(":")
    return rest if colon and prefix == provider else None


def _model_turn(turns: list[Turn]) -> ModelTurn:
    if not turns or not isinstance(turns[-1], ModelTurn):
        turns.append(ModelTurn())
    turn = turns[-1]
    assert isinstance(turn, ModelTurn)
    return turn


def _user_turn(turns: list[Turn], results: dict[str, ToolResult]) -> UserTurn:
    _close(turns, results)
    if not turns or not isinstance(turns[-1], UserTurn):
        turns.append(UserTurn())
    turn = turns[-1]
    assert isinstance(turn, UserTurn)
    return turn


def _close(turns: list[Turn], results: dict[str, ToolResult]) -> None:
    """Put the results of the last turn's calls behind it."""
    last = turns[-1] if turns else None
    if isinstance(last, ModelTurn) and last.calls:
        missing = text_result(NO_RESULT, is_error=True)
        turns.append(UserTurn([Answer(call, results.get(call.id, missing)) for call in last.calls]))


def latest_input(turns: list[Turn]) -> int:
    """The index of the last turn in which the caller said something; 0 when none."""
    spoken = [
        index for index, turn in enumerate(turns) if isinstance(turn, UserTurn) and turn.content
    ]
    return spoken[-1] if spoken else 0


def plain_text(parts: list[Content]) -> bool:
    """Whether all parts are text."""
    return all(isinstance(part, TextContent) for part in parts)
