r"""Reads a script file: YAML with a list of turns. Every mistake is named as `file:line:column`.

    description: What it shows.            # optional
    turns:
      - think: First I look at the data.   # optional
        say: Loading it.                   # optional, before the call
        call: code_execution
        arguments:
          language: python
          code: |
            import pandas as pd
            rows = len(pd.read_csv("/workspace/data.csv"))
            print(f"rows={rows}")
        expect: 'rows=(?P<rows>\d+)'        # searched in the text of the result
      - calls:                             # several calls in one turn
          - {name: list_dir, arguments: {DirectoryPath: /workspace}, expect: report}
          - {name: browser_screenshot}
      - say: The file has ${rows} rows.    # the answer

A turn thinks, then says, then calls. All but the last turn make a call; when the last one does
too, the text of its result is the answer. `expect` is a Python regular expression, searched with
MULTILINE when the result is in; without one the result must not be an error. Its named groups are
variables of all later turns: `${name}` in `say`, `think` and arguments. In `say` and `think` a
name that no earlier `expect` has is a mistake; in arguments it stays as it is, for shell code.
`$${name}` stands for `${name}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from runtime.errors import ModelRefused
from runtime.models.script_play import ScriptedCall, ScriptedTurn, Utterance, names_in

_TURN_FIELDS = {"think", "say", "call", "arguments", "calls", "expect"}
_CALL_FIELDS = {"name", "arguments", "expect"}


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `on` and `no` are words, `012` and `1:30` are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name and type are PyYAML's


for _tag, _pattern, _starts in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|(0|[1-9][0-9]*)[eE][-+]?[0-9]+)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    _starting = ["" if start == "\0" else start for start in _starts]
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _starting
    )


class ScriptFile:
    """Reads one file; `name` is what its errors call it."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._known: set[str] = set()
        self._scalars = yaml.SafeLoader("")

    def turns(self) -> list[ScriptedTurn]:
        """The turns. Raises `ModelRefused`."""
        root = self._compose()
        fields = self._mapping(root, {"description", "turns"}, "the script")
        if "turns" not in fields:
            self._fail(root, "`turns` is missing")
        nodes = self._sequence(fields["turns"], "`turns`")
        if not nodes:
            self._fail(fields["turns"], "`turns` is empty")
        turns = [self._turn(node) for node in nodes]
        for node, turn in zip(nodes[:-1], turns[:-1], strict=True):
            if not turn.calls:
                self._fail(node, "a turn without a call ends the run, but more follow")
        return turns

    def _compose(self) -> Node:
        try:
            root = yaml.compose(self._text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._fail_at(mark.index if mark else 0, str(error.problem or error.context))
        except yaml.reader.ReaderError as error:
            self._fail_at(error.position, error.reason)
        if root is None:
            self._fail_at(0, "the script is empty")
        return root

    def _fail_at(self, index: int, problem: str) -> NoReturn:
        before = self._text[:index]
        line, column = before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1
        raise ModelRefused(f"{self._name}:{line}:{column}: {problem}.")

    def _turn(self, node: Node) -> ScriptedTurn:
        fields = self._mapping(node, _TURN_FIELDS, "a turn")
        utterances = [
            Utterance(self._spoken(fields[kind]), is_thought=kind == "think")
            for kind in ("think", "say")
            if kind in fields
        ]
        calls = self._calls(node, fields)
        self._known |= {name for call in calls if call.expect for name in call.expect.groupindex}
        if not calls and not utterances:
            self._fail(node, "a turn says, thinks or calls something; this one is empty")
        return ScriptedTurn(utterances, calls)

    def _calls(self, node: Node, fields: dict[str, Node]) -> list[ScriptedCall]:
        if "calls" in fields:
            for name in ("call", "arguments", "expect"):
                if name in fields:
                    self._fail(fields[name], f"`{name}` stands beside `calls`; move it into a call")
            listed = self._sequence(fields["calls"], "`calls`")
            return [
                self._call(item, self._mapping(item, _CALL_FIELDS, "a call"), "name")
                for item in listed
            ]
        if "call" in fields:
            return [self._call(fields["call"], fields, "call")]
        for name in ("arguments", "expect"):
            if name in fields:
                self._fail(fields[name], f"`{name}` needs a `call` beside it")
        return []

    def _call(self, node: Node, fields: dict[str, Node], name: str) -> ScriptedCall:
        if name not in fields:
            self._fail(node, f"`{name}` is missing")
        arguments: dict[str, Any] = {}
        if "arguments" in fields:
            value = self._value(fields["arguments"])
            if not isinstance(value, dict):
                self._fail(fields["arguments"], "`arguments` must be a mapping")
            arguments = value
        expect = self._pattern(fields["expect"]) if "expect" in fields else None
        called = self._string(fields[name], f"`{name}`")
        return ScriptedCall(called, arguments, expect, self._where(node), must_succeed=True)

    def _pattern(self, node: Node) -> re.Pattern[str]:
        text = self._string(node, "`expect`")
        try:
            return re.compile(text, re.MULTILINE)
        except re.error as error:
            self._fail(node, f"`expect` is not a regular expression: {error}")

    def _spoken(self, node: Node) -> str:
        text = self._string(node, "text")
        for name in sorted(names_in(text) - self._known):
            self._fail(node, f"no earlier `expect` has a group named {name!r}")
        return text

    def _value(self, node: Node) -> Any:
        """The plain value of a node, its mappings checked for duplicate keys."""
        if isinstance(node, MappingNode):
            return {key: self._value(value) for key, value in self._pairs(node)}
        if isinstance(node, SequenceNode):
            return [self._value(item) for item in node.value]
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            problem = getattr(error, "problem", None) or error
            self._fail(node, f"this value cannot be read: {problem}")
        if not isinstance(value, str | int | float | bool | None):
            self._fail(node, "only text, numbers, true, false and null are values; put quotes")
        return value

    def _mapping(self, node: Node, allowed: set[str], what: str) -> dict[str, Node]:
        if not isinstance(node, MappingNode):
            self._fail(node, f"{what} must be a mapping")
        fields: dict[str, Node] = {}
        for key, value in self._pairs(node):
            if key not in allowed:
                known = ", ".join(sorted(allowed))
                self._fail(value, f"{what} has no field {key!r}; it may have: {known}")
            fields[key] = value
        return fields

    def _pairs(self, node: MappingNode) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        for key_node, value in node.value:
            key = self._string(key_node, "a key")
            if key in seen:
                self._fail(key_node, f"{key!r} stands here twice")
            seen.add(key)
            yield key, value

    def _sequence(self, node: Node, what: str) -> list[Node]:
        if not isinstance(node, SequenceNode):
            self._fail(node, f"{what} must be a list")
        return node.value

    def _string(self, node: Node, what: str) -> str:
        if not isinstance(node, ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            self._fail(node, f"{what} must be text; put quotes around it")
        return node.value

    def _where(self, node: Node) -> str:
        mark = node.start_mark
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}"

    def _fail(self, node: Node, problem: str) -> NoReturn:
        raise ModelRefused(f"{self._where(node)}: {problem}.")
