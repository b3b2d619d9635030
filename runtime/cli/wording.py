"""Words and figures for a terminal. Nothing that a sandbox wrote may steer it."""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC and other strings: titles, clipboard
    r"|\x1b[ -/]*[0-~]?"
)
_KEPT_CONTROLS = frozenset("\n\t")
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cs"})
# Overrides of the direction of writing can make a text look like another one.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """`text` without escape sequences and control characters; line ends and tabs stay."""
    plain = _ESCAPES.sub("", text).replace("\r\n", "\n")
    return "".join(character for character in plain if _is_safe(character))


def _is_safe(character: str) -> bool:
    if character in _KEPT_CONTROLS:
        return True
    return (
        unicodedata.category(character) not in _UNSAFE_CATEGORIES and character not in _DIRECTIONS
    )


def one_line(text: str, limit: int = 100) -> str:
    """The text on one line of at most `limit` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def cut(text: str, *, max_lines: int = 24, max_chars: int = 4000) -> str:
    """The beginning and the end of a long text, with a note of what is left out between."""
    lines = text.rstrip().split("\n")
    if len(lines) > max_lines:
        head, tail = max_lines * 2 // 3, max_lines // 3
        gap = f"… {len(lines) - head - tail} lines left out …"
        lines = [*lines[:head], gap, *lines[-tail:]]
    whole = "\n".join(lines)
    if len(whole) <= max_chars:
        return whole
    half = max_chars // 2
    return f"{whole[:half]}\n… {len(whole) - 2 * half} characters left out …\n{whole[-half:]}"


def size(count: int) -> str:
    """A number of bytes, such as `34.1 kB`."""
    figure = float(count)
    for unit in ("B", "kB", "MB"):
        if figure < 1000:
            return f"{figure:.0f} {unit}" if unit == "B" else f"{figure:.1f} {unit}"
        figure /= 1000
    return f"{figure:.1f} GB"


def duration(seconds: float) -> str:
    """A length of time, such as `4.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
