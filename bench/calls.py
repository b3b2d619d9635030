"""One cell and one command inside the sandbox, as the loop sees them."""

from __future__ import annotations

from bench.figures import Figure, Floor, Target
from bench.samples import Samples
from bench.world import World

CELL_TARGET = Target("excess", 3.0)
BASH_TARGET = Target("value", 6.0)
_MILLISECONDS = 1000.0


def measure(world: World) -> list[Figure]:
    """Two figures, from one container."""
    count = world.rounds(300, 60)
    world.say(f"cell, bash: {count} calls of each")
    found = world.containers.run_inside("calls", str(count), user="0:0")
    samples = {name: Samples(tuple(values)).times(_MILLISECONDS) for name, values in found.items()}
    return [_cell(samples), _bash(samples)]


def _cell(samples: dict[str, Samples]) -> Figure:
    return Figure(
        name="cell",
        what="the cell `1 + 1` inside a sandbox, from the supervisor to the hands to the kernel "
        "and back",
        unit="ms",
        measured=samples["cell"],
        floor=Floor(
            "the same cell by jupyter_client over ipc, same container", samples["raw cell"]
        ),
        target=CELL_TARGET,
    )


def _bash(samples: dict[str, Samples]) -> Figure:
    return Figure(
        name="bash",
        what="the command `true` inside a sandbox, from the supervisor to the hands to the shell "
        "and back",
        unit="ms",
        measured=samples["bash"],
        floor=Floor("subprocess.run of /bin/true, same container", samples["raw fork"]),
        target=BASH_TARGET,
    )
