"""The file tools: view, write, replace, list, find and search, as the agent's own user."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread

from runtime.errors import ToolFault
from runtime.guest.editing import Replacement, replace_text, write_text
from runtime.guest.paths import Paths, fault_of, kind_of, printable
from runtime.guest.searching import Stopped, Walk, find_by_name, grep
from runtime.guest.tools import Emit, Tool
from runtime.guest.viewing import Window, view
from runtime.schema.steps import ToolResult, text_result

MAX_ENTRIES = 1000

T = TypeVar("T")


class FileTools:
    """The tools over one workspace. Arguments have been checked for names and types."""

    def __init__(self, paths: Paths, variables: Mapping[str, str], max_chars: int) -> None:
        self._paths = paths
        self._variables = variables
        self._max_chars = max_chars

    def by_name(self) -> dict[str, Tool]:
        """The tools, by the names that models call them."""
        return {
            "view_file": self.view_file,
            "write_to_file": self.write_to_file,
            "replace_file_content": self.replace_file_content,
            "list_dir": self.list_dir,
            "find_by_name": self.find_by_name,
            "grep_search": self.grep_search,
        }

    async def view_file(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Show a file: numbered lines, or a picture."""
        path = self._paths.locate_file(arguments["AbsolutePath"])
        start, end = _line_range(arguments)
        window = Window(start, end, max(arguments.get("ContentOffset", 0), 0))
        return await _in_thread(view, path, window, self._max_chars)

    async def write_to_file(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Write a whole file."""
        path = self._paths.locate(arguments["TargetFile"])
        overwrite = arguments.get("Overwrite", False)
        write = partial(write_text, overwrite=overwrite)
        return text_result(await _in_thread(write, path, arguments["CodeContent"]))

    async def replace_file_content(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Replace a piece of a file."""
        path = self._paths.locate_file(arguments["TargetFile"])
        start, end = _line_range(arguments)
        target, replacement = arguments["TargetContent"], arguments["ReplacementContent"]
        change = Replacement(target, replacement, start, end)
        return text_result(await _in_thread(replace_text, path, change))

    async def list_dir(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """List a folder."""
        path = self._paths.locate_folder(arguments["DirectoryPath"])
        return text_result(printable(await _in_thread(list_folder, path)))

    async def find_by_name(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Find files by their names."""
        depth = arguments.get("MaxDepth")
        if depth is not None and depth < 1:
            raise ToolFault("MaxDepth is at least 1: what lies in the folder itself.")
        walk = Walk(self._paths.locate_folder(arguments["SearchDirectory"]), depth)
        try:
            found = await _in_thread(find_by_name, walk, arguments["Pattern"])
            return text_result(printable(found))
        except Stopped:
            return text_result("The search was given up.", is_error=True)
        finally:
            walk.stop.set()

    async def grep_search(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Search the text of files."""
        path = self._paths.locate_any(arguments["SearchPath"])
        is_regex = arguments.get("IsRegex", False)
        found = await grep(path, arguments["Query"], is_regex=is_regex, variables=self._variables)
        return text_result(printable(found))


def list_folder(path: Path) -> str:
    """Names, kinds and sizes; folders come first. Raises `ToolFault`."""
    try:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: (not entry.is_dir(), entry.name))
    except OSError as error:
        raise fault_of(path, error) from error
    lines = [_describe(entry) for entry in entries[:MAX_ENTRIES]]
    if len(entries) > MAX_ENTRIES:
        lines.append(f"[{len(entries) - MAX_ENTRIES:,} more; use find_by_name]")
    return "\n".join(lines) or f"{path} is empty."


def _describe(entry: os.DirEntry[str]) -> str:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return f"{entry.name} (gone)"
    if stat.S_ISDIR(found.st_mode):
        return f"{entry.name}/"
    if stat.S_ISLNK(found.st_mode):
        return f"{entry.name} -> {Path(entry.path).readlink()}"
    if stat.S_ISREG(found.st_mode):
        return f"{entry.name} ({found.st_size:,} bytes)"
    return f"{entry.name} ({kind_of(found.st_mode)})"


def _line_range(arguments: dict[str, Any]) -> tuple[int, int | None]:
    start, end = arguments.get("StartLine", 1), arguments.get("EndLine")
    if start < 1 or (end is not None and end < start):
        raise ToolFault("Lines are counted from 1, and EndLine is not before StartLine.")
    return start, end


async def _in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Do blocking work without holding up the others; a cancelled caller does not wait for it."""
    return await anyio.to_thread.run_sync(partial(work, *arguments), abandon_on_cancel=True)
