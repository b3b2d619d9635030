"""What callers and other sandboxes notice of a sandbox that does its worst."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from bench.attacks import ATTACKS, BEGUN, hostile_image
from bench.failures import NotMeasured
from bench.figures import Figure, Floor, Target
from bench.samples import Samples
from bench.world import World
from tests.support.sandlot import RunningController, fence, running_controller

GET = Target("value", 500.0)
CREATE = Target("value", 1000.0)
CELL = Target("ratio", 3.0)
HOSTILE = "a guest that floods its socket"
QUIET = "nobody"
CREATE_EVERY = 10
_WORK = "sum(i * i for i in range(3_000_000))"
_MILLISECONDS = 1000.0
_CREATED = {"model": "script/inline", "input": "Say what I say."}


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was noticed while one attack went on; seconds."""

    gets: list[float]
    creates: list[float]
    cells: list[float]


def measure(world: World) -> list[Figure]:
    """Three figures: the worst of all attacks."""
    seconds = float(world.rounds(10, 4))
    found: dict[str, Noticed] = {}
    with world.controller("neighbour") as controller:
        found[QUIET] = _notice(controller, seconds)
        for name, prompt in ATTACKS.items():
            with _attacked(controller, prompt):
                found[name] = _notice(controller, seconds)
            world.say(f"neighbour: {name}, {_tail(found[name].gets) * _MILLISECONDS:.0f} ms")
    found[HOSTILE] = _hostile(world, seconds)
    world.say(f"neighbour: {HOSTILE}, {_tail(found[HOSTILE].gets) * _MILLISECONDS:.0f} ms")
    return _figures(found)


def _hostile(world: World, seconds: float) -> Noticed:
    """The calls while a guest floods; there is no other sandbox then, so no cells."""
    state_dir = world.folder_of("hostile") / "state"
    with (
        hostile_image(world.image) as image,
        running_controller(state_dir, f"sandbox: {{image: '{image}'}}\n") as controller,
    ):
        started = controller.start("hello")
        _wait_until(lambda: _steps(controller, started.id), "no flood came")
        return _notice(controller, seconds, with_cells=False)


def _steps(controller: RunningController, interaction_id: str) -> bool:
    for event in controller.client.interactions.stream(interaction_id):
        if event.event_type == "step.delta":
            return True
    return False


@contextmanager
def _attacked(controller: RunningController, prompt: str) -> Generator[None]:
    started = controller.start(prompt)
    controller.wait_for_step(started.id, BEGUN)
    yield
    controller.client.interactions.cancel(started.id)
    environment = controller.client.interactions.get(started.id).environment_id
    if environment is not None:
        controller.client.environments.delete(environment)


def _notice(controller: RunningController, seconds: float, *, with_cells: bool = True) -> Noticed:
    """Calls of one client that pauses 20 ms each time, then cells in a sandbox of its own."""
    port = int(controller.url.rpartition(":")[2])
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"x-goog-api-key": controller.api_key or "", "content-type": "application/json"}
    body = json.dumps(_CREATED)

    def call(method: str, path: str, content: str | None = None) -> tuple[float, Any]:
        begun = time.perf_counter()
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        read = answer.read()
        if answer.status != 200:
            raise NotMeasured(f"{method} {path}: {answer.status} {read[:200]!r}")
        return time.perf_counter() - begun, json.loads(read)

    _, made = call("POST", "/v1/interactions", body)
    found = Noticed([], [], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        found.gets.append(call("GET", f"/v1/interactions/{made['id']}")[0])
        if len(found.gets) % CREATE_EVERY == 0:
            found.creates.append(call("POST", "/v1/interactions", body)[0])
        time.sleep(0.02)
    connection.close()
    if with_cells:
        found.cells.extend(_cells(controller))
    return found


def _cells(controller: RunningController) -> list[float]:
    first = controller.run(fence("python", "1"))
    seconds: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        run = controller.run(fence("python", _WORK), first.environment_id)
        seconds.append(time.perf_counter() - begun)
        if run.status != "completed":
            raise NotMeasured(f"The cell of a neighbour is {run.status}: {run.errors}")
    controller.client.environments.delete(first.environment_id or "")
    return seconds


def _figures(found: dict[str, Noticed]) -> list[Figure]:
    quiet = found.pop(QUIET)
    gets = {name: _tail(one.gets) * _MILLISECONDS for name, one in found.items()}
    creates = {name: _tail(one.creates) * _MILLISECONDS for name, one in found.items()}
    cells = {name: one.cells for name, one in found.items() if one.cells}
    slowest = max(cells, key=lambda name: Samples(tuple(cells[name])).median)
    return [
        _calls("neighbour", "GET /v1/interactions/ID", gets, quiet.gets, GET),
        _calls("neighbour_create", "creating an interaction", creates, quiet.creates, CREATE),
        Figure(
            name="neighbour_cell",
            what=f"a cell of a third of a second while another sandbox does its worst: {slowest}",
            unit="s",
            measured=Samples(tuple(cells[slowest])),
            target=CELL,
            floor=Floor("the same cell while nobody else does anything", _samples(quiet.cells)),
            details={f"{name} s": _samples(values).median for name, values in cells.items()},
        ),
    ]


def _calls(
    name: str, what: str, tails: dict[str, float], quiet: list[float], target: Target
) -> Figure:
    worst = max(tails, key=lambda attack: tails[attack])
    return Figure(
        name=name,
        what=f"{what}: what 99 % of the calls do not exceed while a sandbox does its worst: "
        f"{worst}",
        unit="ms",
        measured=Samples((tails[worst],)),
        target=target,
        details={
            **{f"{attack} ms": tail for attack, tail in tails.items()},
            "while nobody does anything ms": _tail(quiet) * _MILLISECONDS,
        },
    )


def _samples(values: list[float]) -> Samples:
    return Samples(tuple(values))


def _tail(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def _wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            raise NotMeasured(otherwise)
        time.sleep(0.1)
