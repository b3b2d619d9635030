"""The whole tour, as a person sees it who runs it a second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.failures import NotMeasured
from bench.figures import Figure, Target
from bench.samples import Samples
from bench.world import World

TARGET = Target("value", 10.0)
_SECONDS = 300


def measure(world: World) -> list[Figure]:
    """One figure. The first tour is not counted."""
    folder = world.folder_of("tour")
    whole: list[float] = []
    inner: list[float] = []
    for number in range(1 + world.rounds(3, 1)):
        started = time.perf_counter()
        interaction = _tour(folder)
        seconds = time.perf_counter() - started
        world.say(f"tour: {seconds:.1f} s")
        if number:
            whole.append(seconds)
            inner.append(_duration(interaction))
    return [_figure(Samples(tuple(whole)), Samples(tuple(inner)))]


def _tour(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "runtime.cli", "run", "tour", "--json"]
    options = ["--state-dir", str(folder / "state"), "--output", str(folder / "output")]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=_SECONDS, env=os.environ
    )
    if done.returncode != 0:
        raise NotMeasured(f"sandlot run tour ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def _duration(interaction: dict[str, Any]) -> float:
    created, updated = (
        datetime.fromisoformat(interaction[name]) for name in ("created", "updated")
    )
    return (updated - created).total_seconds()


def _figure(whole: Samples, inner: Samples) -> Figure:
    return Figure(
        name="tour",
        what="`sandlot run tour` from its start to its end, a controller started for the occasion "
        "included, when it is not the first",
        unit="s",
        measured=whole,
        target=TARGET,
        details={"the interaction alone, in whole seconds": inner.median},
    )
