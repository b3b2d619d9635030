"""`ENV:PATH` and local paths, as `sandlot cp` and `sandlot run --file` take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runtime.cli.exits import Misuse

WORKSPACE = "/workspace"
_REMOTE = re.compile(r"([0-9a-z][0-9a-z_-]{3,}):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Remote:
    """A path in an environment."""

    environment: str
    path: str
    """Absolute; a relative one starts in the workspace."""
    as_folder: bool
    """Written with a slash at the end."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    def child(self, name: str) -> Remote:
        """`name` inside this folder."""
        return Remote(self.environment, str(PurePosixPath(self.path) / name), as_folder=False)


def place_of(text: str) -> Remote | Path:
    """What a command line names: `ENV:PATH`, else a path of this machine."""
    found = _REMOTE.fullmatch(text)
    if found is None:
        return Path(text)
    environment, path = found.groups()
    whole = PurePosixPath(WORKSPACE) / path
    if ".." in whole.parts:
        raise Misuse(f"{text}: a path in an environment may not contain `..`")
    return Remote(environment, str(whole), path.endswith("/"))
