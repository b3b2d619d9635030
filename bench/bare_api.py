"""A bare FastAPI server: what an answer and a stream cost that have nothing behind them.

`python -m bench.bare_api` takes the JSON body of its answers from standard input up to the first
line's end and prints the port that it listens on. It is served as Sandlot is, by uvicorn.

`GET /v1/interactions/{id}` and `POST /v1/interactions` answer with that body; `GET /stream` sends
what `POST /ticks` makes, `{count, seconds}`: so many events, one each so many seconds.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import AsyncGenerator

import anyio
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse

FIRST = b"event: begun\ndata: {}\n\n"


class Ticks:
    """Events that everyone who listens gets, straight from memory."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._bell = anyio.Event()
        self._is_over = False

    async def make(self, count: int, seconds: float) -> None:
        """Make so many, at this pace; then the streams end."""
        for _ in range(count):
            await anyio.sleep(seconds)
            self._blocks.append(f'data: {{"text":"@{time.monotonic():.6f};"}}\n\n'.encode())
            self._ring()
        self._is_over = True
        self._ring()

    async def follow(self) -> AsyncGenerator[bytes]:
        """All of them."""
        yield FIRST
        seen = 0
        while seen < len(self._blocks) or not self._is_over:
            bell = self._bell
            if seen < len(self._blocks):
                yield b"".join(self._blocks[seen:])
                seen = len(self._blocks)
            else:
                await bell.wait()

    def _ring(self) -> None:
        bell, self._bell = self._bell, anyio.Event()
        bell.set()


def create_app(body: bytes) -> FastAPI:
    """The application."""
    app = FastAPI()
    ticks = Ticks()

    @app.get("/v1/interactions/{interaction_id}")
    async def get(interaction_id: str) -> Response:
        return Response(body, media_type="application/json")

    @app.post("/v1/interactions")
    async def post(request: Request) -> Response:
        await request.json()
        return Response(body, media_type="application/json")

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(ticks.follow(), media_type="text/event-stream")

    @app.post("/ticks")
    async def make(request: Request) -> Response:
        asked = await request.json()
        await ticks.make(asked["count"], asked["seconds"])
        return Response(b"{}", media_type="application/json")

    return app


def main() -> None:
    """Serve until killed."""
    app = create_app(sys.stdin.readline().encode().rstrip(b"\n"))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="error", lifespan="off", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
