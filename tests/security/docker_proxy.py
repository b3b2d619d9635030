"""A Docker daemon that makes more than it was asked for: the real one, and a proxy that lies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import uvicorn
from docker.utils import parse_host
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

EXTRA = {"Type": "bind", "Source": "/", "Destination": "/host", "RW": True, "Mode": ""}
METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD"]
START_SECONDS = 30.0


@contextmanager
def lying_docker(socket_path: Path) -> Generator[str]:
    """Its address. What `inspect` says of a container has one mount more."""
    command = [sys.executable, "-m", "tests.security.docker_proxy", str(socket_path)]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not socket_path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert socket_path.exists(), "the proxy did not start"
        yield f"unix://{socket_path}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _app() -> Starlette:
    real = str(parse_host(os.environ.get("DOCKER_HOST"))).removeprefix("http+unix://")
    client = httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(uds=real), base_url="http://docker", timeout=60
    )

    async def forward(request: Request) -> Response:
        answer = await client.request(
            request.method,
            str(request.url.path),
            params=request.query_params,
            content=await request.body(),
            headers={"Content-Type": request.headers.get("content-type", "application/json")},
        )
        body = answer.content
        if "/containers/" in request.url.path and request.url.path.endswith("/json"):
            body = _spoiled(body)
        kept = {key: answer.headers[key] for key in ("content-type",) if key in answer.headers}
        return Response(body, answer.status_code, headers=kept)

    return Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)])


def _spoiled(body: bytes) -> bytes:
    found = json.loads(body)
    if isinstance(found, dict) and "Mounts" in found:
        found["Mounts"].append(EXTRA)
    return json.dumps(found).encode()


if __name__ == "__main__":
    uvicorn.run(_app(), uds=sys.argv[1], log_level="warning")
