"""A bare HTTP server that takes bytes and throws them away, and gives bytes out of memory.

Run as a module with the number of bytes to give; prints the port that it listens on. It answers at
the addresses of files of environments, so that the same client can speak to it.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CHUNK_BYTES = 1024 * 1024
_FILE = "/v1/environments/{environment}/files/{path:path}"


def create_app(size: int) -> Starlette:
    """The application; `size` is how many bytes a download has."""

    async def take(request: Request) -> Response:
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
        return JSONResponse({"file": {"path": "file", "size_bytes": received}})

    async def give(request: Request) -> Response:
        return StreamingResponse(_zeros(size), media_type="application/octet-stream")

    routes = [
        Route(f"/upload{_FILE}", take, methods=["PUT"]),
        Route(_FILE, give, methods=["GET"]),
    ]
    return Starlette(routes=routes)


def _zeros(size: int) -> Iterator[bytes]:
    chunk = bytes(CHUNK_BYTES)
    for _ in range(size // CHUNK_BYTES):
        yield chunk


def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(create_app(int(sys.argv[1])), log_level="error", lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
