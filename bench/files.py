"""A large file into an environment and out of it again, and what that costs the controller."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.failures import NotMeasured
from bench.figures import Figure, Floor, Target
from bench.samples import Samples
from bench.world import World
from runtime.client import Client
from tests.support.sandlot import RunningController, fence

MIB = 1024**2
SPEED = Target("value", 200.0, at_least=True)
GROWTH = Target("value", 32.0)
"""In MiB: an eighth of the file, and no part of it; it must not grow with the file."""
_NAME = "file.bin"
_STOP_SECONDS = 30


@dataclass(slots=True)
class _Speeds:
    """MiB/s in each round."""

    upload: list[float] = field(default_factory=list[float])
    download: list[float] = field(default_factory=list[float])


def measure(world: World) -> list[Figure]:
    """Three figures."""
    size = world.rounds(256, 64) * MIB
    folder = world.folder_of("files")
    source = folder / "source"
    _fill(source, size)
    ours, bare = _Speeds(), _Speeds()
    with world.controller("files") as controller, loopback(size) as bare_server:
        environment = _new_environment(controller)
        _transfer(controller.client, environment, source, _Speeds())
        memory = ProcessMemory(controller.process.pid)
        memory.forget_peak()
        for _ in range(world.rounds(5, 2)):
            _transfer(bare_server, environment, source, bare)
            _transfer(controller.client, environment, source, ours)
            world.say(f"files: up {ours.upload[-1]:.0f}, down {ours.download[-1]:.0f} MiB/s")
        growth = memory.growth() / MIB
        _compare(controller.client, environment, source)
    return [
        _speed("upload", "into", ours.upload, bare.upload, size),
        _speed("download", "out of", ours.download, bare.download, size),
        _growth(growth, size),
    ]


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def _new_environment(controller: RunningController) -> str:
    run = controller.run(fence("bash", "true"))
    if run.status != "completed" or run.environment_id is None:
        raise NotMeasured(f"The interaction ended as {run.status}: {run.errors}")
    return run.environment_id


def _transfer(client: Client, environment: str, source: Path, speeds: _Speeds) -> None:
    files, size = client.environments.files, source.stat().st_size
    back = source.with_name("back")

    def up() -> None:
        (written,) = files.upload(environment, _NAME, source, overwrite=True)
        if written.size_bytes != size:
            raise NotMeasured(f"Of {size} bytes {written.size_bytes} were taken.")

    def down() -> None:
        received = files.download(environment, _NAME, back)
        if received != size:
            raise NotMeasured(f"Of {size} bytes {received} came back.")

    speeds.upload.append(size / MIB / _seconds(up))
    speeds.download.append(size / MIB / _seconds(down))
    back.unlink()


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _compare(client: Client, environment: str, source: Path) -> None:
    back = source.with_name("back")
    client.environments.files.download(environment, _NAME, back)
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (source, back)]
    if sums[0] != sums[1]:
        raise NotMeasured("The file that came back is not the file that was sent.")


@contextmanager
def loopback(size: int) -> Generator[Client]:
    """A client of a bare server that gives `size` bytes."""
    command = [sys.executable, "-m", "bench.loopback", str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            with Client(f"http://127.0.0.1:{port}", "none") as client:
                yield client
        finally:
            process.terminate()
            process.wait(timeout=_STOP_SECONDS)


class ProcessMemory:
    """The resident memory of a process and its peak, as Linux counts them."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        self._before = 0

    def forget_peak(self) -> None:
        """Count from here."""
        (self._folder / "clear_refs").write_text("5", encoding="ascii")
        self._before = self._read("VmRSS")

    def growth(self) -> int:
        """By how many bytes it was greater at its peak than when counting began."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        status = (self._folder / "status").read_text(encoding="utf-8")
        found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        if found is None:
            raise NotMeasured(f"This kernel does not tell {name} of a process.")
        return int(found[1]) * 1024


def _speed(name: str, way: str, ours: list[float], bare: list[float], size: int) -> Figure:
    return Figure(
        name=name,
        what=f"a file of {size // MIB} MiB {way} an environment through the API, by runtime.client",
        unit="MiB/s",
        measured=Samples(tuple(ours)),
        floor=Floor(
            "the same bytes by the same client to and from a bare starlette server that keeps "
            "nothing",
            Samples(tuple(bare)),
        ),
        target=SPEED,
    )


def _growth(growth: float, size: int) -> Figure:
    return Figure(
        name="growth",
        what=f"how much more memory the controller had at its peak in these transfers of "
        f"{size // MIB} MiB than after a first one",
        unit="MiB",
        measured=Samples((growth,)),
        target=GROWTH,
    )
