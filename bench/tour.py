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
from bench.figures import Figure, Floor, Target
from bench.samples import Samples, total
from bench.world import World
from runtime.client.discovery import KEY_VARIABLE, URL_VARIABLE

TARGET = Target("value", 10.0)
_SECONDS = 300


def measure(world: World) -> list[Figure]:
    """One figure. The first tour is not counted."""
    folder = world.folder_of("tour")
    (folder / "sandlot.yaml").write_text(world.config, encoding="utf-8")
    rounds: list[dict[str, float]] = []
    for number in range(1 + world.rounds(3, 1)):
        bare = {"docker run": world.containers.bare_run()}
        bare |= world.containers.run_inside("raw_tour", user="1000:1000")
        started = time.perf_counter()
        interaction = _tour(folder)
        seconds = time.perf_counter() - started
        world.say(f"tour: {seconds:.1f} s, floor {sum(bare.values()):.1f} s")
        if number:
            rounds.append({**bare, "tour": seconds, "interaction": _duration(interaction)})
    return [_figure({name: Samples(tuple(one[name] for one in rounds)) for name in rounds[0]})]


def _tour(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "runtime.cli", "run", "tour", "--json"]
    options = ["--state-dir", str(folder / "state"), "--output", str(folder / "output")]
    environment = {**os.environ, "SANDLOT_CONFIG": str(folder / "sandlot.yaml")}
    for elsewhere in (URL_VARIABLE, KEY_VARIABLE):
        environment.pop(elsewhere, None)
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=_SECONDS, env=environment
    )
    if done.returncode != 0:
        raise NotMeasured(f"sandlot run tour ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def _duration(interaction: dict[str, Any]) -> float:
    created, updated = (
        datetime.fromisoformat(interaction[name]) for name in ("created", "updated")
    )
    return (updated - created).total_seconds()


def _figure(samples: dict[str, Samples]) -> Figure:
    parts = {name: samples[name] for name in ("docker run", "kernel", "browser")}
    return Figure(
        name="tour",
        what="`sandlot run tour` from its start to its end, a controller started for the occasion "
        "included, when it is not the first",
        unit="s",
        measured=samples["tour"],
        floor=Floor(
            "docker run, then a raw kernel that imports pandas and draws a chart, then raw "
            "Playwright that starts Chromium, clicks in a page and takes a screenshot",
            total(list(parts.values())),
        ),
        target=TARGET,
        details={
            **{f"{name} s": part.median for name, part in parts.items()},
            "the interaction alone, in whole seconds": samples["interaction"].median,
        },
    )
