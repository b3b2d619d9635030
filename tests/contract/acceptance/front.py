"""Servers of the acceptance tests: a faulty door before the controller, and a model that recalls.

`{door}/PLAN/TOKEN` is a base URL. PLAN says what becomes of the first requests that come with
TOKEN, one word each, joined by dots: `pass` is passed on, `503` is answered with that, `429-1` too
and with `Retry-After: 1`, `lost` is passed on and then the connection breaks before the answer,
once the model was asked. Further requests are passed on as they are. A model that is asked by
`hold:TOKEN` answers when a request with TOKEN has come again.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.mcp_world import Seen
from tests.support.outside import Outside
from tests.support.web import serving

WAIT_SECONDS = 60
_PASSED_ON = ("x-goog-api-key", "content-type", "accept", "user-agent", "authorization")


@dataclass(slots=True)
class Traffic:
    """What came with one token."""

    at: list[float] = field(default_factory=list[float])
    """When requests came, by the monotonic clock."""
    bodies: list[str] = field(default_factory=list[str])
    runs: int = 0
    """How many runs asked the model."""
    asked: anyio.Event = field(default_factory=anyio.Event)
    repeated: anyio.Event = field(default_factory=anyio.Event)
    left: int = 0
    """How many requests the controller has been told to expect no reader of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for the controller."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Front:
    """The door and the model, which knows what came through the door."""

    def __init__(self, mcp: Seen, outside: Outside) -> None:
        self.controller = ""
        self.door = ""
        self._mcp = mcp
        self._outside = outside
        self._traffic: dict[str, Traffic] = defaultdict(Traffic)

    def app(self) -> Starlette:
        """The model, and what tests may ask."""
        routes = [
            Route("/model/v1/chat/completions", self._complete, methods=["POST"]),
            Route("/mcp/headers", self._headers),
            Route("/outside/{host}", self._met),
            Route("/traffic/{token}", self._report),
        ]
        return Starlette(routes=routes)

    async def _headers(self, request: Request) -> Response:
        return JSONResponse(self._mcp.headers)

    async def _met(self, request: Request) -> Response:
        host = request.path_params["host"]
        seen = [one for one in self._outside.seen if one.host == host]
        shown = [{"path": one.path, "headers": one.headers} for one in seen]
        return JSONResponse(shown)

    async def _report(self, request: Request) -> Response:
        found = self._traffic[request.path_params["token"]]
        shown = {"at": found.at, "bodies": found.bodies, "runs": found.runs, "left": found.left}
        return JSONResponse(shown)

    async def _complete(self, request: Request) -> Response:
        asked = await request.json()
        said = [text for message in asked["messages"] for text in _said(message)]
        token = next((word[5:] for word in " ".join(said).split() if word[:5] == "hold:"), None)
        if token is not None:
            await self._hold(self._traffic[token])
        return StreamingResponse(_chunks(" | ".join(said)), media_type="text/event-stream")

    async def _hold(self, traffic: Traffic) -> None:
        traffic.runs += 1
        traffic.asked.set()
        with anyio.fail_after(WAIT_SECONDS):
            await traffic.repeated.wait()

    async def open_door(self, connection: SocketStream) -> None:
        """Serve one request of one connection."""
        async with connection:
            try:
                token, asked, plan = await _read(connection)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                return
            traffic = self._traffic[token]
            traffic.at.append(time.monotonic())
            traffic.bodies.append(asked.body.decode())
            words = plan.split(".")[len(traffic.at) - 1 :]
            await self._meet(connection, words[0] if words else "pass", traffic, asked)

    async def _meet(
        self, connection: SocketStream, word: str, traffic: Traffic, asked: Asked
    ) -> None:
        if word == "lost":
            await self._lose(traffic, asked)
        elif word == "pass":
            if len(traffic.at) > 1:
                traffic.repeated.set()
            await self._pass_on(connection, traffic, asked)
        else:
            await connection.send(_refusal(word))

    async def _lose(self, traffic: Traffic, asked: Asked) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._forward, asked, None)
            with anyio.fail_after(WAIT_SECONDS):
                await traffic.asked.wait()
            tasks.cancel_scope.cancel()
        traffic.left += 1

    async def _pass_on(self, connection: SocketStream, traffic: Traffic, asked: Asked) -> None:
        """Pass a request on for as long as somebody waits for its answer."""
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await connection.receive()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await self._forward(asked, connection)
            tasks.cancel_scope.cancel()
            return
        traffic.left += 1

    async def _forward(self, asked: Asked, connection: SocketStream | None) -> None:
        async with (
            httpx2.AsyncClient(timeout=None) as http,
            http.stream(
                asked.method,
                f"{self.controller}/{asked.path}",
                headers=asked.headers,
                content=asked.body,
            ) as answer,
        ):
            if connection is None:
                return
            kind = f"content-type: {answer.headers.get('content-type', '')}"
            with suppress(anyio.BrokenResourceError):
                await connection.send(_head(answer.status_code, kind))
                async for part in answer.aiter_bytes():
                    await connection.send(part)


async def _read(connection: SocketStream) -> tuple[str, Asked, str]:
    """The token, the request without plan and token in its path, and the plan."""
    reader = BufferedByteReceiveStream(connection)
    head = (await reader.receive_until(b"\r\n\r\n", 1 << 16)).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    body = await reader.receive_exactly(int(headers.get("content-length") or 0))
    _, plan, token, rest = path.split("/", 3)
    kept = {name: headers[name] for name in _PASSED_ON if name in headers}
    return token, Asked(method, rest, kept, body), plan


def _head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "connection: close", "", ""]).encode()


def _refusal(word: str) -> bytes:
    status, _, seconds = word.partition("-")
    body = json.dumps({"error": {"code": "unavailable", "message": "Not now."}}).encode()
    after = [f"retry-after: {seconds}"] if seconds else []
    length = f"content-length: {len(body)}"
    return _head(int(status), "content-type: application/json", length, *after) + body


def _said(message: dict[str, Any]) -> list[str]:
    """What a user's message says; a picture is told as `[picture]`, a system message marked."""
    if message["role"] not in ("user", "system"):
        return []
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [part["text"] if part["type"] == "text" else "[picture]" for part in parts]
    return texts if message["role"] == "user" else [f"system: {text}" for text in texts]


async def _chunks(text: str) -> AsyncIterator[str]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "recall"}
    for word in text.split(" "):
        choice = {"index": 0, "delta": {"role": "assistant", "content": f"{word} "}}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield f"data: {json.dumps({**head, 'choices': [choice], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


@asynccontextmanager
async def front(mcp: Seen, outside: Outside) -> AsyncGenerator[tuple[Front, str]]:
    """The servers and where the model is; `controller` must be set before the door is used."""
    made = Front(mcp, outside)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, serving(made.app()) as port, anyio.create_task_group() as tasks:
        made.door = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, made.open_door)
        yield made, f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()
