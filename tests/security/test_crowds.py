"""Many at once: the same call again and again, callers that dawdle, readers that do not read."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.security.tenants import NO_DOCKER, Tenants
from tests.support.sandlot import RunningController, fence, running_controller

pytestmark = pytest.mark.timeout(300)
MIB = 1024**2
SAID = {"model": "script/inline", "input": "Hi"}


def test_a10_one_key_makes_one_interaction_also_across_a_crash(tmp_path: Path) -> None:
    again = {"idempotency-key": "the-same"}
    with running_controller(tmp_path, environ=NO_DOCKER) as first, caller(first) as http:
        with ThreadPoolExecutor(50) as threads:
            made = [
                threads.submit(http.post, "/v1/interactions", json=SAID, headers=again)
                for _ in range(50)
            ]
            answers = [one.result() for one in made]
        assert {answer.status_code for answer in answers} == {200}
        ids = {answer.json()["id"] for answer in answers}
        assert len(ids) == 1
        other = http.post("/v1/interactions", json={**SAID, "input": "Ho"}, headers=again)
        assert other.status_code == 400 and "idempotency" in other.text.lower()
        first.process.kill()
        first.process.wait(timeout=60)
    with running_controller(tmp_path, environ=NO_DOCKER) as second, caller(second) as http:
        later = http.post("/v1/interactions", json=SAID, headers=again)
        assert {later.json()["id"]} == ids
        control = http.post("/v1/interactions", json=SAID)
        assert control.json()["id"] not in ids, "without the key it is another one"


@contextmanager
def caller(controller: RunningController) -> Generator[httpx2.Client]:
    headers = {"x-goog-api-key": controller.api_key or ""}
    limits = httpx2.Limits(max_connections=100)
    with httpx2.Client(base_url=controller.url, headers=headers, timeout=60, limits=limits) as http:
        yield http


def dialled(controller: RunningController, said: str, receive_bytes: int = 0) -> socket.socket:
    """A connection on which something was said."""
    address = urlsplit(controller.url)
    made = socket.socket()
    if receive_bytes:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(60)
    made.connect((address.hostname, address.port))
    made.sendall(said.encode())
    return made


def head(method: str, path: str, key: str, *more: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"x-goog-api-key: {key}", *more]
    return "\r\n".join(lines) + "\r\n\r\n"


def test_a15_callers_that_dawdle_keep_nobody_from_being_served(tenants: Tenants) -> None:
    key = tenants.key("alpha")["key"]
    body = json.dumps(SAID)
    kind = ("content-type: application/json", f"content-length: {len(body)}")
    begun = head("POST", "/v1/interactions", key, *kind)
    with ExitStack() as stack:
        half_heads = [dialled(tenants.controller, begun[:40]) for _ in range(300)]
        half_bodies = [dialled(tenants.controller, begun + body[:1]) for _ in range(300)]
        for one in (*half_heads, *half_bodies):
            stack.enter_context(one)
        with tenants.operator() as operator:
            for _ in range(5):
                assert operator.post("/v1/interactions", json=SAID).status_code == 200
        half_bodies[-1].sendall(body[1:].encode())
        assert b" 200 " in half_bodies[-1].recv(4096), "the control was waited for all the while"


def resident_bytes(controller: RunningController) -> int:
    lines = Path(f"/proc/{controller.process.pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def test_x13_readers_that_do_not_read_cost_no_memory(tenants: Tenants) -> None:
    key = tenants.key("alpha")["key"]
    prompt = fence("say", *[letter * MIB for letter in "abcdefg"])
    with tenants.client(key) as http, ExitStack() as stack:
        run = http.post("/v1/interactions", json={**SAID, "input": prompt}).json()
        path = f"/v1/interactions/{run['id']}?stream=true"
        assert len(http.get(path).content) > 7 * MIB, "the control reads all of it"
        before = resident_bytes(tenants.controller)
        asked = head("GET", path, key)
        idle = [dialled(tenants.controller, asked, receive_bytes=4096) for _ in range(60)]
        for one in idle:
            stack.enter_context(one)
            assert one.recv(12).startswith(b"HTTP/1.1 200")
        assert len(http.get(path).content) > 7 * MIB, "others read on"
        assert resident_bytes(tenants.controller) - before < 200 * MIB, "of 420 MiB"
