"""The real command line, run in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


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
        # A controller that is left at work is a subprocess that is still running.
        warnings = ["-W", "error", "-W", "ignore:subprocess:ResourceWarning"]
        return [sys.executable, "-P", *warnings, "-m", "runtime.cli", *arguments]
