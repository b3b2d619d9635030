"""Event streams: how soon the first event comes, and what a thousand of them cost."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from bench.api import Creator, port_of
from bench.failures import NotMeasured
from bench.figures import Figure, Floor, Target
from bench.load.streams import Reader
from bench.load.wire import request
from bench.processes import ProcessCost
from bench.samples import Samples
from bench.servers import Server, reading, serving
from bench.world import World

FIRST_EVENT = Target("value", 20.0)
FAN_OUT = Target("value", 250.0)
MEMORY = Target("value", 128.0)
STREAMS = 1000
EVENT_SECONDS = 0.25
MODEL = "local/clock"
_MILLISECONDS = 1000.0
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Crowd:
    """What many streams of one log were like."""

    delays: list[float]
    """Of every event on every stream, in seconds."""
    open_seconds: float
    memory_bytes: int
    """By how much the server grew when they were opened."""
    cpu_seconds: float
    """What the server worked for the events."""

    def quantile(self, part: float) -> float:
        """The delay that this part of all events did not exceed, in milliseconds."""
        ordered = sorted(self.delays)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * _MILLISECONDS


def measure(world: World) -> list[Figure]:
    """Three figures, from one controller."""
    with (
        serving("bench.model_server") as model,
        world.controller("streams", _config(model)) as ours,
    ):
        server = Server(port_of(ours), ours.process.pid)
        streams = Streams(world, server, ours.api_key, model)
        return [streams.first_event(), *streams.crowds()]


def _config(model: Server) -> str:
    provider = f'{{kind: openai_compatible, base_url: "{model.url}/v1"}}'
    return f"models: {{providers: {{local: {provider}}}}}\n"


class Streams:
    """Streams of the controller, beside those of the model and of a bare server."""

    def __init__(self, world: World, ours: Server, key: str, model: Server) -> None:
        self._world = world
        self._ours = ours
        self._key = key
        self._model = model
        self._creator = Creator(ours.port, key)

    def first_event(self) -> Figure:
        """The delay of the first token of a model."""
        ask = json.dumps({"count": 1, "seconds": 0.02})
        ours = {"model": MODEL, "input": ask, "stream": True}
        bare = {"model": "clock", "stream": True, "messages": [{"role": "user", "content": ask}]}
        through = request("POST", "/v1/interactions", self._key, ours)
        direct = request("POST", "/v1/chat/completions", self._key, bare)
        first_delay(self._ours.port, through)  # the provider's SDK is loaded with its first call
        floors: list[float] = []
        delays: list[float] = []
        for _ in range(self._world.rounds(200, 40)):
            floors.append(first_delay(self._model.port, direct) * _MILLISECONDS)
            delays.append(first_delay(self._ours.port, through) * _MILLISECONDS)
        self._world.say(f"first_event: {statistics.median(delays):.1f} ms")
        return Figure(
            name="first_event",
            what="from the first token that a model sends to its event on the stream of a new "
            "interaction, stored before",
            unit="ms",
            measured=Samples(tuple(delays)),
            floor=Floor(
                "the same token read straight from the model's server", Samples(tuple(floors))
            ),
            target=FIRST_EVENT,
        )

    def crowds(self) -> list[Figure]:
        """The delays of many streams, and their memory."""
        ours: list[Crowd] = []
        floors: list[Crowd] = []
        count = self._world.rounds(40, 12)
        for _ in range(self._world.rounds(3, 1)):
            floors.append(self._bare_crowd(count))
            ours.append(self._our_crowd(count))
            pair = ours[-1].quantile(0.99), floors[-1].quantile(0.99)
            self._world.say(f"fan_out: p99 {pair[0]:.0f} ms, floor {pair[1]:.0f} ms")
        return [_fan_out(ours, floors, count), _memory(ours, floors)]

    def _our_crowd(self, count: int) -> Crowd:
        ask = json.dumps({"count": count, "seconds": EVENT_SECONDS, "wait": True})
        begun = self._creator.create({"model": MODEL, "input": ask, "background": True})
        path = f"/v1/interactions/{begun['id']}?stream=true"
        wanted = request("GET", path, self._key)
        return crowd(self._ours, wanted, lambda: _post(self._model.port, "/go", {}), count)

    def _bare_crowd(self, count: int) -> Crowd:
        ticks = {"count": count, "seconds": EVENT_SECONDS}
        with serving("bench.bare_api", "{}") as bare:
            wanted = request("GET", "/stream", self._key)
            return crowd(bare, wanted, lambda: _post(bare.port, "/ticks", ticks), count)


def first_delay(port: int, wanted: str) -> float:
    """Seconds from the first moment in a stream to its arrival. Raises `NotMeasured`."""
    reader = Reader(port, wanted.encode())
    while reader.read():
        pass
    reader.close()
    if not reader.delays:
        raise NotMeasured("A stream ended without a token.")
    return reader.delays[0]


def crowd(server: Server, wanted: str, begin: Callable[[], None], count: int) -> Crowd:
    """Open all streams, let the events begin, and read to the end. Raises `NotMeasured`."""
    cost = ProcessCost(server.pid)
    before = cost.resident()
    with reading(server.port, wanted, STREAMS) as readers:
        readers.wait_open()
        grown = cost.resident() - before
        worked = cost.cpu_seconds()
        begin()
        delays = readers.delays()
        worked = cost.cpu_seconds() - worked
    if any(len(one) != count for one in delays):
        seen = sorted({len(one) for one in delays})
        raise NotMeasured(f"Of {count} events streams had {seen}.")
    return Crowd([delay for one in delays for delay in one], readers.open_seconds, grown, worked)


def _post(port: int, path: str, body: dict[str, Any]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    connection.getresponse().read()
    connection.close()


def _samples(crowds: list[Crowd], part: float) -> Samples:
    return Samples(tuple(one.quantile(part) for one in crowds))


def _fan_out(ours: list[Crowd], floors: list[Crowd], count: int) -> Figure:
    work = [one.cpu_seconds * 1e6 / len(one.delays) for one in ours]
    return Figure(
        name="fan_out",
        what=f"{STREAMS} streams of one interaction, {count} tokens of a model, one each "
        f"{EVENT_SECONDS * _MILLISECONDS:g} ms: the delay from the token to the stream that 99 % "
        "of all do not exceed",
        unit="ms",
        measured=_samples(ours, 0.99),
        floor=Floor(
            "a bare FastAPI route that streams such events out of its memory, same clients",
            _samples(floors, 0.99),
        ),
        target=FAN_OUT,
        details={
            "p50 ms": _samples(ours, 0.5).median,
            "greatest ms": _samples(ours, 1).greatest,
            "until all were open s": statistics.median(one.open_seconds for one in ours),
            "controller's CPU us for each event on each stream": statistics.median(work),
        },
    )


def _memory(ours: list[Crowd], floors: list[Crowd]) -> Figure:
    def each(crowds: list[Crowd]) -> Samples:
        # Later ones find memory that was used before.
        return Samples((max(one.memory_bytes for one in crowds) / STREAMS / _KIB,))

    return Figure(
        name="stream_memory",
        what=f"by how much the controller grows for each of {STREAMS} open streams",
        unit="KiB",
        measured=each(ours),
        floor=Floor("the bare server with as many streams", each(floors)),
        target=MEMORY,
    )
