"""How long a cancel takes, in the middle of what does not want to end."""

from __future__ import annotations

import time

from bench.failures import NotMeasured
from bench.figures import Figure, Target
from bench.samples import Samples
from bench.world import World
from tests.support.sandlot import RunningController, fence

TARGET = Target("value", 1.0)
BUSY = {
    "a cell": fence("python", "import time\nprint('begun', flush=True)\ntime.sleep(600)"),
    "a shell that ignores it": fence("bash", "echo begun; trap '' INT; while :; do :; done"),
}


def measure(world: World) -> list[Figure]:
    """One figure: the slower kind of run."""
    with world.controller("cancel") as controller:
        first = controller.run(fence("python", "1"))
        seconds = {
            name: Samples(
                tuple(
                    _cancel(controller, code, first.environment_id)
                    for _ in range(world.rounds(10, 2))
                )
            )
            for name, code in BUSY.items()
        }
    for name, samples in seconds.items():
        world.say(f"cancel: {name}, {samples.median:.2f} s")
    slowest = max(seconds, key=lambda name: seconds[name].median)
    return [
        Figure(
            name="cancel",
            what=f"from the call that cancels to its answer, in {slowest}; the environment is "
            "ready for the next run then",
            unit="s",
            measured=seconds[slowest],
            target=TARGET,
            details={f"{name} s": samples.median for name, samples in seconds.items()},
        )
    ]


def _cancel(controller: RunningController, code: str, environment: str | None) -> float:
    started = controller.start(code, environment)
    controller.wait_for_step(started.id, "begun")
    begun = time.perf_counter()
    cancelled = controller.client.interactions.cancel(started.id)
    seconds = time.perf_counter() - begun
    if cancelled.status != "cancelled":
        raise NotMeasured(f"A cancelled run is {cancelled.status}.")
    return seconds
