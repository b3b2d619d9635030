"""Questions about paths that an operator wrote, answered without raising."""

from __future__ import annotations

import stat
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether something is at `path` and can be seen; a name too long is not there either."""
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder that can be seen."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None
