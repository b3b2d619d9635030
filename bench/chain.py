"""What a turn costs behind many others."""

from __future__ import annotations

from typing import Any

from bench.api import BODY, Creator, port_of
from bench.figures import Figure, Floor, Target
from bench.load.wire import request
from bench.processes import ProcessCost
from bench.samples import Samples
from bench.servers import Calls, call
from bench.world import World

TARGET = Target("ratio", 2.0)
TURNS = 200
ROUND_SECONDS = 2.0
"""Linux counts CPU time in hundredths of a second: a round has to have many."""
_MILLISECONDS = 1000.0


def measure(world: World) -> list[Figure]:
    """One figure. Branches from turn 1 and from turn 199 are made by turns."""
    with world.controller("chain") as controller:
        port, key = port_of(controller), controller.api_key
        creator = Creator(port, key)
        first = last = creator.create(BODY)["id"]
        for _ in range(TURNS - 2):
            last = creator.create(_next(last))["id"]
        early, late = (
            [request("POST", "/v1/interactions", key, _next(one))] for one in (first, last)
        )
        cost = ProcessCost(controller.process.pid)
        second, last_turn = Turns(cost), Turns(cost)
        for _ in range(world.rounds(7, 3)):
            second.add(port, early)
            last_turn.add(port, late)
    ours, floor = last_turn.work(), second.work()
    world.say(f"chain: turn {TURNS} {ours.median:.1f} CPU ms, turn 2 {floor.median:.1f} CPU ms")
    return [
        Figure(
            name="chain",
            what=f"turn {TURNS} of a conversation, by previous_interaction_id, from its creation "
            "to its end: the controller's CPU time",
            unit="ms",
            measured=ours,
            floor=Floor("turn 2 of the same conversation", floor),
            target=TARGET,
            details={
                f"until the end of turn {TURNS} ms": last_turn.latency().median,
                "until the end of turn 2 ms": second.latency().median,
            },
        )
    ]


class Turns:
    """The same turn many times, one at a time."""

    def __init__(self, cost: ProcessCost) -> None:
        self._cost = cost
        self._rounds: list[Calls] = []
        self._cpu_seconds: list[float] = []

    def add(self, port: int, requests: list[str], seconds: float = ROUND_SECONDS) -> None:
        """One more round."""
        before = self._cost.cpu_seconds()
        self._rounds.append(call(port, requests, seconds=seconds))
        self._cpu_seconds.append(self._cost.cpu_seconds() - before)

    def latency(self) -> Samples:
        """The median of each round, in milliseconds."""
        return Samples(tuple(one.quantile(0.5) * _MILLISECONDS for one in self._rounds))

    def work(self) -> Samples:
        """The controller's CPU time for one turn in each round, in milliseconds."""
        rounds = zip(self._cpu_seconds, self._rounds, strict=True)
        return Samples(
            tuple(seconds / len(one.latencies) * _MILLISECONDS for seconds, one in rounds)
        )


def _next(previous: str) -> dict[str, Any]:
    return {**BODY, "previous_interaction_id": previous}
