"""Finding files by name and lines by content below a folder. Never follows links."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from threading import Event

import anyio
import anyio.abc

from runtime.errors import ToolFault
from runtime.guest.tree import sorted_entries

MAX_FOUND = 500
MAX_MATCHES = 200
_LINE_CHARS = 300
_COMPLAINT_BYTES = 2000
_REPOSITORY = ".git"
"""Not searched: what git keeps is of no use to look through."""


class Stopped(Exception):
    """The search was given up."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk over a tree, sorted by path, that can be given up from another thread."""

    root: Path
    max_depth: int | None = None
    stop: Event = field(default_factory=Event)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        """Everything below the root. Raises `Stopped`."""
        open_folders = [self._entries(str(self.root))]
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
                continue
            yield entry
            may_descend = self.max_depth is None or len(open_folders) < self.max_depth
            if may_descend and entry.name != _REPOSITORY and is_folder(entry):
                open_folders.append(self._entries(entry.path))

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        if self.stop.is_set():
            raise Stopped
        return iter(sorted_entries(folder))


def find_by_name(walk: Walk, pattern: str) -> str:
    """The paths whose name matches; a pattern with a slash is for the path below the root.

    Raises `ToolFault` for a pattern that cannot be read, `Stopped`.
    """
    matches = glob_pattern(pattern)
    start = len(str(walk.root)) + 1 if "/" in pattern else 0
    found: list[str] = []
    for entry in walk:
        if not matches.fullmatch(entry.path[start:] if start else entry.name):
            continue
        if len(found) == MAX_FOUND:
            found.append(f"[more than {MAX_FOUND}; narrow the pattern or the folder]")
            break
        found.append(entry.path + ("/" if is_folder(entry) else ""))
    return "\n".join(found) or f"Nothing below {walk.root} matches {pattern}."


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder itself, and not a link to one."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


_GLOB = re.compile(r"\*\*/|\*+|\?|\[!?[^\]]+\]|\{[^{}]*\}|.", re.DOTALL)


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """The expression for a glob pattern: `*`, `?`, `[a-z]`, `{a,b}` and `**/`."""
    pieces = _GLOB.findall(pattern.removeprefix("./"))
    if not pieces:
        raise ToolFault("Pattern is empty. Give a glob pattern such as `*.csv`.")
    try:
        return re.compile("".join(map(_glob_piece, pieces)), re.DOTALL)
    except re.error as error:
        raise ToolFault(f"Pattern is not a glob pattern: {error}.") from None


def _glob_piece(piece: str) -> str:
    if piece == "**/":
        return "(?:.*/)?"
    if piece.startswith("**"):
        return ".*"
    if piece in ("*", "?"):
        return "[^/]*" if piece == "*" else "[^/]"
    if len(piece) > 1 and piece.startswith("["):
        return "[" + piece[1:].replace("\\", "\\\\").replace("!", "^", 1 if piece[1] == "!" else 0)
    if len(piece) > 1:
        alternatives = piece[1:-1].split(",")
        return "(?:" + "|".join(glob_pattern(part).pattern for part in alternatives if part) + ")"
    return re.escape(piece)


async def grep(root: Path, query: str, *, is_regex: bool, variables: Mapping[str, str]) -> str:
    """The lines that hold the query, as `path:line: text`. Raises `ToolFault`.

    A program does the search: no expression, however slow, can hold up this process.
    """
    if not query or "\0" in query:
        raise ToolFault("Query is empty or holds a NUL character. Give the text to look for.")
    command = _grep_command(root, query, is_regex, variables.get("PATH"))
    async with await anyio.open_process(command, stdin=DEVNULL, env=dict(variables)) as process:
        assert process.stdout is not None and process.stderr is not None
        found = [line async for line in _matches(process.stdout)]
        if len(found) > MAX_MATCHES:
            process.kill()
            found[MAX_MATCHES:] = [f"[more than {MAX_MATCHES} lines; narrow the query or the path]"]
        complaint = await _first_bytes(process.stderr)
        status = await process.wait()
    if not found and status > 1:
        raise ToolFault(f"The search failed: {complaint.decode('utf-8', 'replace').strip()}")
    return "\n".join(found) or f"No line in {root} matches {query}."


def _grep_command(root: Path, query: str, is_regex: bool, path: str | None) -> list[str]:
    ripgrep = shutil.which("rg", path=path)
    if ripgrep:
        options = "--no-config --hidden --no-ignore --sort=path -nH0 --no-heading --color=never"
        ignored = f"--glob=!{_REPOSITORY}/"
        kind = [] if is_regex else ["-F"]
        return [ripgrep, *options.split(), ignored, *kind, "-e", query, "--", str(root)]
    options = ["-rnHIZ", "--color=never", f"--exclude-dir={_REPOSITORY}"]
    return ["grep", *options, "-E" if is_regex else "-F", "-e", query, "--", str(root)]


async def _matches(stream: anyio.abc.ByteReceiveStream) -> AsyncIterator[str]:
    """Up to one more match than are shown; overlong lines are cut while they come in."""
    count, line = 0, b""
    async for block in stream:
        *lines, rest = (line + block).split(b"\n")
        for match in lines:
            yield _describe(match)
            count += 1
            if count > MAX_MATCHES:
                return
        line = rest[: _LINE_CHARS * 4 + 4096]


def _describe(match: bytes) -> str:
    path, _, rest = match.partition(b"\0")
    number, _, text = rest.partition(b":")
    shown = text.decode("utf-8", "replace").rstrip("\r")
    cut = "..." if len(shown) > _LINE_CHARS else ""
    return f"{os.fsdecode(path)}:{number.decode('ascii', 'replace')}: {shown[:_LINE_CHARS]}{cut}"


async def _first_bytes(stream: anyio.abc.ByteReceiveStream) -> bytes:
    try:
        return await stream.receive(_COMPLAINT_BYTES)
    except anyio.EndOfStream:
        return b""
