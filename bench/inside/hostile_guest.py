"""A guest that does nothing but harm: floods its socket with all that a controller has to read.

It takes the place of `runtime.guest` in an image of its own and knows the protocol by heart. What
it is handed it never does; a run of it never ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
from typing import Any

SOCKET = "/run/sandlot/gateway.sock"
SUPERVISOR = 900
EVENTS_EACH = 500
KNOCKERS = 4
_DELTA = {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "x" * 40}}
_START = {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}}


def frame(message: dict[str, Any]) -> bytes:
    """The bytes of one message."""
    body = json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


def read(connection: socket.socket) -> dict[str, Any]:
    """The next message."""
    (length,) = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))
    return json.loads(connection.recv(length, socket.MSG_WAITALL))


def wait_for_run(connection: socket.socket) -> str:
    """Be bound like any other guest; the id of the run that is to be done."""
    while True:
        message = read(connection)
        if message["type"] == "bind":
            connection.sendall(frame({"type": "bound"}))
        if message["type"] == "start_run":
            return message["spec"]["run_id"]


def flood(connection: socket.socket, run_id: str) -> None:
    """Events, answers that nobody asked for, and reports, as fast as they are taken."""
    junk = [[] for _ in range(100_000)]
    answer = frame({"type": "reply", "request_id": "r0", "value": junk})
    report = frame({"type": "report"}) * 1000
    number = 1
    while True:
        first = [_START] if number == 1 else [_DELTA]
        events = [*first, *[_DELTA] * (EVENTS_EACH - 1)]
        message = {"type": "run_events", "run_id": run_id, "first": number, "events": events}
        connection.sendall(frame(message))
        number += len(events)
        for _ in range(4):
            connection.sendall(answer)
            connection.sendall(report)


def knock() -> None:
    """Connect, say nonsense, connect again."""
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(SOCKET)
            connection.sendall(b"\x00\x00\x00\x02{}")
            connection.recv(1)


def drain(connection: socket.socket) -> None:
    """Take what the controller says and do nothing of it."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            continue


def main(protocol: int) -> None:
    """Harm until killed."""
    os.setgid(SUPERVISOR)
    os.setuid(SUPERVISOR)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(SOCKET)
        hello = {"type": "hello", "protocol": protocol, "guest_version": "0", "boot_id": "h"}
        connection.sendall(frame(hello))
        run_id = wait_for_run(connection)
        for target in [knock] * KNOCKERS:
            threading.Thread(target=target, daemon=True).start()
        threading.Thread(target=drain, args=[connection], daemon=True).start()
        with contextlib.suppress(OSError):
            flood(connection, run_id)
    time.sleep(600)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
