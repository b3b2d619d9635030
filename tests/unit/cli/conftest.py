from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.wire_controller import KEY, Wire, serving

ROOT = Path(__file__).parents[3]


@dataclass
class Shell:
    """Runs the real command line in a process of its own, in a folder of its own."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "LC_ALL": "C.UTF-8",
            **self.variables,
        }

    def __call__(
        self, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environ,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "runtime.cli", *arguments]


@pytest.fixture
def sandlot(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving(Wire()) as serving_wire:
        yield serving_wire


@pytest.fixture
def connected(sandlot: Shell, wire: Wire) -> Shell:
    """A command line whose controller is `wire`."""
    sandlot.variables |= {"SANDLOT_URL": wire.url, "SANDLOT_API_KEY": KEY}
    return sandlot
