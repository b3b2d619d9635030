"""Reads the fenced blocks of a prompt as a script. Pure.

A fence is three or more backticks or tildes; it ends with a line of at least as many. A block's
lines lose as much indentation as its fence has. What the first word after the fence makes of it:

- `python`, `bash`: the code is run by `code_execution`
- `tool NAME`: a JSON object, the arguments (empty: none); that tool is called
- `tools`: a JSON list of `{"name": ..., "arguments": {...}}`; all are called in one turn
- `say`, `think`: the text is said, or thought
- `answer`: the text is the answer; one that is sent back is followed by the next `answer`
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runtime.errors import ModelRefused
from runtime.models.script_play import ScriptedCall, ScriptedTurn, Utterance

LANGUAGES = ("python", "bash", "tool NAME", "tools", "say", "think", "answer")

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a text."""

    number: int
    """From 1, as messages count them."""
    info: str
    """What stands behind the opening fence."""
    text: str
    """The lines between the fences, joined, without the last line end."""
    is_closed: bool = True

    @property
    def language(self) -> str:
        """The first word of the info."""
        return self.info.split(maxsplit=1)[0] if self.info else ""


def turns_of(prompt: str) -> list[ScriptedTurn]:
    """The turns that a prompt scripts: each ends with a call, the last may only say something.

    A prompt without blocks is one turn that says the prompt. Raises `ModelRefused` for a block
    that cannot be read.
    """
    blocks = list(blocks_of(prompt))
    if not blocks:
        return [ScriptedTurn([Utterance(prompt)])]
    turns: list[ScriptedTurn] = []
    utterances: list[Utterance] = []
    for block in blocks:
        meaning = _meaning(block)
        if isinstance(meaning, Utterance):
            utterances.append(meaning)
            if block.language == "answer":
                turns.append(ScriptedTurn(utterances))
                utterances = []
        else:
            turns.append(ScriptedTurn(utterances, meaning))
            utterances = []
    return [*turns, ScriptedTurn(utterances)] if utterances else turns


def blocks_of(text: str) -> Iterator[Block]:
    """The fenced blocks of a text, in order."""
    lines = iter(text.replace("\r\n", "\n").split("\n"))
    number = 0
    for line in lines:
        opening = _opening(line)
        if opening is not None:
            number += 1
            yield _block(number, opening, lines)


def _opening(line: str) -> re.Match[str] | None:
    match = _FENCE.match(line)
    if match is None or (match["fence"][0] == "`" and "`" in match["info"]):
        return None
    return match


def _block(number: int, opening: re.Match[str], lines: Iterator[str]) -> Block:
    indent, fence = len(opening["indent"]), opening["fence"]
    closing = re.compile(rf"^[ \t]{{0,{indent + 3}}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
    kept: list[str] = []
    for line in lines:
        if closing.match(line):
            return Block(number, opening["info"].strip(), "\n".join(kept))
        kept.append(_without_indent(line, indent))
    return Block(number, opening["info"].strip(), "\n".join(kept), is_closed=False)


def _without_indent(line: str, width: int) -> str:
    blanks = len(line) - len(line.lstrip(" \t"))
    return line[min(width, blanks) :]


def _meaning(block: Block) -> Utterance | list[ScriptedCall]:
    if not block.is_closed:
        raise _unreadable(block, "the closing fence is missing")
    words = block.info.split()
    if block.language != "tool" and len(words) > 1:
        raise _unreadable(block, f"nothing may stand behind {words[0]!r}, but {words[1]!r} does")
    match block.language:
        case "python" | "bash":
            return [_code(block)]
        case "tool":
            return [_tool(block, words[1:])]
        case "tools":
            return _tools(block)
        case "say" | "think" | "answer":
            return Utterance(block.text, is_thought=block.language == "think")
        case _:
            raise _unreadable(block, f"a block is one of {', '.join(LANGUAGES)}")


def _code(block: Block) -> ScriptedCall:
    if not block.text.strip():
        raise _unreadable(block, "there is no code in it")
    return ScriptedCall("code_execution", {"code": block.text, "language": block.language})


def _tool(block: Block, names: list[str]) -> ScriptedCall:
    if len(names) != 1:
        raise _unreadable(block, "write one tool name behind `tool`")
    return ScriptedCall(names[0], _arguments(block, _json(block) if block.text.strip() else {}))


def _tools(block: Block) -> list[ScriptedCall]:
    value = _json(block)
    if not isinstance(value, list) or not value:
        raise _unreadable(block, "it must be a JSON list with at least one call")
    return [_call(block, position, item) for position, item in enumerate(value, start=1)]


def _call(block: Block, position: int, item: Any) -> ScriptedCall:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
        raise _unreadable(block, f'call {position} must be {{"name": ..., "arguments": {{...}}}}')
    unknown = set(item) - {"name", "arguments"}
    if unknown:
        raise _unreadable(
            block, f"call {position} has unknown fields: {', '.join(sorted(unknown))}"
        )
    return ScriptedCall(item["name"], _arguments(block, item.get("arguments", {}), position))


def _arguments(block: Block, value: Any, position: int | None = None) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    what = "it" if position is None else f"`arguments` of call {position}"
    raise _unreadable(block, f"{what} must be a JSON object")


def _json(block: Block) -> Any:
    try:
        return json.loads(block.text)
    except json.JSONDecodeError as error:
        raise _unreadable(
            block, f"it is not JSON: {error.msg} in its line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _unreadable(block, "its JSON is nested too deeply") from None


def _unreadable(block: Block, problem: str) -> ModelRefused:
    name = f" ({block.info[:60]})" if block.info else " (no language)"
    return ModelRefused(f"Block {block.number}{name} of the prompt cannot be read: {problem}.")
