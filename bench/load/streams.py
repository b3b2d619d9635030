"""`python -m bench.load.streams`: clients that read one event stream each, all at once.

The events carry the moment at which they were made, as `@SECONDS;` of the monotonic clock that all
processes of a machine share. The job is `{port, streams, request}`. Prints `open SECONDS` once
every stream has begun, then, when all have ended, `{delays}`: for each stream the seconds from
each moment to its arrival here.
"""

from __future__ import annotations

import json
import re
import resource
import select
import socket
import sys
import time
from typing import Any

PATIENCE_SECONDS = 60
_MOMENT = re.compile(rb"@([0-9]+\.[0-9]+);")
_LONGEST_MARK = 32
_PIECE = 64 * 1024
_SPARE_FILES = 64


class Reader:
    """One stream on one connection."""

    def __init__(self, port: int, request: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(request)
        self._tail = b""
        self.has_begun = False
        self.delays: list[float] = []

    def fileno(self) -> int:
        """Of its connection."""
        return self._socket.fileno()

    def read(self) -> bool:
        """Take in what has come; whether there is more to come."""
        piece = self._socket.recv(_PIECE)
        now = time.monotonic()
        self.has_begun = self.has_begun or b"\n\n" in piece
        data = self._tail + piece
        end = 0
        for found in _MOMENT.finditer(data):
            self.delays.append(now - float(found[1]))
            end = found.end()
        self._tail = data[max(end, len(data) - _LONGEST_MARK) :]
        return bool(piece) and not data.endswith(b"0\r\n\r\n")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Carry one job out."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, job["streams"] + _SPARE_FILES), hard))
    started = time.monotonic()
    request = job["request"].encode()
    readers = [Reader(job["port"], request) for _ in range(job["streams"])]
    unbegun = len(readers)
    poll = select.epoll()
    for reader in readers:
        poll.register(reader.fileno(), select.EPOLLIN)
    by_file = {reader.fileno(): reader for reader in readers}
    while by_file:
        ready = poll.poll(PATIENCE_SECONDS)
        if not ready:
            raise TimeoutError(f"Nothing on {len(by_file)} streams for {PATIENCE_SECONDS} s.")
        for descriptor, _ in ready:
            reader, had_begun = by_file[descriptor], by_file[descriptor].has_begun
            if not reader.read():
                poll.unregister(descriptor)
                del by_file[descriptor]
                reader.close()
            if reader.has_begun and not had_begun:
                unbegun -= 1
                if unbegun == 0:
                    print(f"open {time.monotonic() - started:.3f}", flush=True)
    return {"delays": [reader.delays for reader in readers]}


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
