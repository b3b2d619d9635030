"""YAML with the place of every value: the safe part of YAML 1.2, read once, never executed.

Booleans and numbers are those of the YAML 1.2 core schema: `on` and `no` are text, `012` is
twelve, `1:30` is text. Keys are text as they stand. A key that stands twice, a tag other than the
core ones and a structure beyond the limits are mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from yaml.composer import Composer
from yaml.error import Mark as YamlMark
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from runtime.specs.mistakes import Loc, Mark, Mistake, field_name

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 20_000
"""Counted after aliases are followed, so that a few lines cannot become gigabytes."""

_TAG = "tag:yaml.org,2002:"
_CORE: list[tuple[str, str, str]] = [
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
]
_TYPES = {kind: re.compile(pattern) for kind, pattern, _ in _CORE}


@dataclass(slots=True)
class Document:
    """What a YAML file says, and where it says it."""

    file: str
    data: Any = None
    values: dict[Loc, Mark] = field(default_factory=dict[Loc, Mark])
    keys: dict[Loc, Mark] = field(default_factory=dict[Loc, Mark])
    mistakes: list[Mistake] = field(default_factory=list[Mistake])

    def mark(self, loc: Loc, *, key: bool = False) -> Mark:
        """Where the value at `loc` begins, or its key; of the nearest thing around it if absent."""
        if key and loc in self.keys:
            return self.keys[loc]
        while loc and loc not in self.values:
            loc = loc[:-1]
        return self.values.get(loc, Mark(1, 1))

    def mistake(self, loc: Loc, message: str, *, key: bool = False) -> Mistake:
        """A mistake of the value at `loc`, or of its key."""
        return Mistake(self.file, self.mark(loc, key=key), field_name(loc), message)

    def add_new(self, mistakes: Iterable[Mistake]) -> None:
        """Note mistakes, but none at a place that has one already: it would follow from that."""
        known = {mistake.mark for mistake in self.mistakes if mistake.file == self.file}
        self.mistakes += [mistake for mistake in mistakes if mistake.mark not in known]


def read_document(path: Path) -> Document:
    """Read a YAML file. All that is wrong with it stands in `mistakes`; nothing is raised."""
    document = Document(str(path))
    text = read_text(path, document.mistakes)
    return document if text is None else parse_document(text, str(path))


def read_text(path: Path, mistakes: list[Mistake]) -> str | None:
    """The text of a small UTF-8 file; when that cannot be had, adds a mistake and returns None."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        mistakes.append(Mistake(str(path), None, "", f"cannot be read: {error.strerror}"))
        return None
    if len(data) > MAX_BYTES:
        mistakes.append(Mistake(str(path), None, "", f"is larger than {MAX_BYTES} bytes"))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _mark_at(data[: error.start].decode("utf-8-sig"))
        mistakes.append(Mistake(str(path), mark, "", "is not UTF-8 text"))
        return None


def parse_document(text: str, file: str, first_line: int = 1) -> Document:
    """Parse YAML text that begins in line `first_line` of `file`."""
    document = Document(file)
    try:
        node = _NodeComposer(text).get_single_node()
    except MarkedYAMLError as error:
        document.mistakes.append(_syntax_mistake(error, file, first_line))
    except ReaderError as error:
        mark = _mark_at(text[: error.position])
        document.mistakes.append(
            Mistake(file, Mark(mark.line + first_line - 1, mark.column), "", _bad_character(error))
        )
    else:
        if node is not None:
            document.data = _Builder(document, first_line).build(node, ())
    return document


def core_scalar(text: str) -> Any:
    """What the core schema makes of a plain scalar. Raises ValueError for a huge number."""
    for kind in _TYPES:
        if _TYPES[kind].fullmatch(text):
            return _construct(kind, text)
    return text


class _CoreResolver(BaseResolver):
    """Decides what a plain scalar is, by the YAML 1.2 core schema."""


