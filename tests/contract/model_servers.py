"""A small HTTP server on loopback that answers as it is told and keeps what it was asked.

It speaks HTTP/1.1 over real sockets with chunked bodies, so that what is tested against it meets
the same framing, stalls and broken connections as with a provider.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import h11
from anyio.abc import SocketStream

STALL = "stall"
"""In a reply's chunks: send nothing more, keep the connection open."""
BREAK = "break"
"""In a reply's chunks: close the connection in the middle of the body."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    chunks: Sequence[str] = ()
    headers: dict[str, str] = field(default_factory=dict[str, str])
    content_type: str = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class ModelServer:
    """Gives its replies one after another, the last one again and again."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = list(replies)
        self.asked: list[Asked] = []
        self.address = ""
        self.hung_up = anyio.Event()

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            connection = h11.Connection(h11.SERVER)
            while (request := await self._read(connection, stream)) is not None:
                self.asked.append(request)
                reply = self._replies[min(len(self.asked), len(self._replies)) - 1]
                if not await self._answer(connection, stream, reply):
                    return
                connection.start_next_cycle()

    async def _read(self, connection: h11.Connection, stream: SocketStream) -> Asked | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            match event:
                case h11.NEED_DATA:
                    try:
                        connection.receive_data(await stream.receive())
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        return None
                case h11.Request():
                    head = event
                case h11.Data():
                    body += bytes(event.data)
                case h11.EndOfMessage():
                    assert head is not None
                    headers = {name.decode(): value.decode() for name, value in head.headers}
                    return Asked(head.target.decode(), headers, json.loads(body or b"{}"))
                case _:
                    return None

    async def _answer(self, connection: h11.Connection, stream: SocketStream, reply: Reply) -> bool:
        headers = {"content-type": reply.content_type, "transfer-encoding": "chunked"}
        head = h11.Response(
            status_code=reply.status, headers=list({**headers, **reply.headers}.items())
        )
        await stream.send(connection.send(head) or b"")
        for chunk in reply.chunks:
            if chunk == BREAK:
                return False
            if chunk == STALL:
                await self._wait_for_hang_up(stream)
                return False
            try:
                await stream.send(connection.send(h11.Data(data=chunk.encode())) or b"")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self.hung_up.set()
                return False
        await stream.send(connection.send(h11.EndOfMessage()) or b"")
        return True

    async def _wait_for_hang_up(self, stream: SocketStream) -> None:
        try:
            await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.hung_up.set()


@asynccontextmanager
async def model_server(*replies: Reply) -> AsyncIterator[ModelServer]:
    """A server that listens on a free port of 127.0.0.1."""
    server = ModelServer(replies)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    server.address = f"http://127.0.0.1:{port}"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.handle)
        yield server
        tasks.cancel_scope.cancel()


def sse(*events: dict[str, Any], named: bool = False, done: bool = False) -> Reply:
    """Server-sent events; `named` puts each one's `type` on a line of its own."""
    return Reply(
        chunks=[*sse_chunks(*events, named=named), *(["data: [DONE]\n\n"] if done else [])]
    )


def sse_chunks(*events: dict[str, Any], named: bool = False) -> list[str]:
    return [
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    ]


def failure(status: int, body: Any, **headers: str) -> Reply:
    """An error as JSON; `retry_after="1"` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, [json.dumps(body)], named, content_type="application/json")
