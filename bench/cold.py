"""A new interaction in a new environment, until the result of its first cell has arrived."""

from __future__ import annotations

import time

from bench.failures import NotMeasured
from bench.figures import Figure, Floor, Target
from bench.inside.raw_kernel import CELL, RESULT
from bench.samples import Samples, total
from bench.world import World
from tests.support.sandlot import AGENT, INLINE, RunningController, fence

TARGET = Target("ratio", 1.3)


def measure(world: World) -> list[Figure]:
    """One figure. A first round, which fills caches, is not counted."""
    docker_runs: list[float] = []
    kernels: list[float] = []
    moments: list[dict[str, float]] = []
    with world.controller("cold") as controller:
        for number in range(1 + world.rounds(9, 3)):
            docker_run = world.containers.bare_run()
            kernel = world.containers.run_inside("raw_kernel", user="1000:1000")["seconds"]
            found = first_cell(controller)
            world.say(f"cold: {docker_run:.2f} + {kernel:.2f} s, {found['result']:.2f} s")
            if number:
                docker_runs.append(docker_run)
                kernels.append(kernel)
                moments.append(found)
    return [_figure(Samples(tuple(docker_runs)), Samples(tuple(kernels)), moments)]


def first_cell(controller: RunningController) -> dict[str, float]:
    """Seconds from the call to its first event, to the call of the cell, and to its result."""
    found: dict[str, float] = {}
    environment = None
    started = time.perf_counter()
    with controller.client.interactions.create(
        agent=AGENT,
        agent_config=INLINE,
        input=fence("python", CELL),
        environment="remote",
        stream=True,
    ) as events:
        for event in events:
            now = time.perf_counter() - started
            found.setdefault("created", now)
            environment = (event.interaction or {}).get("environment_id") or environment
            delta = event.delta or {}
            if delta.get("type") == "code_execution_call":
                found.setdefault("call", now)
            if delta.get("type") == "code_execution_result":
                _check(delta)
                found.setdefault("result", now)
    if "result" not in found or environment is None:
        raise NotMeasured("The interaction ended without a result of its cell.")
    controller.client.environments.delete(environment)
    return found


def _check(delta: dict[str, object]) -> None:
    if str(delta.get("result")).strip() != RESULT:
        raise NotMeasured(f"The cell's result was {delta.get('result')!r}, not {RESULT!r}.")


def _figure(docker_run: Samples, kernel: Samples, moments: list[dict[str, float]]) -> Figure:
    def of(name: str) -> Samples:
        return Samples(tuple(moment[name] for moment in moments))

    return Figure(
        name="cold",
        what="a new interaction over HTTP, streamed, in a new environment, until the result of "
        "its first cell arrives",
        unit="s",
        measured=of("result"),
        floor=Floor(
            "`docker run --rm --network none` of the image with /bin/true, plus a kernel that "
            "jupyter_client starts in a fresh container with a sandbox's limits, until its first "
            "result",
            total([docker_run, kernel]),
        ),
        target=TARGET,
        details={
            "docker run s": docker_run.median,
            "raw kernel s": kernel.median,
            "until created s": of("created").median,
            "until the call s": of("call").median,
        },
    )
