"""Paths as models write them: where they lead, and what to say when they lead nowhere."""

from __future__ import annotations

import difflib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runtime.errors import ToolFault

WORKSPACE = "/workspace"
"""What models and callers call the workspace, wherever it is."""
_LISTED_NAMES = 20


@dataclass(frozen=True, slots=True)
class Paths:
    """Reads the paths in tool arguments; relative ones start at the workspace."""

    workspace: Path
    home: Path

    def locate(self, text: str) -> Path:
        """The absolute path that `text` means, links not followed. Raises `ToolFault`."""
        if not text or "\0" in text:
            raise ToolFault("The path is empty or holds a NUL character.")
        if text == "~" or text.startswith("~/"):
            text = str(self.home) + text[1:]
        if text == WORKSPACE or text.startswith(WORKSPACE + "/"):
            text = str(self.workspace) + text[len(WORKSPACE) :]
        return Path(os.path.normpath(self.workspace / text))

    def locate_file(self, text: str) -> Path:
        """An existing regular file. Raises `ToolFault`."""
        path = self.locate(text)
        mode = self._mode(path)
        if stat.S_ISDIR(mode):
            raise ToolFault(f"{path} is a folder. List it with list_dir.")
        if not stat.S_ISREG(mode):
            raise ToolFault(f"{path} is a {kind_of(mode)}, not a file that can be read.")
        return path

    def locate_folder(self, text: str) -> Path:
        """An existing folder. Raises `ToolFault`."""
        path = self.locate(text)
        if not stat.S_ISDIR(self._mode(path)):
            raise ToolFault(f"{path} is not a folder. Read a file with view_file.")
        return path

    def locate_any(self, text: str) -> Path:
        """An existing file or folder. Raises `ToolFault`."""
        path = self.locate(text)
        mode = self._mode(path)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ToolFault(f"{path} is a {kind_of(mode)}, not a file or a folder.")
        return path

    def _mode(self, path: Path) -> int:
        try:
            return path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise ToolFault(explain_missing(path)) from None
        except OSError as error:
            raise fault_of(path, error) from error


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; never waits for a pipe or a device. Raises `ToolFault`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise fault_of(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise ToolFault(f"{path} is a {kind_of(mode)}, not a file that can be read.")
    return os.fdopen(descriptor, "rb")


def printable(text: str) -> str:
    """Text with names that are not UTF-8 made fit to be sent."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def kind_of(mode: int) -> str:
    """What a file of that mode is called."""
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "link",
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")


def fault_of(path: Path, error: OSError) -> ToolFault:
    """The fault that tells of an error of the file system."""
    return ToolFault(f"{path}: {error.strerror or error}.")


def explain_missing(path: Path) -> str:
    """Says that `path` is not there, how far it leads, and what was probably meant."""
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist."
    parent, name = path.parent, path.name
    while not parent.exists() and parent != parent.parent:
        parent, name = parent.parent, parent.name
    return printable(f"{path} does not exist{_hint(parent, name)}")


def _hint(parent: Path, name: str) -> str:
    if not parent.is_dir():
        return f": {parent} is not a folder."
    try:
        names = sorted(path.name for path in parent.iterdir())
    except OSError:
        return "."
    close = difflib.get_close_matches(name, names, 3, 0.6)
    if close:
        return f". Did you mean {' or '.join(str(parent / match) for match in close)}?"
    return f". {_list_names(parent, names)}"


def _list_names(parent: Path, names: list[str]) -> str:
    if not names:
        return f"{parent} is empty."
    more = f" and {len(names) - _LISTED_NAMES:,} more" if len(names) > _LISTED_NAMES else ""
    return f"{parent} holds: {', '.join(names[:_LISTED_NAMES])}{more}."
