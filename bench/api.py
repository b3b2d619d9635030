"""The API alone: looking at an interaction, and interactions that need no sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from bench.failures import NotMeasured
from bench.figures import Figure, Floor, Target
from bench.load.wire import request
from bench.processes import ProcessCost
from bench.samples import Samples
from bench.servers import Calls, Server, call, serving
from bench.world import World
from tests.support.sandlot import RunningController

GET = Target("ratio", 0.5, at_least=True)
GET_TAIL = Target("value", 20.0)
CREATE = Target("excess", 10.0)
SUSTAINED = Target("value", 100.0, at_least=True)
CLIENTS = 50
CREATORS = 16
INTERACTIONS = 100
BODY = {"model": "script/inline", "input": "Say what I say."}
_PATH = "/v1/interactions"
_MILLISECONDS = 1000.0
_BARE = "a bare FastAPI route that {} the same bytes, served by uvicorn, same clients"


@dataclass(slots=True)
class Sides:
    """What was called by turns."""

    floor: list[Calls] = field(default_factory=list[Calls])
    ours: list[Calls] = field(default_factory=list[Calls])
    cpu_seconds: dict[str, float] = field(default_factory=dict[str, float])
    """What each server worked for all its calls."""

    def rates(self) -> tuple[Samples, Samples]:
        """Answers a second in each round: ours, the floor's."""
        return self._each(lambda one: one.rate)

    def latencies(self, part: float) -> tuple[Samples, Samples]:
        """A quantile of each round in milliseconds: ours, the floor's."""
        return self._each(lambda one: one.quantile(part) * _MILLISECONDS)

    def work(self) -> dict[str, float]:
        """The CPU time of each server for one call, in milliseconds, by what it is."""
        made = {"ours": self.ours, "floor": self.floor}
        counts = {name: sum(len(one.latencies) for one in side) for name, side in made.items()}
        return {
            f"{name} CPU ms for each": self.cpu_seconds[name] / count * _MILLISECONDS
            for name, count in counts.items()
        }

    def _each(self, value: Callable[[Calls], float]) -> tuple[Samples, Samples]:
        ours, floor = (Samples(tuple(map(value, side))) for side in (self.ours, self.floor))
        return ours, floor


def measure(world: World) -> list[Figure]:
    """Four figures, from one controller."""
    with world.controller("api") as controller:
        port, key = port_of(controller), controller.api_key
        one = Creator(port, key).create(BODY)
        with serving("bench.bare_api", json.dumps(one)) as bare:
            api = Api(world, Server(port, controller.process.pid), bare, key)
            return [*api.get(), api.create(), api.sustained()]


def port_of(controller: RunningController) -> int:
    """Where it listens."""
    return int(controller.url.rpartition(":")[2])


class Creator:
    """Makes interactions one by one."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """One that has ended, as the API shows it. Raises `NotMeasured`."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"x-goog-api-key": self._key, "content-type": "application/json"}
        connection.request("POST", _PATH, json.dumps(body), headers)
        with connection.getresponse() as answer:
            found = json.loads(answer.read())
        connection.close()
        if answer.status != 200 or found["status"] not in {"completed", "in_progress"}:
            raise NotMeasured(f"The interaction came to nothing: {found}")
        return found


class Api:
    """The same calls to the controller and to the bare server, by turns."""

    def __init__(self, world: World, ours: Server, bare: Server, key: str) -> None:
        self._world = world
        self._ours = ours
        self._bare = bare
        self._key = key
        self._costs = {"ours": ProcessCost(ours.pid), "floor": ProcessCost(bare.pid)}

    def get(self) -> list[Figure]:
        """The rate and the tail of `GET /v1/interactions/{id}`."""
        ids = [self._new() for _ in range(INTERACTIONS)]
        requests = [request("GET", f"{_PATH}/{one}", self._key) for one in ids]
        first = call(self._ours.port, requests, CLIENTS)
        seconds = self._world.rounds(3, 1)
        sides = self._by_turns(requests, CLIENTS, seconds, self._world.rounds(7, 3))
        rates, tails = sides.rates(), sides.latencies(0.99)
        self._world.say(f"get: {rates[0].median:.0f}/s, floor {rates[1].median:.0f}/s")
        floor = _BARE.format("returns")
        return [
            Figure(
                name="get",
                what=f"GET {_PATH}/ID, {INTERACTIONS} interactions by turns, {CLIENTS} clients",
                unit="1/s",
                measured=rates[0],
                floor=Floor(floor, rates[1]),
                target=GET,
                details={"each looked at for the first time 1/s": first.rate, **sides.work()},
            ),
            Figure(
                name="get_p99",
                what=f"the latency that 99 % of these calls do not exceed, {CLIENTS} clients that "
                "never pause",
                unit="ms",
                measured=tails[0],
                floor=Floor(floor, tails[1]),
                target=GET_TAIL,
                details={"p50 ms": sides.latencies(0.5)[0].median},
            ),
        ]

    def create(self) -> Figure:
        """An interaction from its creation to its end, one at a time."""
        requests = [request("POST", _PATH, self._key, BODY)]
        seconds, rounds = self._world.rounds(2, 1), self._world.rounds(7, 3)
        sides = self._by_turns(requests, 1, seconds, rounds)
        ours, floor = sides.latencies(0.5)
        self._world.say(f"create: {ours.median:.1f} ms, floor {floor.median:.1f} ms")
        return Figure(
            name="create",
            what="an interaction of a model (script/inline) from its creation to its end, p50, one "
            "client",
            unit="ms",
            measured=ours,
            floor=Floor(_BARE.format("reads the call and answers"), floor),
            target=CREATE,
            details={"p99 ms": sides.latencies(0.99)[0].median},
        )

    def sustained(self) -> Figure:
        """As many of them as there is room for."""
        requests = [request("POST", _PATH, self._key, BODY)]
        seconds, rounds = self._world.rounds(5, 2), self._world.rounds(3, 1)
        sides = self._by_turns(requests, CREATORS, seconds, rounds)
        ours, floor = sides.rates()
        self._world.say(f"sustained: {ours.median:.0f}/s, floor {floor.median:.0f}/s")
        return Figure(
            name="sustained",
            what=f"the same interactions, {CREATORS} clients that never pause, stored in SQLite",
            unit="1/s",
            measured=ours,
            floor=Floor(_BARE.format("reads the call and answers"), floor),
            target=SUSTAINED,
            details={
                "p50 ms": sides.latencies(0.5)[0].median,
                "p99 ms": sides.latencies(0.99)[0].median,
                **sides.work(),
            },
        )

    def _by_turns(self, requests: list[str], clients: int, seconds: float, rounds: int) -> Sides:
        sides = Sides()
        before = self._cpu_seconds()
        for _ in range(rounds):
            sides.floor.append(call(self._bare.port, requests, clients, seconds))
            sides.ours.append(call(self._ours.port, requests, clients, seconds))
        sides.cpu_seconds = {
            name: worked - before[name] for name, worked in self._cpu_seconds().items()
        }
        return sides

    def _cpu_seconds(self) -> dict[str, float]:
        return {name: cost.cpu_seconds() for name, cost in self._costs.items()}

    def _new(self) -> str:
        return Creator(self._ours.port, self._key).create(BODY)["id"]
