"""Writing and changing text files: whole or not at all. Decides on text, then swaps the file."""

from __future__ import annotations

import difflib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ToolFault
from runtime.guest.paths import fault_of, kind_of, open_regular

_MAX_EDITED_BYTES = 32 * 1024**2
_CONTEXT_LINES = 3
_MAX_NAMED_LINES = 10


@dataclass(frozen=True, slots=True)
class Replacement:
    """One piece of text for another, looked for between two lines (from 1, both included)."""

    target: str
    replacement: str
    start_line: int = 1
    end_line: int | None = None


def write_text(path: Path, text: str, *, overwrite: bool) -> str:
    """Write a file, making missing folders; says what was done. Raises `ToolFault`."""
    data = _encode(text)
    path = path.resolve() if path.is_symlink() else path
    existed = _check_target(path, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        swap_in(path, data)
    except OSError as error:
        raise fault_of(path, error) from error
    lines = text.count("\n") + (not text.endswith("\n") and bool(text))
    verb = "Replaced" if existed else "Wrote"
    return f"{verb} {path}: {lines:,} lines, {len(data):,} bytes."


def replace_text(path: Path, change: Replacement) -> str:
    """Replace a piece of a file; shows the place afterwards. Raises `ToolFault`."""
    with open_regular(path) as file:
        data = file.read(_MAX_EDITED_BYTES + 1)
    if len(data) > _MAX_EDITED_BYTES:
        raise ToolFault(f"{path} is too large to edit. Change it with a program.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ToolFault(f"{path} is not UTF-8 text. Change it with a program.") from None
    changed, line = apply(text, change, str(path))
    path = path.resolve()
    try:
        swap_in(path, _encode(changed))
    except OSError as error:
        raise fault_of(path, error) from error
    return f"Replaced in {path}:\n{_excerpt(changed, line, change.replacement)}"


def apply(text: str, change: Replacement, name: str) -> tuple[str, int]:
    """The changed text, and the line where it changed. Raises `ToolFault` unless it is one place.

    A text with Windows line ends is searched with them, and keeps them.
    """
    target, replacement = change.target, change.replacement
    if not target:
        raise ToolFault("TargetContent is empty. Give the text to replace.")
    if target == replacement:
        raise ToolFault("TargetContent and ReplacementContent are the same.")
    if "\r\n" in text and "\r\n" not in target:
        target, replacement = (piece.replace("\n", "\r\n") for piece in (target, replacement))
    start, end = _range(text, change, name)
    places = _find_all(text, target, start, end)
    if len(places) != 1:
        raise ToolFault(_explain(text, change, places, name))
    at = places[0]
    return text[:at] + replacement + text[at + len(target) :], text.count("\n", 0, at) + 1


def swap_in(path: Path, data: bytes) -> None:
    """Put a file in its place in one step, keeping the old one's permissions. Raises `OSError`."""
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.new")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mode = 0o644
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _check_target(path: Path, *, overwrite: bool) -> bool:
    """Whether the file exists already. Raises `ToolFault` when it must not be written."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise fault_of(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise ToolFault(f"{path} is a {kind_of(found.st_mode)}; a file cannot be written there.")
    if not overwrite:
        raise ToolFault(
            f"{path} exists already ({found.st_size:,} bytes). Set Overwrite to replace it, or "
            "change a part of it with replace_file_content."
        )
    return True


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ToolFault(f"Character {error.start} of the text is half of a pair.") from None


def _range(text: str, change: Replacement, name: str) -> tuple[int, int]:
    """Where the lines of the range begin and end in `text`."""
    lines = text.splitlines(keepends=True)
    first, last = change.start_line, change.end_line or len(lines)
    if first > max(len(lines), 1) or last < first:
        raise ToolFault(f"{name} has {len(lines):,} lines; {first} to {last} is no range of it.")
    start = sum(map(len, lines[: first - 1]))
    return start, start + sum(map(len, lines[first - 1 : last]))


def _find_all(text: str, target: str, start: int, end: int) -> list[int]:
    places: list[int] = []
    at = text.find(target, start, end)
    while at >= 0:
        places.append(at)
        at = text.find(target, at + 1, end)
    return places


def _explain(text: str, change: Replacement, places: list[int], name: str) -> str:
    where = f"{name} from line {change.start_line}" if change.start_line > 1 else name
    if change.end_line:
        where += f" up to line {change.end_line}"
    if places:
        lines = ", ".join(str(text.count("\n", 0, at) + 1) for at in places[:_MAX_NAMED_LINES])
        more = ", ..." if len(places) > _MAX_NAMED_LINES else ""
        return (
            f"TargetContent stands {len(places)} times in {where}, at lines {lines}{more}. "
            "Add surrounding lines to it, or narrow StartLine and EndLine."
        )
    return f"TargetContent does not stand in {where}. {_near_match(text, change.target)}"


def _near_match(text: str, target: str) -> str:
    """The place that looks most like what was looked for."""
    lines = text.splitlines()
    wanted = [line for line in target.splitlines() if line.strip()]
    if not wanted:
        return "It holds nothing but white space."
    stripped = [line.strip() for line in lines]
    if wanted[0].strip() in stripped:
        number = stripped.index(wanted[0].strip())
        reason = "its white space or the lines after it differ"
    else:
        close = difflib.get_close_matches(wanted[0], lines[:20_000], 1, 0.6)
        if not close:
            return "Read the file again with view_file; nothing in it looks similar."
        number, reason = lines.index(close[0]), "the most similar line"
    shown = "\n".join(f"{number + 1 + n}: {line}" for n, line in enumerate(_around(lines, number)))
    return f"Line {number + 1} comes close ({reason}):\n{shown}"


def _around(lines: list[str], number: int) -> list[str]:
    return [line[:500] for line in lines[number : number + _CONTEXT_LINES]]


def _excerpt(text: str, line: int, replacement: str) -> str:
    lines = text.splitlines()
    first = max(line - 1 - _CONTEXT_LINES, 0)
    last = min(line + replacement.count("\n") + _CONTEXT_LINES, len(lines), first + 40)
    return "\n".join(f"{n + 1}: {lines[n][:500]}" for n in range(first, last))
