"""MCP servers that follow the protocol in unusual ways, or break off; each on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.support.mcp_world import PNG
from tests.support.web import serving

Json = dict[str, Any]
WAV = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVE").decode()
RICH: list[Json] = [
    {"type": "text", "text": "Look:"},
    {"type": "image", "data": PNG, "mimeType": "image/png"},
    {"type": "audio", "data": WAV, "mimeType": "audio/wav"},
    {"type": "resource", "resource": {"uri": "file:///a.md", "mimeType": "text/x", "text": "# A"}},
    {
        "type": "resource",
        "resource": {
            "uri": "file:///b.json",
            "mimeType": "application/json",
            "blob": base64.b64encode(b'{"b": 1}').decode(),
        },
    },
    {
        "type": "resource",
        "resource": {"uri": "file:///c.bin", "mimeType": "application/x-c", "blob": "AAAA"},
    },
    {
        "type": "resource_link",
        "uri": "https://example.com/d",
        "name": "d",
        "description": "A link.",
    },
]


class Odd:
    """Speaks the protocol by hand; `how` says in which way."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.methods: list[str] = []
        """Of the messages that came."""
        self.sessions = 0
        self.expired = False
        self.broken = 0
        """How many calls are broken off."""
        self.answered = anyio.Event()
        """The client answered a request of the server."""
        self.cancelled = anyio.Event()
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            answer = await self._answer(request)
            await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.url.path != "/mcp/" and self.how.startswith("redirect"):
            place = f"http://localhost:{self.port}" if self.how == "redirect away" else ""
            return RedirectResponse(f"{place}/mcp/", 307)
        if request.method != "POST":
            return Response(status_code=405)
        message = json.loads(await request.body())
        self.methods.append(message.get("method", "answer"))
        if "method" not in message:
            self.answered.set()
            return Response(status_code=202)
        if "id" not in message:
            if message["method"] == "notifications/cancelled":
                self.cancelled.set()
            return Response(status_code=202)
        return self._reply(request, message)

    def _reply(self, request: Request, message: Json) -> Response:
        if message["method"] == "initialize":
            self.sessions += 1
            self.expired = False
            version = "1999-01-01" if self.how == "old" else "2025-06-18"
            about = {"name": "odd", "version": "1"}
            found = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
            headers = {"mcp-session-id": f"s{self.sessions}"}
            return self._said(message, found, headers)
        if self.expired or request.headers.get("mcp-session-id") != f"s{self.sessions}":
            error = {"code": -32001, "message": "Session not found"}
            body = {"jsonrpc": "2.0", "id": "server-error", "error": error}
            return JSONResponse(body, 404)
        match message["method"]:
            case "tools/list":
                return self._said(message, self._tools(message))
            case "tools/call":
                return self._call(message)
            case _:
                error = {"code": -32601, "message": "Method not found"}
                return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error})

    def _said(self, message: Json, found: Json, headers: Json | None = None) -> Response:
        whole = {"jsonrpc": "2.0", "id": message["id"], "result": found}
        if self.how != "sse":
            return JSONResponse(whole, headers=headers)
        block = f": hello\n\nid: 1\ndata:\n\nevent: message\ndata: {json.dumps(whole)}\n\n"
        return Response(block, media_type="text/event-stream", headers=headers)

    def _tools(self, message: Json) -> Json:
        tool: Json = {"name": "do", "inputSchema": {"type": "object"}}
        match self.how:
            case "paged":
                page = int((message.get("params") or {}).get("cursor") or 0)
                more = {"nextCursor": str(page + 1)} if page < 4 else {}
                return {"tools": [{**tool, "name": f"t{page}"}], **more}
            case "bad schema":
                return {"tools": [{**tool, "inputSchema": {"type": "banana"}}]}
            case "odd schema":
                odd_ones: list[Json] = [
                    {"properties": {"a": {"type": "nothing"}}},
                    {"properties": {"a": {"anyOf": []}}},
                    {"required": ["a"], "properties": {"a": {"enum": "b"}}},
                ]
                return {
                    "tools": [
                        {"name": f"s{n}", "inputSchema": {"type": "object", **one}}
                        for n, one in enumerate(odd_ones)
                    ]
                }
            case "twice":
                return {"tools": [tool, {**tool, "description": "The other."}]}
            case _:
                return {"tools": [tool]}

    def _call(self, message: Json) -> Response:
        if self.broken:
            self.broken -= 1
            return StreamingResponse(_cut(), media_type="text/event-stream")
        if self.how in NO_RESULTS:
            return _no_result(self.how, message["id"])
        match self.how:
            case "rich":
                return self._said(message, {"content": RICH})
            case "structured":
                found = {"content": [], "structuredContent": {"a": [1]}, "isError": True}
                return self._said(message, found)
            case "asks":
                return StreamingResponse(self._asking(message), media_type="text/event-stream")
            case "chatter":
                return StreamingResponse(_chatter(), media_type="text/event-stream")
            case _:
                return self._said(message, {"content": [{"type": "text", "text": "done"}]})

    async def _asking(self, message: Json) -> AsyncIterator[bytes]:
        params = {"messages": [], "maxTokens": 1}
        question = {"jsonrpc": "2.0", "id": "q1", "method": "sampling/createMessage"}
        yield f"data: {json.dumps({**question, 'params': params})}\n\n".encode()
        await self.answered.wait()
        content = [{"type": "text", "text": "done"}]
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": content}}
        yield f"data: {json.dumps(answer)}\n\n".encode()


NO_RESULTS = {"fault", "html", "garbage", "accepted", "wrong shape", "teapot"}


def _no_result(how: str, identifier: Any) -> Response:
    whole = {"jsonrpc": "2.0", "id": identifier}
    match how:
        case "fault":
            error = {"code": -32000, "message": "The disk is full."}
            return JSONResponse({**whole, "error": error})
        case "html":
            return Response("<html>Welcome</html>", media_type="text/html")
        case "garbage":
            return Response(b'{"jsonrpc": \xff', media_type="application/json")
        case "accepted":
            return Response(status_code=202)
        case "wrong shape":
            return JSONResponse({**whole, "result": {"content": "no list"}})
        case _:
            return Response("short and stout", 418)


async def _cut() -> AsyncIterator[bytes]:
    yield b"data: {"
    raise ConnectionError("the server dies")


async def _chatter() -> AsyncIterator[bytes]:
    note = {"jsonrpc": "2.0", "method": "notifications/message"}
    while True:
        await checkpoint()
        params = {"level": "info", "data": "still here"}
        yield f"data: {json.dumps({**note, 'params': params})}\n\n".encode()


@asynccontextmanager
async def odd(how: str) -> AsyncIterator[tuple[str, Odd]]:
    """A server that is odd in this way; yields its URL."""
    server = Odd(how)
    async with serving(server) as port:
        server.port = port
        yield f"http://127.0.0.1:{port}/mcp", server
