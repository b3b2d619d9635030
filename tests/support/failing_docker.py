"""A Docker daemon that fails when it is told to: the real one, behind a proxy.

What fails stands in a file, one `METHOD part-of-the-path` a line; none in it lets everything pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import uvicorn
from docker.utils import parse_host
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD"]
FULL = "write /var/lib/docker/containers: no space left on device"
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FailingDocker:
    """The proxy."""

    address: str
    faults: Path

    def fail(self, *what: str) -> None:
        """Answer these with an error from now on; nothing mends it."""
        draft = self.faults.with_suffix(".new")
        draft.write_text("\n".join(what), encoding="utf-8")
        draft.rename(self.faults)


@contextmanager
def failing_docker(folder: Path) -> Generator[FailingDocker]:
    """The daemon, behind a socket in `folder`."""
    path, faults = folder / "d.sock", folder / "faults"
    docker = FailingDocker(f"unix://{path}", faults)
    docker.fail()
    command = [sys.executable, "-m", "tests.support.failing_docker", str(path), str(faults)]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert path.exists(), "the proxy did not start"
        yield docker
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_to_fail(faults: Path, method: str, path: str) -> bool:
    told = [line.partition(" ") for line in faults.read_text(encoding="utf-8").splitlines()]
    return any(method == one and part in path for one, _, part in told)


def _app(faults: Path) -> Starlette:
    real = str(parse_host(os.environ.get("DOCKER_HOST"))).removeprefix("http+unix://")
    client = httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(uds=real), base_url="http://docker", timeout=60
    )

    async def forward(request: Request) -> Response:
        path = str(request.url.path)
        if _is_to_fail(faults, request.method, path):
            return JSONResponse({"message": FULL}, 500)
        answer = await client.request(
            request.method,
            path,
            params=request.query_params,
            content=await request.body(),
            headers={"Content-Type": request.headers.get("content-type", "application/json")},
        )
        kept = {key: answer.headers[key] for key in ("content-type",) if key in answer.headers}
        return Response(answer.content, answer.status_code, headers=kept)

    return Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)])


if __name__ == "__main__":
    uvicorn.run(_app(Path(sys.argv[2])), uds=sys.argv[1], log_level="warning")
