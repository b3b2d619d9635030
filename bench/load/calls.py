"""`python -m bench.load.calls`: clients that call, wait for the answer, and call again.

The job is `{port, clients, requests, seconds}`: each client sends the requests by turns until the
time is over; without `seconds` every request is sent once. The result is `{latencies, seconds,
refused}`, in seconds, `refused` the first answer that was not 200.
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from bench.load.wire import answer_length, status

PATIENCE_SECONDS = 60
_PIECE = 256 * 1024


class Caller:
    """One client on one connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._sent = 0.0

    def fileno(self) -> int:
        """Of its connection."""
        return self._socket.fileno()

    def call(self, request: bytes) -> None:
        """Send; the answer is read later."""
        self._received = b""
        self._sent = time.perf_counter()
        self._socket.sendall(request)

    def read(self) -> tuple[float, bytes] | None:
        """Take in what has come: how long the answer took, and the answer, once it is whole."""
        piece = self._socket.recv(_PIECE)
        if not piece:
            raise ConnectionError(f"The server hung up after {self._received[:200]!r}.")
        self._received += piece
        length = answer_length(self._received)
        if length is None or len(self._received) < length:
            return None
        return time.perf_counter() - self._sent, self._received

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Load:
    """Many callers at once."""

    def __init__(self, port: int, clients: int, requests: Iterator[bytes]) -> None:
        self._callers = {caller.fileno(): caller for caller in map(Caller, [port] * clients)}
        self._poll = select.epoll()
        self._requests = requests
        self.latencies: list[float] = []
        self.refused: str | None = None

    def run(self, until: float | None) -> float:
        """Call until a moment, or until no request is left; how long that took."""
        started = time.perf_counter()
        for caller in list(self._callers.values()):
            self._poll.register(caller.fileno(), select.EPOLLIN)
            self._next(caller)
        while self._callers:
            ready = self._poll.poll(PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError(f"No answer for {PATIENCE_SECONDS} s.")
            for descriptor, _ in ready:
                self._take(self._callers[descriptor], until)
        return time.perf_counter() - started

    def _take(self, caller: Caller, until: float | None) -> None:
        found = caller.read()
        if found is None:
            return
        latency, answer = found
        self.latencies.append(latency)
        if self.refused is None and status(answer) != 200:
            self.refused = answer[:500].decode("utf-8", "replace")
        if until is not None and time.perf_counter() >= until:
            self._end(caller)
        else:
            self._next(caller)

    def _next(self, caller: Caller) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(caller)
        else:
            caller.call(request)

    def _end(self, caller: Caller) -> None:
        del self._callers[caller.fileno()]
        self._poll.unregister(caller.fileno())
        caller.close()


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Carry one job out."""
    requests = [text.encode() for text in job["requests"]]
    seconds = job.get("seconds")
    supply = iter(requests) if seconds is None else itertools.cycle(requests)
    load = Load(job["port"], job["clients"], supply)
    took = load.run(None if seconds is None else time.perf_counter() + seconds)
    return {"latencies": load.latencies, "seconds": took, "refused": load.refused}


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
