"""A controller of the wire only: real HTTP, SSE and WebSockets; the answers are set by tests."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

KEY = "test-key"


@dataclass
class Wire:
    """What the controller answers, and what it was asked."""

    interaction: dict[str, Any] = field(default_factory=dict[str, Any])
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    drops: list[int] = field(default_factory=list[int])
    """How many events each connection carries before it breaks; then connections hold."""
    held: threading.Event | None = None
    """Wait for it before the last event is sent."""
    cancel_is_deaf: bool = False
    """Cancelling is answered, and changes nothing."""
    breaks_terminals: bool = False
    operations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    agents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    models: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    network_events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Newest first, of every environment."""
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    broken_creates: int = 0
    """How many answers to a create break in the middle."""
    keys: list[str | None] = field(default_factory=list[str | None])
    """The idempotency keys of creates."""
    error: tuple[int, dict[str, Any]] | None = None
    preludes: list[str] = field(default_factory=list[str])
    """Raw text at the start of each event stream."""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    requests: list[str] = field(default_factory=list[str])
    resized: list[Any] = field(default_factory=list[Any])
    url: str = ""


class Dropped(Exception):
    """Makes the server break the connection."""


class Routes:
    """One handler per route, all over one `Wire`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def app(self) -> Starlette:
        routes = [
            Route("/readyz", self.ready),
            Route("/v1/interactions", self.create, methods=["POST"]),
            Route("/v1/interactions/{id}", self.get, methods=["GET"]),
            Route("/v1/interactions/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/interactions/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/operations", self.list_operations),
            Route("/v1/operations/{id}:wait", self.get_operation, methods=["POST"]),
            Route("/v1/operations/{id}", self.get_operation),
            Route("/v1/agents", self.list_agents),
            Route("/v1/agents/{id}", self.get_agent),
            Route("/v1/models", self.list_models),
            Route("/v1/environments/{env}", self.get_environment),
            Route("/v1/environments/{env}/network_events", self.list_network_events),
            Route("/v1/environments/{env}/files", self.files),
            Route("/v1/environments/{env}/files/{path:path}", self.files),
            Route("/upload/v1/environments/{env}/files/{path:path}", self.upload, methods=["PUT"]),
            WebSocketRoute("/v1/environments/{env}/exec", self.exec),
            WebSocketRoute("/v1/environments/{env}/terminal", self.terminal),
        ]
        return Starlette(routes=routes)

    def _refusal(self, request: Request) -> Response | None:
        self.wire.requests.append(f"{request.method} {request.url.path}?{request.url.query}")
        if request.headers.get("x-goog-api-key") != KEY:
            return _error(401, "unauthenticated", "The API key is not valid.")
        if self.wire.error is not None:
            status, body = self.wire.error
            return JSONResponse(body, status)
        return None

    async def ready(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def create(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        body = json.loads(await request.body())
        self.wire.bodies.append(body)
        self.wire.keys.append(request.headers.get("idempotency-key"))
        if self.wire.broken_creates > 0:
            self.wire.broken_creates -= 1
            return StreamingResponse(self._broken(), media_type="application/json")
        if body.get("stream"):
            return StreamingResponse(self._stream(None), media_type="text/event-stream")
        return JSONResponse(self.wire.interaction)

    async def get(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        if request.path_params["id"] != self.wire.interaction.get("id"):
            return _error(404, "not_found", "There is no such interaction.")
        if request.query_params.get("stream") == "true":
            after = request.query_params.get("last_event_id")
            return StreamingResponse(self._stream(after), media_type="text/event-stream")
        return JSONResponse(self.wire.interaction)

    async def _stream(self, after: str | None) -> AsyncIterator[str]:
        if self.wire.preludes:
            yield self.wire.preludes.pop(0)
        limit = self.wire.drops.pop(0) if self.wire.drops else None
        ids = [event["event_id"] for event in self.wire.events]
        start = ids.index(after) + 1 if after else 0
        rest = self.wire.events[start:]
        for sent, event in enumerate(rest):
            if sent == limit:
                raise Dropped
            if event is rest[-1] and self.wire.held is not None:
                await _to_thread(self.wire.held.wait, 20)
            yield f"event: {event['event_type']}\ndata: {json.dumps(event)}\n\n"
        yield "event: done\ndata: [DONE]\n\n"

    async def _broken(self) -> AsyncIterator[str]:
        yield "{"
        raise Dropped

    async def cancel(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        if self.wire.cancel_is_deaf:
            return JSONResponse(self.wire.interaction)
        self.wire.interaction["status"] = "cancelled"
        last = self.wire.events[-1]
        last["interaction"]["status"] = "cancelled"
        if self.wire.held is not None:
            self.wire.held.set()
        return JSONResponse(self.wire.interaction)

    async def delete(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({})

    async def list_operations(self, request: Request) -> Response:
        size = int(request.query_params.get("page_size", 100))
        start = int(request.query_params.get("page_token", 0))
        rows = self.wire.operations[start : start + size]
        following = str(start + size) if start + size < len(self.wire.operations) else ""
        body = {"operations": rows, "next_page_token": following}
        return self._refusal(request) or JSONResponse(body)

    async def get_operation(self, request: Request) -> Response:
        rows = [row for row in self.wire.operations if row["name"].endswith(_id(request))]
        if not rows:
            return _error(404, "not_found", "There is no such operation.")
        return self._refusal(request) or JSONResponse(rows[0])

    async def list_agents(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({"agents": self.wire.agents})

    async def get_agent(self, request: Request) -> Response:
        rows = [row for row in self.wire.agents if row["id"] == _id(request)]
        if not rows:
            return _error(404, "not_found", f"There is no agent {_id(request)!r}.")
        return self._refusal(request) or JSONResponse(rows[0])

    async def list_models(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({"models": self.wire.models})

    async def get_environment(self, request: Request) -> Response:
        network = {"allowlist": [{"domain": "a.example"}]}
        return JSONResponse({"id": request.path_params["env"], "network": network})

    async def list_network_events(self, request: Request) -> Response:
        return JSONResponse({"network_events": self.wire.network_events})

    async def files(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        path = request.path_params.get("path", "").strip("/")
        inside = {name for name in self.wire.files if name.startswith(f"{path}/" if path else "")}
        if path not in self.wire.files and not inside:
            return _error(404, "not_found", f"Path '{path}' not found.")
        if request.query_params.get("alt") == "media":
            return StreamingResponse(self._bytes(path, inside))
        names = [path] if path in self.wire.files else sorted(inside)
        if request.query_params.get("recursive") == "true" or names == [path]:
            return JSONResponse({"files": [self._row(name) for name in names]})
        return JSONResponse({"files": self._children(path, names)})

    def _children(self, path: str, names: list[str]) -> list[dict[str, Any]]:
        depth = len(PurePosixPath(path).parts)
        rows: dict[str, dict[str, Any]] = {}
        for name in names:
            parts = PurePosixPath(name).parts
            child = "/".join(parts[: depth + 1])
            is_file = len(parts) == depth + 1
            folder = {"name": parts[depth], "path": child, "type": "directory", "size_bytes": "0"}
            rows[child] = self._row(name) if is_file else folder
        return list(rows.values())

    def _row(self, name: str) -> dict[str, Any]:
        size = str(len(self.wire.files[name]))
        return {"name": PurePosixPath(name).name, "path": name, "type": "file", "size_bytes": size}

    async def _bytes(self, path: str, inside: set[str]) -> AsyncIterator[bytes]:
        whole = self.wire.files[path] if path in self.wire.files else self._tar(path, inside)
        for start in range(0, len(whole), 65536):
            yield whole[start : start + 65536]

    def _tar(self, path: str, inside: set[str]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name in sorted(inside):
                info = tarfile.TarInfo(name.removeprefix(path).lstrip("/"))
                info.size = len(self.wire.files[name])
                tar.addfile(info, io.BytesIO(self.wire.files[name]))
        return buffer.getvalue()

    async def upload(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        path = request.path_params["path"].strip("/")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
        if request.query_params.get("extract") == "true":
            return self._unpack(path, bytes(body))
        if path in self.wire.files and request.query_params.get("overwrite") != "true":
            return _error(409, "aborted", "Requested entity already exists")
        self.wire.files[path] = bytes(body)
        return JSONResponse({"file": self._row(path)})

    def _unpack(self, path: str, body: bytes) -> Response:
        names: list[str] = []
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            for member in tar:
                data = tar.extractfile(member)
                if data is not None:
                    names.append(f"{path}/{member.name}".lstrip("/"))
                    self.wire.files[names[-1]] = data.read()
        return JSONResponse({"files": [self._row(name) for name in names]})

    async def exec(self, socket: WebSocket) -> None:
        """A tiny command set: `echo`, `fail N`, `cat` (stdin to stdout) and `sleep`."""
        if not await self._accept(socket):
            return
        order = json.loads(await socket.receive_text())
        self.wire.bodies.append(order)
        status = 0
        match order["argv"]:
            case ["echo", *words]:
                await socket.send_bytes(b"\x01" + " ".join(words).encode() + b"\n")
            case ["fail", code]:
                await socket.send_bytes(b"\x02" + b"it failed\n")
                status = int(code)
            case ["cat"]:
                await self._cat(socket)
            case _:
                status = 127
        await socket.send_text(json.dumps({"exit_status": status}))
        await socket.close()

    async def _cat(self, socket: WebSocket) -> None:
        while True:
            message = await socket.receive()
            if message.get("bytes") is not None:
                await socket.send_bytes(b"\x01" + message["bytes"])
            elif message.get("text") and json.loads(message["text"]).get("eof"):
                return

    async def terminal(self, socket: WebSocket) -> None:
        """Echoes until it is sent `exit N` and a line end."""
        if not await self._accept(socket):
            return
        self.wire.resized.append(
            [int(socket.query_params["rows"]), int(socket.query_params["cols"])]
        )
        typed = b""
        await socket.send_bytes(b"welcome\r\n")
        if self.wire.breaks_terminals:
            await socket.close(1011, "stopped")
            return
        try:
            while b"exit " not in typed or not typed.endswith((b"\r", b"\n")):
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("bytes") is not None:
                    typed += message["bytes"]
                    await socket.send_bytes(message["bytes"])
                elif message.get("text"):
                    self.wire.resized.append(json.loads(message["text"])["resize"])
        except WebSocketDisconnect:
            return
        await socket.send_text(json.dumps({"exit_status": int(typed.split()[-1])}))
        await socket.close()

    async def _accept(self, socket: WebSocket) -> bool:
        self.wire.requests.append(f"WS {socket.url.path}")
        if socket.headers.get("x-goog-api-key") != KEY:
            body = _error(401, "unauthenticated", "The API key is not valid.")
            await socket.send_denial_response(body)
            return False
        await socket.accept()
        return True


def _id(request: Request) -> str:
    return request.path_params["id"]


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


async def _to_thread(function: Any, *arguments: Any) -> Any:
    import anyio.to_thread

    return await anyio.to_thread.run_sync(function, *arguments)


@contextmanager
def serving(wire: Wire) -> Iterator[Wire]:
    """Serve `wire` on a free port of loopback; `wire.url` says where."""
    config = uvicorn.Config(
        Routes(wire).app(), port=0, log_level="critical", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    wire.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def numbered(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Events with dense ids, `v1` onwards."""
    return [{"event_id": f"v{number}", **event} for number, event in enumerate(events, 1)]


def step_events(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one step."""
    return [
        {"event_type": "step.start", "index": index, "step": start},
        *({"event_type": "step.delta", "index": index, "delta": delta} for delta in deltas),
        {"event_type": "step.stop", "index": index},
    ]
