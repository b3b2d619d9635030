"""A page, as the browser's tools open it."""

from __future__ import annotations

from bench.figures import Figure, Floor, Target
from bench.samples import Samples
from bench.world import World

TARGET = Target("excess", 15.0)
BROWSER_USER = "1001:1001"
_MILLISECONDS = 1000.0


def measure(world: World) -> list[Figure]:
    """One figure, from one container."""
    count = world.rounds(60, 20)
    world.say(f"page: {count} times")
    found = world.containers.run_inside("pages", str(count), user=BROWSER_USER)
    samples = {name: Samples(tuple(values)).times(_MILLISECONDS) for name, values in found.items()}
    return [
        Figure(
            name="page",
            what="browser_navigate to a page of a local server, warm, with its snapshot",
            unit="ms",
            measured=samples["page"],
            floor=Floor(
                "page.goto and page.aria_snapshot of raw Playwright, same container",
                samples["raw page"],
            ),
            target=TARGET,
        )
    ]
