"""The files of an environment as callers see them: a root that holds `workspace`, and no more.

Links are followed as long as they stay in the workspace. Whatever is reached is opened with the
agent's rights, so a race with the agent gives a caller nothing that the agent does not have.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import anyio.to_thread

from runtime import clock
from runtime.errors import Conflict, InvalidRequest, NotFound, SandlotError, StorageFull
from runtime.guest.paths import kind_of, printable

WORKSPACE_NAME = "workspace"
DEFAULT_PAGE = 200
MAX_PAGE = 10_000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Tree:
    """Maps a caller's paths, such as `workspace/a.txt` or `/workspace/a.txt`, to real ones."""

    workspace: Path

    def locate(self, path: str) -> Path | None:
        """The real path, links followed; None for the root. Raises `NotFound`."""
        parts = self._parts(path)
        return self._beneath(parts[1:], path) if parts else None

    def locate_entry(self, path: str) -> Path:
        """The real path of an entry that may be missing or a link, which is not followed.

        Raises `NotFound`, and `InvalidRequest` for the root and the workspace itself.
        """
        parts = self._parts(path)
        if len(parts) < 2:
            raise InvalidRequest(f"'{path}' is the folder that everything lies in.")
        return self._beneath(parts[1:-1], path) / parts[-1]

    def shown(self, path: Path) -> str:
        """The path below the root, as callers know it."""
        return printable(f"{WORKSPACE_NAME}/{below(path, self.workspace)}".rstrip("/"))

    def entry(self, path: Path) -> dict[str, Any]:
        """What the wire says of a file or folder. Raises `OSError` when it is gone."""
        found = path.lstat()
        is_file = stat.S_ISREG(found.st_mode)
        return {
            "name": printable(path.name if path != self.workspace else WORKSPACE_NAME),
            "path": self.shown(path),
            "type": _type_of(found.st_mode),
            "size_bytes": str(found.st_size if is_file else 0),
            "mime_type": mime_type_of(path.name) if is_file else "",
            "created": _moment(found.st_ctime),
            "modified": _moment(found.st_mtime),
        }

    def _parts(self, path: str) -> tuple[str, ...]:
        if "\0" in path:
            raise InvalidRequest("A path holds a NUL character.")
        parts = PurePosixPath(os.path.normpath("/" + path.lstrip("/"))).parts[1:]
        if parts and parts[0] != WORKSPACE_NAME:
            raise NotFound(f"There is no '{path}': everything lies below /{WORKSPACE_NAME}.")
        return parts

    def _beneath(self, parts: tuple[str, ...], path: str) -> Path:
        root = Path(os.path.realpath(self.workspace))
        place = Path(os.path.realpath(root.joinpath(*parts)))
        if not place.is_relative_to(root):
            raise NotFound(f"'{path}' leads out of the workspace.")
        return self.workspace / place.relative_to(root)


class FileOperations:
    """Small requests about files. Each takes and gives JSON."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    async def list_files(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`{path, recursive, page_size, page_token}` to `{files, next_page_token}`.

        With `stat` it is the one entry. Raises `NotFound`.
        """
        return await anyio.to_thread.run_sync(self._list, arguments, abandon_on_cancel=True)

    async def delete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """`{path, recursive}`: delete a file, an empty folder, or with `recursive` any folder."""
        return await anyio.to_thread.run_sync(self._delete, arguments)

    def _list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        path = str(arguments.get("path", ""))
        try:
            place = self._tree.locate(path)
            if arguments.get("stat"):
                return self._tree.entry(place) if place else _root_entry()
            if place is None and not arguments.get("recursive"):
                return {"files": [self._tree.entry(self._tree.workspace)]}
            if place is not None and not place.is_dir():
                return {"files": [self._tree.entry(place)]}
        except OSError as error:
            raise error_of(path, error) from error
        return self._page(place, arguments)

    def _page(self, place: Path | None, arguments: dict[str, Any]) -> dict[str, Any]:
        size = min(max(int(arguments.get("page_size") or DEFAULT_PAGE), 1), MAX_PAGE)
        after = _read_token(str(arguments.get("page_token") or ""))
        start = place or self._tree.workspace
        found = entries_below(start, recursive=bool(arguments.get("recursive")))
        paths = (path for path in found if tuple(below(path, start).split("/")) > after)
        page = list(islice(paths, size + 1))
        entries = [entry for path in page[:size] if (entry := self._try_entry(path))]
        if len(page) <= size:
            return {"files": entries}
        last = below(page[size - 1], start)
        return {"files": entries, "next_page_token": os.fsencode(last).hex()}

    def _try_entry(self, path: Path) -> dict[str, Any] | None:
        try:
            return self._tree.entry(path)
        except OSError:
            return None  # deleted since it was listed

    def _delete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        path = str(arguments.get("path", ""))
        place = self._tree.locate_entry(path)
        try:
            if not stat.S_ISDIR(place.lstat().st_mode):
                place.unlink()
            elif arguments.get("recursive"):
                shutil.rmtree(place)
            else:
                place.rmdir()
        except OSError as error:
            raise error_of(path, error) from error
        return {}


def entries_below(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """What lies in a folder, sorted by path; folders come before what they hold."""
    open_folders = [iter(sorted_entries(folder))]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
            continue
        yield Path(entry.path)
        if recursive and entry.is_dir(follow_symlinks=False):
            open_folders.append(iter(sorted_entries(entry.path)))


def below(path: Path, folder: Path) -> str:
    """The path relative to a folder above it, in a time that grows with its length only."""
    return str(path)[len(str(folder)) :].lstrip("/")


def sorted_entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it is gone, or not readable for the agent."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def error_of(path: str, error: OSError) -> SandlotError:
    """The error that tells callers of one of the file system."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"Path '{path}' not found.")
    if isinstance(error, FileExistsError | IsADirectoryError) or error.errno == errno.ENOTEMPTY:
        return Conflict(f"'{path}': {reason}.")
    if error.errno in _FULL:
        return StorageFull("The workspace is full.")
    return InvalidRequest(f"'{path}': {reason}.")


def open_for_reading(place: Path, path: str) -> int:
    """A descriptor of a regular file. Raises `NotFound`, `InvalidRequest`."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(place, flags)
    except OSError as error:
        raise error_of(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InvalidRequest(f"'{path}' is a {kind_of(mode)}, not a file.")
    return descriptor


def mime_type_of(name: str) -> str:
    """The mime type that a file's name stands for."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _read_token(token: str) -> tuple[str, ...]:
    """The path after which a page begins. Raises `InvalidRequest`."""
    try:
        return PurePosixPath(os.fsdecode(bytes.fromhex(token))).parts
    except ValueError:
        raise InvalidRequest("page_token is none that was given out.") from None


def _root_entry() -> dict[str, Any]:
    return {"name": "", "path": "", "type": "directory", "size_bytes": "0", "mime_type": ""}


def _type_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    return "file" if stat.S_ISREG(mode) else kind_of(mode).replace(" ", "_")


def _moment(seconds: float) -> str:
    return clock.rfc3339(datetime.fromtimestamp(seconds, UTC))
