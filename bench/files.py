"""A large file into an environment and out of it again, and what that costs the controller."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.failures import NotMeasured
from bench.figures import Figure, Floor, Target
from bench.processes import ProcessCost
from bench.samples import Samples
from bench.world import World
from runtime.client import Client
from tests.support.sandlot import RunningController, fence

MIB = 1024**2
SPEED = Target("value", 200.0, at_least=True)
GROWTH = Target("value", 32.0)
"""In MiB: an eighth of the file, and no part of it; it must not grow with the file."""
_NAME = "/workspace/file.bin"
_STOP_SECONDS = 30
_FLOOR = "the same bytes by the same client to and from a bare starlette server that keeps nothing"


@dataclass(slots=True)
class Way:
    """What one direction took, in each round."""

    seconds: list[float] = field(default_factory=list[float])
    cpu: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """CPU seconds of each process."""

    def speed(self, mib: float) -> Samples:
        """MiB/s."""
        return Samples(tuple(mib / seconds for seconds in self.seconds))

    def work(self, mib: float) -> dict[str, float]:
        """CPU seconds for each GiB, by process."""
        return {
            f"{name} CPU s per GiB": Samples(tuple(values)).median * 1024 / mib
            for name, values in self.cpu.items()
        }


class Transfers:
    """Sends one file up and down by one client, and keeps how long that took."""

    def __init__(self, client: Client, source: Path, costs: dict[str, ProcessCost]) -> None:
        self.up, self.down = Way(), Way()
        self._files = client.environments.files
        self._source = source
        self._back = source.with_name("back")
        self._size = source.stat().st_size
        self._costs = costs

    def round(self, environment: str) -> None:
        """Once up and once down. Raises `NotMeasured` when bytes are missing."""
        self._time(self.up, lambda: self._upload(environment))
        self._time(self.down, lambda: self._download(environment))

    def check(self) -> None:
        """Raises `NotMeasured` when what came back last is not what was sent."""
        sums = [hashlib.sha256(path.read_bytes()).digest() for path in (self._source, self._back)]
        if sums[0] != sums[1]:
            raise NotMeasured("The file that came back is not the file that was sent.")

    def _time(self, way: Way, work: Callable[[], None]) -> None:
        before = {name: cost.cpu_seconds() for name, cost in self._costs.items()}
        started = time.perf_counter()
        work()
        way.seconds.append(time.perf_counter() - started)
        for name, cost in self._costs.items():
            way.cpu.setdefault(name, []).append(cost.cpu_seconds() - before[name])

    def _upload(self, environment: str) -> None:
        (written,) = self._files.upload(environment, _NAME, self._source, overwrite=True)
        if written.size_bytes != self._size:
            raise NotMeasured(f"Of {self._size} bytes {written.size_bytes} were taken.")

    def _download(self, environment: str) -> None:
        received = self._files.download(environment, _NAME, self._back)
        if received != self._size:
            raise NotMeasured(f"Of {self._size} bytes {received} came back.")


def measure(world: World) -> list[Figure]:
    """Three figures. A first transfer is not counted."""
    mib = world.rounds(256, 64)
    source = world.folder_of("files") / "source"
    fill(source, mib)
    with world.controller("files") as controller, loopback(mib * MIB) as bare_server:
        environment = _new_environment(controller)
        cost = ProcessCost(controller.process.pid)
        ours = {"client": ProcessCost(os.getpid()), "controller": cost}
        Transfers(controller.client, source, {}).round(environment)
        bare, real = Transfers(bare_server, source, {}), Transfers(controller.client, source, ours)
        cost.forget_peak()
        for _ in range(world.rounds(5, 2)):
            bare.round(environment)
            real.round(environment)
            up, down = (mib / way.seconds[-1] for way in (real.up, real.down))
            world.say(f"files: up {up:.0f}, down {down:.0f} MiB/s")
        growth = cost.growth() / MIB
        real.check()
    return [
        _speed("upload", "into", (real.up, bare.up), mib),
        _speed("download", "out of", (real.down, bare.down), mib),
        _growth(growth, mib),
    ]


def fill(path: Path, mib: int) -> None:
    """Write a file of random bytes."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))


def _new_environment(controller: RunningController) -> str:
    run = controller.run(fence("bash", "true"))
    if run.status != "completed" or run.environment_id is None:
        raise NotMeasured(f"The interaction ended as {run.status}: {run.errors}")
    return run.environment_id


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


def _speed(name: str, word: str, ways: tuple[Way, Way], mib: int) -> Figure:
    real, bare = ways
    return Figure(
        name=name,
        what=f"a file of {mib} MiB {word} an environment through the API, by runtime.client",
        unit="MiB/s",
        measured=real.speed(mib),
        floor=Floor(_FLOOR, bare.speed(mib)),
        target=SPEED,
        details=real.work(mib),
    )


def _growth(growth: float, mib: int) -> Figure:
    return Figure(
        name="growth",
        what=f"how much more memory the controller had at its peak in these transfers of {mib} MiB "
        "than after a first one",
        unit="MiB",
        measured=Samples((growth,)),
        target=GROWTH,
    )
