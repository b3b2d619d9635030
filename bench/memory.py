"""The memory of a sandbox that idles: kernel up, one cell run, browser not started."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bench.containers import Containers
from bench.failures import NotMeasured
from bench.figures import Figure, Floor, Target
from bench.inside.raw_kernel import CELL
from bench.samples import Samples
from bench.world import World
from tests.support.sandlot import fence

TARGET = Target("value", 90.0)
MB = 1e6
_POLL_SECONDS = 0.25
_CALM_READINGS = 12
_CALM_MB = 0.5
_PATIENCE_SECONDS = 30.0


def measure(world: World) -> list[Figure]:
    """One figure."""
    measured: list[float] = []
    floors: list[float] = []
    parts: list[dict[str, float]] = []
    with world.controller("memory") as controller:
        for _ in range(world.rounds(3, 1)):
            run = controller.run(fence("python", CELL))
            if run.status != "completed" or run.environment_id is None:
                raise NotMeasured(f"The interaction ended as {run.status}: {run.errors}")
            name = controller.sandbox_of(run.environment_id).id
            measured.append(_settled(world.containers, name))
            parts.append(breakdown(world.containers.memory(name)))
            controller.client.environments.delete(run.environment_id)
            with world.containers.idle() as sleeper:
                floors.append(_settled(world.containers, sleeper))
            world.say(f"memory: {measured[-1]:.1f} MB, sleep {floors[-1]:.1f} MB")
    return [_figure(Samples(tuple(measured)), Samples(tuple(floors)), parts[-1])]


def _settled(containers: Containers, name: str) -> float:
    return settle(lambda: in_use(containers.memory(name)) / MB)


def settle(read: Callable[[], float], poll_seconds: float = _POLL_SECONDS) -> float:
    """Read until the value is calm; whatever it is after half a minute."""
    readings: deque[float] = deque(maxlen=_CALM_READINGS)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        readings.append(read())
        if is_calm(readings):
            break
        time.sleep(poll_seconds)
    return readings[-1]


def is_calm(readings: Collection[float]) -> bool:
    """Whether the values of three seconds lie within half a megabyte."""
    return len(readings) >= _CALM_READINGS and max(readings) - min(readings) <= _CALM_MB


def in_use(memory: Mapping[str, Any]) -> int:
    """Bytes as `docker stats` counts them: usage without the file cache that is not active."""
    return max(memory["usage"] - _kind(memory, "inactive_file"), 0)


def breakdown(memory: Mapping[str, Any]) -> dict[str, float]:
    """What the usage is made of, in MB; the names differ between the versions of cgroups."""
    anonymous = _kind(memory, "rss", "anon")
    files = _kind(memory, "cache", "file")
    return {
        "anonymous MB": anonymous / MB,
        "active file cache MB": _kind(memory, "active_file") / MB,
        "shared memory and tmpfs MB": _kind(memory, "shmem") / MB,
        "of Linux itself MB": max(memory["usage"] - anonymous - files, 0) / MB,
    }


def _kind(memory: Mapping[str, Any], *names: str) -> int:
    """The first of `names` that is there; version 1 has totals with the children's beside it."""
    stats = memory.get("stats", {})
    for name in (f"total_{names[0]}", *names):
        if name in stats:
            return int(stats[name])
    return 0


def _figure(measured: Samples, floor: Samples, parts: dict[str, float]) -> Figure:
    return Figure(
        name="memory",
        what="memory of an idle sandbox after one cell, kernel up, browser not started; usage of "
        "its cgroup without inactive file cache, as in `docker stats`; MB are 1,000,000 bytes",
        unit="MB",
        measured=measured,
        floor=Floor("a container with the same limits that sleeps", floor),
        target=TARGET,
        details=parts,
    )
