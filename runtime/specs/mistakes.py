"""Mistakes in files that people write: where each is, what is wrong, what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from runtime.errors import InvalidRequest

Loc = tuple[str | int, ...]
"""The way to a value: keys and list indices, from the root of a file."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; lines and columns count from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a file."""

    file: str
    mark: Mark | None
    """None when the file as a whole is wrong, such as one that is missing."""
    field: str
    """Such as `tools[0].name`; empty when no field is to blame."""
    message: str

    def __str__(self) -> str:
        """`file:line:column: field: what is wrong`."""
        place = f"{self.file}:{self.mark.line}:{self.mark.column}" if self.mark else self.file
        return ": ".join(part for part in (place, self.field, self.message) if part)


class MistakesFound(InvalidRequest):
    """A file that the operator wrote is not valid."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = list(mistakes)


def field_name(loc: Loc) -> str:
    """How a person writes `loc`: `("tools", 0, "name")` is `tools[0].name`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return "".join(parts).removeprefix(".")


def in_order(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """The mistakes in the order in which a reader of the files meets them, each once."""
    unique = dict.fromkeys(mistakes)
    return sorted(unique, key=lambda mistake: (mistake.file, mistake.mark or Mark(0, 0)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean `x`?` when something known is close to `word`, else the list of what is."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6) or _same_start(word, names)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known are {', '.join(names)}" if names else "there are none"


def _same_start(word: str, names: list[str]) -> list[str]:
    return [name for name in names if name and len(word) > 2 and word.startswith(name)]
