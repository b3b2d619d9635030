"""Data sources: files of the operator's that a new workspace begins with."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from runtime.schema.agents import DataSource
from runtime.specs.agent_file import DataSourceEntry
from runtime.specs.mistakes import Loc
from runtime.specs.paths import is_folder, is_there
from runtime.specs.yaml_marks import Document

WORKSPACE = PurePosixPath("/workspace")
DATA_FOLDER = WORKSPACE / "data"
_MAX_MATCHES = 10_000


def read_data_sources(document: Document, entries: Sequence[DataSourceEntry]) -> list[DataSource]:
    """What is to be copied where. Mistakes, such as a missing file, are added to `document`."""
    sources: dict[str, DataSource] = {}
    for index, entry in enumerate(entries):
        loc: Loc = ("data_sources", index)
        for source in _read(document, entry, loc):
            other = sources.setdefault(source.target, source)
            if other.path != source.path:
                message = f"{other.path} and {source.path} would both become {source.target}"
                document.mistakes.append(document.mistake(loc, message))
    return list(sources.values())


def _read(document: Document, entry: DataSourceEntry, loc: Loc) -> Iterator[DataSource]:
    target = entry.target
    wrong = _wrong_target(target) if target is not None else None
    if wrong:
        document.mistakes.append(document.mistake((*loc, "target"), wrong))
        return
    pattern = Path(document.file).absolute().parent / entry.path
    if is_there(pattern):
        yield DataSource(path=pattern.resolve(), target=_target(pattern.resolve(), target))
        return
    matches = _matches(str(pattern)) if glob.has_magic(entry.path) else []
    if not matches:
        words = "nothing matches" if glob.has_magic(entry.path) else "there is no file or folder"
        document.mistakes.append(document.mistake((*loc, "path"), f"{words} {pattern}"))
    for path in matches:
        yield DataSource(path=path, target=str(PurePosixPath(target or DATA_FOLDER) / path.name))


def _matches(pattern: str) -> list[Path]:
    found = glob.iglob(pattern, recursive=True)  # noqa: PTH207
    limited = (path for path, _ in zip(found, range(_MAX_MATCHES), strict=False))
    return sorted(Path(path).resolve() for path in limited)


def _target(path: Path, target: str | None) -> str:
    if target is None:
        return str(DATA_FOLDER / path.name)
    exact = PurePosixPath(target)
    inside = target.endswith("/") or (exact == WORKSPACE and not is_folder(path))
    return str(exact / path.name if inside else exact)


def _wrong_target(target: str) -> str | None:
    path = PurePosixPath(target)
    if not path.is_absolute() or ".." in path.parts:
        return "must be an absolute path without `..`, such as /workspace/data"
    if not path.is_relative_to(WORKSPACE):
        return "must be in /workspace: nothing else of a sandbox can be written"
    return None
