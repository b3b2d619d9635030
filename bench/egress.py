"""What the egress proxy costs: bytes a second, time added to a request, and many at once."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from pydantic import SecretStr

from bench.egress_caller import HOST, Route, download, seconds
from bench.figures import Figure, Floor, Target
from bench.processes import ProcessCost
from bench.samples import Samples
from bench.world import World
from runtime.egress.protocol import ProxySettings
from runtime.egress.proxy import EgressProxy
from runtime.egress.rules import HeaderInjection, HostRule, Rules
from tests.support.certificates import Certificates

MIB = 1024**2
SPEED = Target("ratio", 0.8, at_least=True)
CALL = Target("excess", 3.0)
SECRET = Target("excess", 10.0)
MANY = Target("value", 3.0)
ENVIRONMENTS = 50
_MILLISECONDS = 1000.0
_OPEN = Rules(hosts=(HostRule(domain=HOST),), allow_internal=(HOST,))
_HEADER = HeaderInjection(name="Authorization", value=SecretStr("Bearer 0123456789abcdef"))
_WITH_SECRET = Rules(hosts=(HostRule(domain=HOST, headers=(_HEADER,)),), allow_internal=(HOST,))


@dataclass(frozen=True, slots=True)
class Routes:
    """All ways to the server, and many environments of their own."""

    plain: Route
    secure: Route
    through: Route
    secure_through: Route
    with_secret: Route
    many: tuple[Route, ...]


def measure(world: World) -> list[Figure]:
    """Five figures, from one proxy process."""
    certificates = Certificates()
    with _server(world, certificates) as ports:
        return anyio.run(_measure, world, certificates, ports)


async def _measure(
    world: World, certificates: Certificates, ports: tuple[int, int]
) -> list[Figure]:
    proxy = EgressProxy(ProxySettings(certificates=certificates.pem))
    figures: list[Figure] = []
    async with anyio.create_task_group() as tasks, proxy.running():
        tasks.start_soon(_read_events, proxy)
        routes = await _routes(world, proxy, certificates, ports)
        figures += [
            *await anyio.to_thread.run_sync(_speed, world, routes, ProcessCost(proxy.pid or 0)),
            *await anyio.to_thread.run_sync(_calls, world, routes),
        ]
        slowest = await anyio.to_thread.run_sync(_many, world, routes)
        memory = (await proxy.health()).memory_bytes / MIB
        figures.append(_many_figure(slowest, memory))
        tasks.cancel_scope.cancel()
    return figures


async def _read_events(proxy: EgressProxy) -> None:
    async for _ in proxy.events():
        pass


async def _routes(
    world: World, proxy: EgressProxy, certificates: Certificates, ports: tuple[int, int]
) -> Routes:
    folder = world.folder_of("egress")
    plain, secure = ports
    egress = await proxy.open("open", folder / "open", _OPEN)
    secret = await proxy.open("secret", folder / "secret", _WITH_SECRET)
    own = ssl.create_default_context(cadata=secret.certificate)
    many = [
        (await proxy.open(f"env{number}", folder / str(number), _OPEN)).path
        for number in range(ENVIRONMENTS)
    ]
    return Routes(
        plain=Route(plain),
        secure=Route(secure, tls=certificates.trusting),
        through=Route(plain, egress.path),
        secure_through=Route(secure, egress.path, certificates.trusting),
        with_secret=Route(secure, secret.path, own),
        many=tuple(Route(plain, path) for path in many),
    )


def _speed(world: World, routes: Routes, proxy: ProcessCost) -> list[Figure]:
    size, rounds = (64 if world.quick else 256) * MIB, world.rounds(9, 3)
    world.say(f"egress: {rounds} downloads of {size // MIB} MiB each way")
    ways = (routes.secure, routes.secure_through, routes.plain, routes.through)
    before = proxy.cpu_seconds()
    taken = [[download(way, size) for way in ways] for _ in range(rounds)]
    work = (proxy.cpu_seconds() - before) / (2 * rounds * size / MIB / 1024)
    speeds = [
        Samples(tuple(size / MIB / one for one in column)) for column in zip(*taken, strict=True)
    ]
    return [
        _speed_figure("egress", "https:// through a tunnel", speeds[0], speeds[1], work),
        _speed_figure("egress_plain", "http://", speeds[2], speeds[3], work),
    ]


def _speed_figure(name: str, how: str, floor: Samples, measured: Samples, work: float) -> Figure:
    return Figure(
        name=name,
        what=f"a long answer of a server on loopback through the egress proxy, {how}",
        unit="MiB/s",
        measured=measured,
        floor=Floor("the same answer to the same client, directly", floor),
        target=SPEED,
        details={"CPU s of the proxy per GiB, both figures": work},
    )


def _calls(world: World, routes: Routes) -> list[Figure]:
    rounds = world.rounds(1000, 200)
    world.say(f"egress: {rounds} requests each way")
    ways = (routes.plain, routes.through, routes.secure, routes.with_secret)
    callers = [way.open() for way in ways]
    columns: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, caller, column in zip(ways, callers, columns, strict=True):
            host = f"{HOST}:{way.port}"
            column.append(seconds(lambda caller=caller, host=host: caller.get(100, host)))
    for caller in callers:
        caller.close()
    plain, through, secure, secret = (
        Samples(tuple(column)).times(_MILLISECONDS) for column in columns
    )
    return [
        _call_figure("egress_call", "without a secret", plain, through, CALL),
        _call_figure("egress_secret", "that is given a secret", secure, secret, SECRET),
    ]


def _call_figure(name: str, how: str, floor: Samples, measured: Samples, target: Target) -> Figure:
    return Figure(
        name=name,
        what=f"a request {how} on a kept connection through the egress proxy",
        unit="ms",
        measured=measured,
        floor=Floor("the same request of the same client, directly", floor),
        target=target,
    )


def _many(world: World, routes: Routes) -> Samples:
    """Of each round, how much longer the slowest environment takes than the middle one."""
    size, rounds = (2 if world.quick else 8) * MIB, world.rounds(5, 2)
    world.say(f"egress: {ENVIRONMENTS} environments that pull {size // MIB} MiB at once")
    found: list[float] = []
    with closing(routes.plain.open()) as caller:
        caller.get(1, HOST)
    with ThreadPoolExecutor(ENVIRONMENTS) as threads:
        for _ in range(rounds):
            taken = Samples(tuple(threads.map(lambda way: download(way, size), routes.many)))
            found.append(taken.greatest / taken.median)
    return Samples(tuple(found))


def _many_figure(slowest: Samples, memory: float) -> Figure:
    return Figure(
        name="egress_many",
        what=f"{ENVIRONMENTS} environments that pull at once: the slowest beside the middle one",
        unit="x",
        measured=slowest,
        target=MANY,
        details={"memory of the proxy MiB": memory},
    )


@contextmanager
def _server(world: World, certificates: Certificates) -> Generator[tuple[int, int]]:
    """The ports of a server in a process of its own."""
    pem = world.folder_of("egress") / "server.pem"
    Path(pem).write_bytes(certificates.issued(HOST))
    command = [sys.executable, "-m", "bench.egress_server", str(pem)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            plain, secure = process.stdout.readline().split()
            yield int(plain), int(secure)
        finally:
            process.kill()