for _kind, _, _first in _CORE:
    _CoreResolver.add_implicit_resolver(
        _TAG + _kind,
        re.compile(f"(?:{_TYPES[_kind].pattern})$"),
        [*_first, *([""] * (_kind == "null"))],
    )


class _NodeComposer(Reader, Scanner, Parser, Composer, _CoreResolver):
    """Text to nodes, within the limits."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _CoreResolver.__init__(self)
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} levels deep")
        if self._count > 2 * MAX_NODES:  # keys are nodes too
            self._refuse(f"more than {MAX_NODES} values")
        node = Composer.compose_node(self, parent, index)
        self._depth -= 1
        return node

    def _refuse(self, problem: str) -> NoReturn:
        raise MarkedYAMLError(problem=problem, problem_mark=self.peek_event().start_mark)


class _Builder:
    """Nodes to plain values; notes marks and mistakes in a document."""

    def __init__(self, document: Document, first_line: int) -> None:
        self._document = document
        self._first_line = first_line
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: Node, loc: Loc) -> Any:
        self._count += 1
        if self._count > MAX_NODES:
            if self._count == MAX_NODES + 1:
                self._wrong(loc, f"more than {MAX_NODES} values, aliases followed")
            return None
        self._document.values[loc] = self._mark(node.start_mark)
        if id(node) in self._open:
            self._wrong(loc, "an alias to something that contains it")
            return None
        self._open.add(id(node))
        try:
            return self._build(node, loc)
        finally:
            self._open.discard(id(node))

    def _build(self, node: Node, loc: Loc) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node, loc)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self.build(item, (*loc, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and (kind == "str" or kind in _TYPES):
            return self._scalar(node, kind, loc)
        self._wrong(loc, f"the tag `{_short(node.tag)}` is not allowed here")
        return None

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._wrong_at(self._mark(key_node.start_mark), loc, "a key must be text")
                continue
            key: str = key_node.value
            here, mark = (*loc, key), self._mark(key_node.start_mark)
            if key in result:
                first = self._document.keys[here]
                self._wrong_at(mark, here, f"stands here twice, first in line {first.line}")
                continue
            self._document.keys[here] = mark
            result[key] = self.build(value_node, here)
        return result

    def _scalar(self, node: ScalarNode, kind: str, loc: Loc) -> Any:
        if kind == "str":
            return node.value
        try:
            if _TYPES[kind].fullmatch(node.value):
                return _construct(kind, node.value)
            self._wrong(loc, f"`{node.value}` is not of the type `!!{kind}`")
        except ValueError:
            self._wrong(loc, "a number with too many digits")
        return None

    def _wrong(self, loc: Loc, message: str) -> None:
        self._wrong_at(self._document.mark(loc), loc, message)

    def _wrong_at(self, mark: Mark, loc: Loc, message: str) -> None:
        document = self._document
        document.mistakes.append(Mistake(document.file, mark, field_name(loc), message))

    def _mark(self, mark: YamlMark) -> Mark:
        return Mark(mark.line + self._first_line, mark.column + 1)


def _construct(kind: str, text: str) -> Any:
    lower = text.lower()
    match kind:
        case "null":
            return None
        case "bool":
            return lower == "true"
        case "int":
            return int(text, 0) if lower.startswith(("0x", "0o")) else int(text)
        case _:
            return float(lower.replace(".inf", "inf").replace(".nan", "nan"))


def _syntax_mistake(error: MarkedYAMLError, file: str, first_line: int) -> Mistake:
    where = error.problem_mark or error.context_mark
    mark = Mark(where.line + first_line, where.column + 1) if where else None
    problem = error.problem or error.context or "not readable"
    hint = "; indent with spaces" if "'\\t'" in problem else ""
    context = f"{error.context}, " if error.context and error.problem else ""
    return Mistake(file, mark, "", f"not valid YAML: {context}{problem}{hint}")


def _bad_character(error: ReaderError) -> str:
    code = error.character if isinstance(error.character, int) else ord(error.character[:1])
    return f"the character U+{code:04X} is not allowed in YAML"


def _mark_at(before: str) -> Mark:
    return Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
