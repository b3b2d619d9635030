"""Repositories for tests to clone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_WHO = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


def add_repository(folder: Path, name: str, **files: bytes) -> None:
    """Make the bare repository `name` in `folder`, with one commit that has these files."""
    work = folder / f"work-{name}"
    work.mkdir(parents=True)
    for path, content in files.items():
        (work / path).write_bytes(content)
    who = {**os.environ, **dict.fromkeys(_WHO, "a@a.test")}
    for command in (["init", "-qb", "main"], ["add", "."], ["commit", "-qm", "First."]):
        subprocess.run(["git", *command], cwd=work, check=True, env=who)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(folder / name)], check=True)
