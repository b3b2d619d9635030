"""MCP servers on loopback: an honest one made with the `mcp` package, and hostile ones."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from mcp.server.mcpserver import MCPServer
from mcp_types import ImageContent, TextContent
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.support.web import serving

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
).decode()


class Seen:
    """What reached a server."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.headers: list[dict[str, str]] = []


def weather_server(seen: Seen) -> MCPServer:
    server = MCPServer("weather")

    @server.tool(description="The temperature of a city.")
    def temperature(city: str) -> str:
        return f"It is 23 degrees in {city}."

    @server.tool()
    def forecast(days: int) -> dict[str, Any]:
        return {"days": days, "sky": ["clear"] * days}

    @server.tool()
    def radar() -> list[TextContent | ImageContent]:
        return [
            TextContent(type="text", text="Now:"),
            ImageContent(type="image", data=PNG, mime_type="image/png"),
        ]

    @server.tool()
    def storm() -> str:
        raise ValueError("the mast is down")

    @server.tool()
    def reveal() -> str:
        return f"You sent {seen.headers[-1].get('authorization')}."

    @server.tool()
    async def slow() -> str:
        await anyio.sleep_forever()
        return "never"

    return server


@asynccontextmanager
async def weather() -> AsyncIterator[tuple[str, Seen]]:
    """An honest server; yields its URL and what reached it."""
    seen = Seen()
    app = weather_server(seen).streamable_http_app()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            seen.methods.append(request.method)
            seen.headers.append(dict(request.headers))
        await app(scope, receive, send)

    async with serving(watched) as port:
        yield f"http://127.0.0.1:{port}/mcp", seen


class Hostile:
    """Speaks the protocol by hand, badly; `how` says in which way."""

    def __init__(self, how: str) -> None:
        self._how = how
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.asked += 1
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if self._how == "redirect":
            return RedirectResponse("http://169.254.169.254/latest/meta-data", 307)
        if self._how == "hang":
            await anyio.sleep_forever()
        if self._how == "teapot":
            return Response("no", 418)
        if request.method != "POST":
            return Response(status_code=405)
        message = json.loads(await request.body())
        if "id" not in message:
            return Response(status_code=202)
        return self._reply(message)

    def _reply(self, message: dict[str, Any]) -> Response:
        match message["method"]:
            case "initialize":
                found: dict[str, Any] = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "h", "version": "1"},
                }
            case "tools/list":
                found = self._tools(message)
            case "tools/call":
                return self._call(message)
            case _:
                error = {"code": -32601, "message": "Method not found"}
                return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error})
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": found})

    def _tools(self, message: dict[str, Any]) -> dict[str, Any]:
        tool = {"name": "do", "description": "d" * 50_000, "inputSchema": {"type": "object"}}
        if self._how == "endless list":
            return {"tools": [{**tool, "name": f"t{self.asked}"}], "nextCursor": str(self.asked)}
        if self._how == "wide list":
            return {"tools": [{**tool, "name": f"t{n}", "description": ""} for n in range(5000)]}
        if self._how == "broken list":
            return {"tools": [{"name": 5}]}
        odd = {**tool, "name": "weird/name with spaces " + "x" * 90}
        return {"tools": [tool, odd]}

    def _call(self, message: dict[str, Any]) -> Response:
        if self._how == "huge result":
            return StreamingResponse(self._flood(), media_type="application/json")
        if self._how == "endless events":
            return StreamingResponse(self._events(), media_type="text/event-stream")
        if self._how == "long text":
            content = [{"type": "text", "text": "y" * 900_000}]
        else:
            content = [{"type": "text", "text": message["params"]["name"]}]
        found = {"content": content}
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": found})

    async def _flood(self) -> AsyncIterator[bytes]:
        yield b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"'
        while True:
            await checkpoint()
            yield b"z" * 1_000_000

    async def _events(self) -> AsyncIterator[bytes]:
        note = {"jsonrpc": "2.0", "method": "notifications/message"}
        params = {"level": "info", "data": "n" * 900_000}
        while True:
            await checkpoint()
            yield f"data: {json.dumps({**note, 'params': params})}\n\n".encode()


@asynccontextmanager
async def hostile(how: str) -> AsyncIterator[tuple[str, Hostile]]:
    """A server that misbehaves; yields its URL."""
    server = Hostile(how)
    async with serving(server) as port:
        yield f"http://127.0.0.1:{port}/mcp", server
