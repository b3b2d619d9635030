"""The processes beside the controller: servers of floors, and clients that make load."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.failures import NotMeasured

_STOP_SECONDS = 30
_LOAD_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Server:
    """A server on this machine."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(module: str, first_line: str = "") -> Generator[Server]:
    """A module that prints its port; `first_line` goes to its standard input."""
    command = [sys.executable, "-m", module]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(f"{first_line}\n")
            process.stdin.flush()
            yield Server(int(process.stdout.readline()), process.pid)
        finally:
            process.terminate()
            process.wait(timeout=_STOP_SECONDS)


@dataclass(frozen=True, slots=True)
class Calls:
    """What clients saw."""

    latencies: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, part: float) -> float:
        """The latency that this part of all calls did not exceed, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def call(port: int, requests: list[str], clients: int = 1, seconds: float | None = None) -> Calls:
    """Call a server from a process of its own. Raises `NotMeasured` when a call is refused."""
    job = {"port": port, "requests": requests, "clients": clients, "seconds": seconds}
    found = json.loads(_run("bench.load.calls", job))
    if found["refused"] is not None:
        raise NotMeasured(f"A call was refused: {found['refused']}")
    return Calls(found["latencies"], found["seconds"])


def _run(module: str, job: dict[str, Any]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=_LOAD_SECONDS,
    )
    if done.returncode != 0:
        raise NotMeasured(f"{module} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


class Streams:
    """Many readers of one stream, in a process of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.open_seconds = 0.0

    def wait_open(self) -> None:
        """Until every stream has begun."""
        assert self._process.stdout is not None
        word, _, seconds = self._process.stdout.readline().partition(" ")
        if word != "open":
            raise NotMeasured(f"The streams did not open: {self._errors()}")
        self.open_seconds = float(seconds)

    def delays(self) -> list[list[float]]:
        """Once all have ended: of each stream the delay of each event, in seconds."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotMeasured(f"The streams broke off: {self._errors()}")
        return json.loads(line)["delays"]

    def _errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read()[-500:]


@contextmanager
def reading(port: int, request: str, streams: int) -> Generator[Streams]:
    """So many readers of the stream that `request` asks for."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "bench.load.streams"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        try:
            json.dump({"port": port, "request": request, "streams": streams}, process.stdin)
            process.stdin.close()
            yield Streams(process)
        finally:
            process.terminate()
            process.wait(timeout=_STOP_SECONDS)
