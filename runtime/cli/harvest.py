"""The files that a run left in its workspace, fetched to this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from runtime.cli.archive import bounded, safe_path
from runtime.cli.places import WORKSPACE
from runtime.client import Client, EnvironmentFile
from runtime.errors import SandlotError

MAX_FILES = 500
MAX_BYTES = 512 * 1024 * 1024
_TOOLS = frozenset({"node_modules", "__pycache__", "site-packages"})

Snapshot = dict[str, tuple[int, str | None]]
"""Path to size and time of change."""


@dataclass(frozen=True, slots=True)
class Harvest:
    """What was fetched, and what was left where it is."""

    folder: Path
    files: list[tuple[Path, int]] = field(default_factory=list[tuple[Path, int]])
    """Paths below `folder`, with their sizes."""
    left: list[str] = field(default_factory=list[str])
    """Paths in the environment of files that are too many, too big or oddly named."""


def snapshot(files: Iterable[EnvironmentFile]) -> Snapshot:
    """What is there now, to tell later what is new."""
    return {row.path: (row.size_bytes, row.modified) for row in files if not row.is_folder}


def made(
    files: Iterable[EnvironmentFile], *, before: Snapshot, since: str | None, given: Collection[str]
) -> list[EnvironmentFile]:
    """The files that a run made or changed, without what tools keep for themselves.

    `before` is what was there when it started, `since` the moment of its start in RFC 3339 for an
    environment that was new, `given` the paths of files that came with the request.
    """
    inputs = {path.strip("/") for path in given}
    return [
        row
        for row in files
        if not row.is_folder
        and not _is_hidden(row.path)
        and row.path.strip("/") not in inputs
        and before.get(row.path) != (row.size_bytes, row.modified)
        and not _is_older(row.modified, since)
    ]


def _is_older(moment: str | None, since: str | None) -> bool:
    if moment is None or since is None:
        return False
    try:
        return datetime.fromisoformat(moment) < datetime.fromisoformat(since)
    except (TypeError, ValueError):
        return False


def _is_hidden(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") or part in _TOOLS for part in parts)


def fetch(
    client: Client,
    environment: str,
    files: list[EnvironmentFile],
    folder: Path,
    report: Callable[[str], None],
) -> Harvest:
    """Download the files into `folder`, at most `MAX_FILES` and `MAX_BYTES`."""
    harvest = Harvest(folder)
    room = MAX_BYTES
    for row in files:
        target = safe_path(folder, _below_workspace(row.path))
        if target is None or len(harvest.files) >= MAX_FILES or row.size_bytes > room:
            harvest.left.append(row.path)
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            written = _download(client, environment, row.path, target, room)
        except (SandlotError, OSError) as problem:
            report(f"{row.path} could not be fetched: {problem}")
            harvest.left.append(row.path)
            continue
        room -= written
        harvest.files.append((target.relative_to(folder), written))
    return harvest


def _download(client: Client, environment: str, path: str, target: Path, room: int) -> int:
    """Write a file's bytes to `target`, at most `room`, whatever size it was said to have."""
    with (
        client.environments.files.chunks(environment, path) as chunks,
        target.open("wb") as file,
    ):
        return sum(map(file.write, bounded(chunks, room, "it is larger than it was said to be")))


def _below_workspace(path: str) -> str:
    return path.strip("/").removeprefix(WORKSPACE.strip("/")).lstrip("/")
