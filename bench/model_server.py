"""A model server that says when it speaks: chat completions, each token the moment it was sent.

`python -m bench.model_server` prints the port that it listens on. What it is asked is JSON text,
`{count, seconds, wait}`: so many tokens, one each so many seconds, and with `wait` only after a
`POST /go`.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


class Speech:
    """Answers; one at a time may wait."""

    def __init__(self) -> None:
        self._waits = anyio.Event()
        self._may_go = anyio.Event()

    async def go(self, _request: Request) -> Response:
        """Let the answer that waits begin, once there is one."""
        await self._waits.wait()
        self._may_go.set()
        self._waits, self._may_go = anyio.Event(), anyio.Event()
        return Response(b"{}", media_type="application/json")

    async def answer(self, request: Request) -> Response:
        """Speak as the last message says."""
        asked = json.loads(_text((await request.json())["messages"][-1]["content"]))
        return StreamingResponse(self._tokens(asked), media_type="text/event-stream")

    async def _tokens(self, asked: dict[str, Any]) -> AsyncGenerator[bytes]:
        if asked.get("wait"):
            may_go = self._may_go
            self._waits.set()
            await may_go.wait()
        for _ in range(asked["count"]):
            await anyio.sleep(asked["seconds"])
            yield _chunk({"content": f"@{time.monotonic():.6f};"})
        yield _chunk({}, "stop")
        yield b"data: [DONE]\n\n"


def _text(content: Any) -> str:
    return content if isinstance(content, str) else content[0]["text"]


def _chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": reason}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "clock"}
    return f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode()


def main() -> None:
    """Serve until killed."""
    speech = Speech()
    routes = [
        Route("/v1/chat/completions", speech.answer, methods=["POST"]),
        Route("/go", speech.go, methods=["POST"]),
    ]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        print(taken.getsockname()[1], flush=True)
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
        uvicorn.Server(config).run(sockets=[taken])


if __name__ == "__main__":
    main()
