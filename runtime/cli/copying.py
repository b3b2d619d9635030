"""`sandlot cp`: files and folders, between an environment and this machine."""

from __future__ import annotations

from pathlib import Path

import typer

from runtime.cli.archive import Copied, Packing, bounded, safe_path, unpack
from runtime.cli.connection import connected
from runtime.cli.exits import Misuse
from runtime.cli.places import Remote, place_of
from runtime.cli.wording import one_line, plural, printable, size
from runtime.client import Client, EnvironmentFile
from runtime.errors import NotFound
from runtime.specs.units import format_size, parse_size

_NAMED = 20
"""Skipped files that are named; of the rest only the number."""


def run_copy(state_dir: Path | None, source: str, destination: str, limit: str) -> None:
    """Copy between an environment of the controller and this machine."""
    try:
        room = parse_size(limit)
    except ValueError as error:
        raise Misuse(f"--limit: {error}") from error
    if sum(isinstance(place_of(text), Remote) for text in (source, destination)) != 1:
        raise Misuse("exactly one of SOURCE and DEST must be ENV:PATH")
    with connected(state_dir, _say) as client:
        copy(client, source, destination, room)


def _say(text: str) -> None:
    typer.echo(printable(text), err=True)


def copy(client: Client, source: str, destination: str, room: int) -> None:
    """Copy `source` to `destination`, exactly one of them `ENV:PATH`; says what it did.

    What comes out of an environment has at most `room` bytes: it says itself how much it is.
    """
    match place_of(source), place_of(destination):
        case Remote() as remote, Path() as local:
            _report(_fetch(client, remote, local, room))
        case Path() as local, Remote() as remote:
            _report(_send(client, local, remote))
        case _:
            raise Misuse("exactly one of SOURCE and DEST must be ENV:PATH")


def _fetch(client: Client, remote: Remote, local: Path, room: int) -> Copied:
    is_file = _is_file(client.environments.files.list(remote.environment, remote.path), remote)
    target = _inside(local, remote.name) if local.is_dir() else local
    if not is_file:
        target.mkdir(parents=True, exist_ok=True)
    more = f"stopped after {format_size(room)}; take more with a larger --limit"
    files = client.environments.files
    with files.chunks(remote.environment, remote.path, not is_file) as chunks:
        taken = bounded(chunks, room, more)
        if not is_file:
            return unpack(taken, target)
        with target.open("wb") as file:
            return Copied(1, sum(map(file.write, taken)), [])


def _inside(folder: Path, name: str) -> Path:
    target = safe_path(folder, name)
    if target is None:
        raise Misuse(f"{folder / name} is a link: name another destination")
    return target


def _is_file(found: list[EnvironmentFile], remote: Remote) -> bool:
    """A listing of a file is the file itself, a listing of a folder what is in it."""
    if len(found) != 1 or found[0].is_folder:
        return False
    return found[0].path.strip("/") == remote.path.strip("/")


def _send(client: Client, local: Path, remote: Remote) -> Copied:
    if not local.exists():
        raise NotFound(f"there is no file or folder {local}")
    if remote.as_folder or _is_remote_folder(client, remote):
        remote = remote.child(local.absolute().name)
    if not local.is_dir():
        client.environments.files.upload(remote.environment, remote.path, local, overwrite=True)
        return Copied(1, local.stat().st_size, [])
    packing = Packing(local)
    client.environments.files.upload(
        remote.environment, remote.path, packing, overwrite=True, extract=True
    )
    return packing.copied


def _is_remote_folder(client: Client, remote: Remote) -> bool:
    try:
        found = client.environments.files.list(remote.environment, remote.path)
    except NotFound:
        return False
    return not _is_file(found, remote)


def _report(copied: Copied) -> None:
    _say(f"{plural(copied.files, 'file')}, {size(copied.size_bytes)}")
    for name in copied.skipped[:_NAMED]:
        _say(f"skipped {one_line(name)}: not a regular file, or outside")
    if len(copied.skipped) > _NAMED:
        _say(f"skipped {len(copied.skipped) - _NAMED} more")
