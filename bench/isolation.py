"""What the hardening of a container costs its start: the same program with and without it."""

from __future__ import annotations

from bench.containers import PYTHON
from bench.figures import Figure, Floor, Target
from bench.samples import Samples
from bench.world import World

TARGET = Target("excess", 0.1)
PROGRAM = [PYTHON, "-I", "-c", "import runtime.guest.supervisor"]
"""What a guest does first, and all that it can do without a controller."""


def measure(world: World) -> list[Figure]:
    """One figure. Both kinds by turns; a first round, which fills caches, is not counted."""
    hardened: list[float] = []
    plain: list[float] = []
    for number in range(1 + world.rounds(20, 5)):
        bare = world.containers.plain_start(PROGRAM)
        held = world.containers.hardened_start(PROGRAM)
        world.say(f"isolation: {bare:.3f} s, {held:.3f} s")
        if number:
            plain.append(bare)
            hardened.append(held)
    return [
        Figure(
            name="isolation",
            what="a container with all that holds a sandbox, made, compared with what was asked "
            "for and started, until a program that imports the guest has ended in it",
            unit="s",
            measured=Samples(tuple(hardened)),
            floor=Floor(
                "the same of the same image, as `docker run --network none` makes it",
                Samples(tuple(plain)),
            ),
            target=TARGET,
        )
    ]
