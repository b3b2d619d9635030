"""The Jupyter messaging protocol, as much of it as running cells takes, over ipc sockets.

jupyter_client writes the connection file, and makes, signs and reads the messages. The sockets are
waited on directly, because its kernel client polls for a kernel to come up, with pauses.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.connect import write_connection_file
from jupyter_client.session import Session

_RECONNECT_MILLISECONDS = 5
"""The kernel makes its sockets while it starts; look for them often."""
_MAX_MESSAGE_BYTES = 128 * 1024**2
"""What is longer is lost, with what was queued behind it."""
_SHELL, _IOPUB = 1, 2


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
        key = secrets.token_hex(16).encode()
        self._session = Session(key=key, username="agent")
        write_connection_file(
            str(self.connection_file),
            ip=str(folder / "socket"),
            transport="ipc",
            key=key,
            shell_port=_SHELL,
            iopub_port=_IOPUB,
            stdin_port=3,
            control_port=4,
            hb_port=5,
        )
        self._shell = _open_socket(context, zmq.DEALER)
        self._shell.connect(f"ipc://{folder}/socket-{_SHELL}")
        self._iopub = _open_socket(context, zmq.SUB)
        self._iopub.setsockopt(zmq.SUBSCRIBE, b"")
        self._iopub_address = f"ipc://{folder}/socket-{_IOPUB}"
        self._iopub.connect(self._iopub_address)

    def reconnect_output(self) -> None:
        """Connect the iopub channel anew: an overlong message ended the connection."""
        self._iopub.disconnect(self._iopub_address)
        self._iopub.connect(self._iopub_address)

    async def send(self, message_id: str, kind: str, content: dict[str, Any]) -> None:
        """Send a request on the shell channel."""
        header = {**self._session.msg_header(kind), "msg_id": message_id}
        message = self._session.msg(kind, content, header=header)
        await self._shell.send_multipart(self._session.serialize(message))

    async def receive_reply(self) -> Message | None:
        """The next message of the shell channel; None for one that cannot be read."""
        return read_message(self._session, await self._shell.recv_multipart())

    async def receive_output(self) -> Message | None:
        """The next message of the iopub channel; None for one that cannot be read."""
        return read_message(self._session, await self._iopub.recv_multipart())

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


def read_message(session: Session, frames: list[bytes]) -> Message | None:
    """Read a message; None for one that is malformed or not signed with the kernel's key."""
    try:
        _, parts = session.feed_identities(frames)
        found: dict[str, Any] = session.deserialize(parts)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    header, parent, content = (found.get(part) for part in ("header", "parent_header", "content"))
    if not (isinstance(header, dict) and isinstance(parent, dict) and isinstance(content, dict)):
        return None
    return Message(str(header.get("msg_type")), str(parent.get("msg_id")), content)
