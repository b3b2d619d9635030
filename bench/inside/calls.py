"""Times one cell and one command as the loop of a sandbox sees them, beside raw ones.

It runs as the first process of a container: the real nursery starts the real hands, this module
stands where the supervisor does, and the raw kernel has the place of the browser. One call of each
kind after the other, so that what else the machine does hits all alike. Prints lists of seconds.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio

from bench.inside.raw_kernel import CELL, RESULT, raw_kernel, run_cell
from runtime.guest.channel import Channel, Ends
from runtime.guest.nursery import Nursery, NurseryClient
from runtime.guest.roles import BROWSER, HANDS
from runtime.guest.services import hands_main

WARM_UP = 20
TIMEOUT_SECONDS = 60
_SECONDS = struct.Struct("d")
_RAW_CELL, _RAW_FORK = b"c", b"f"


def main() -> int:
    """Measure as many calls of each kind as the first argument says."""
    count = int(sys.argv[1])
    nursery = Nursery({"hands": hands_main, "browser": raw_main}, partial(measure, count))
    return nursery.run()


def raw_main(ends: Ends) -> None:
    """Answer every request with the seconds that the raw thing took."""
    line = ends.frames
    with raw_kernel() as client:
        actions: Mapping[bytes, Callable[[], Any]] = {
            _RAW_CELL: partial(run_cell, client),
            _RAW_FORK: partial(subprocess.run, ["/bin/true"], check=True),
        }
        while request := line.recv(1):
            started = time.perf_counter()
            actions[request]()
            line.sendall(_SECONDS.pack(time.perf_counter() - started))


def measure(count: int, control: socket.socket) -> None:
    """In the place of the supervisor: print the seconds of every call as JSON."""
    print(json.dumps(anyio.run(_measure, count, NurseryClient(control))))
    sys.stdout.flush()


async def _measure(count: int, nursery: NurseryClient) -> dict[str, list[float]]:
    raw = nursery.spawn(BROWSER).frames
    channel = await Channel.over(nursery.spawn(HANDS), _decline)
    found: dict[str, list[float]] = {"cell": [], "raw cell": [], "bash": [], "raw fork": []}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(channel.run)
        await channel.operate("configure", {"variables": {}})
        for number in range(WARM_UP + count):
            seconds = {
                "raw cell": _raw(raw, _RAW_CELL),
                "cell": await _call(channel, "python", CELL, RESULT),
                "raw fork": _raw(raw, _RAW_FORK),
                "bash": await _call(channel, "bash", "true", ""),
            }
            if number >= WARM_UP:
                for name, value in seconds.items():
                    found[name].append(value)
        tasks.cancel_scope.cancel()
    return found


def _raw(line: socket.socket, request: bytes) -> float:
    line.sendall(request)
    return _SECONDS.unpack(line.recv(_SECONDS.size, socket.MSG_WAITALL))[0]


async def _call(channel: Channel, language: str, code: str, expected: str) -> float:
    arguments = {"language": language, "code": code, "timeout_seconds": TIMEOUT_SECONDS}
    started = time.perf_counter()
    result = await channel.call("code_execution", arguments, _ignore)
    seconds = time.perf_counter() - started
    if result.is_error or result.text.strip() != expected:
        raise RuntimeError(f"{language} {code!r} gave {result.text!r}, not {expected!r}")
    return seconds


async def _ignore(text: str) -> None:
    """Live output is not looked at."""


async def _decline(name: str, arguments: dict[str, Any]) -> Any:
    raise RuntimeError(f"the hands asked for {name}")


if __name__ == "__main__":
    sys.exit(main())
