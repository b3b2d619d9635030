"""The Jupyter messaging protocol, as much of it as running cells takes, over ipc sockets.

It is spoken here directly over ZeroMQ and not through jupyter_client: that costs every sandbox 6 MB
and each start 0.1 s more, and its client waits for the kernel with pauses that this one has not.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from runtime import clock

_DELIMITER = b"<IDS|MSG>"
_VERSION = "5.4"
_RECONNECT_MILLISECONDS = 5
"""The kernel makes its sockets while it starts; look for them often."""
_MAX_MESSAGE_BYTES = 128 * 1024**2
"""What is longer is lost, with what was queued behind it."""
_PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the kernel; `parent_id` is the request that it belongs to."""

    kind: str
    parent_id: str
    content: dict[str, Any]


class KernelWire:
    """The sockets to one kernel. The folder must be private: who can enter it can run code."""

    def __init__(self, context: zmq.asyncio.Context, folder: Path) -> None:
        """Write the connection file; the sockets wait for the kernel to come up."""
        self.connection_file = folder / "connection.json"
        self._key = secrets.token_hex(16)
        self._session = secrets.token_hex(8)
        self._write_connection_file(folder / "socket")
        self._shell = _open_socket(context, zmq.DEALER)
        self._shell.connect(f"ipc://{folder}/socket-1")
        self._iopub = _open_socket(context, zmq.SUB)
        self._iopub.setsockopt(zmq.SUBSCRIBE, b"")
        self._iopub_address = f"ipc://{folder}/socket-2"
        self._iopub.connect(self._iopub_address)

    def _write_connection_file(self, sockets: Path) -> None:
        connection = {
            "transport": "ipc",
            "ip": str(sockets),
            **_PORTS,
            "key": self._key,
            "signature_scheme": "hmac-sha256",
        }
        descriptor = os.open(self.connection_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(connection, file)

    def reconnect_output(self) -> None:
        """Connect the iopub channel anew: an overlong message ended the connection."""
        self._iopub.disconnect(self._iopub_address)
        self._iopub.connect(self._iopub_address)

    async def send(self, message_id: str, kind: str, content: dict[str, Any]) -> None:
        """Send a request on the shell channel."""
        header = {
            "msg_id": message_id,
            "msg_type": kind,
            "session": self._session,
            "username": "agent",
            "date": clock.now().isoformat(),
            "version": _VERSION,
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        signature = hmac.new(self._key.encode(), b"".join(parts), hashlib.sha256)
        frames = [_DELIMITER, signature.hexdigest().encode(), *parts]
        await self._shell.send_multipart(frames)

    async def receive_reply(self) -> Message | None:
        """The next message of the shell channel; None for one that cannot be read."""
        return parse_message(await self._shell.recv_multipart())

    async def receive_output(self) -> Message | None:
        """The next message of the iopub channel; None for one that cannot be read."""
        return parse_message(await self._iopub.recv_multipart())

    def close(self) -> None:
        """Close the sockets; what is under way is dropped."""
        self._shell.close(0)
        self._iopub.close(0)


def _open_socket(context: zmq.asyncio.Context, kind: int) -> zmq.asyncio.Socket:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MILLISECONDS)
    socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)
    return socket


def parse_message(frames: list[bytes]) -> Message | None:
    """Read a message; None for one without the protocol's shape.

    Signatures are not checked: code in the cell could sign as well as the kernel does.
    """
    try:
        start = frames.index(_DELIMITER) + 2
        header, parent, _, content = (json.loads(frame) for frame in frames[start : start + 4])
    except (ValueError, RecursionError):
        return None
    if not (isinstance(header, dict) and isinstance(parent, dict) and isinstance(content, dict)):
        return None
    return Message(str(header.get("msg_type")), str(parent.get("msg_id")), content)
