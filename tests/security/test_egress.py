"""The way out: where it does not lead, and what passes it changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.security import host
from tests.support.outside import Outside, outside
from tests.support.sandlot import RunningController, fence, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}, memory: 512MiB, workspace: 64MiB, max_running: 2}}
egress: {egress}
"""
ASK = """
import json, socket
def ask(*lines):
    with socket.create_connection(("127.0.0.1", 3128), 30) as proxy:
        proxy.settimeout(30)
        proxy.sendall("\\r\\n".join(lines).encode("utf-8") + b"\\r\\n\\r\\n")
        answer = proxy.recv(4096).decode("latin-1")
    return answer.partition("\\r\\n")[0]
"""
INTERNAL = [
    *("169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "metadata.google.internal"),
    *("127.0.0.1", "0.0.0.0", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "[::]"),
    *("[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "2130706433"),
    *("0x7f.1", "0x7f000001", "017700000001", "127.1", "①②⑦.⓪.⓪.①", "127.0.0.1%00.example.com"),
    *("a@127.0.0.1", "127.0.0.1#.example.com", "10.0.0.1", "172.17.0.1", "192.168.0.1"),
]


@dataclass(slots=True)
class Victim:
    """A server of this machine that no sandbox is to reach."""

    port: int = 0
    seen: list[str] = field(default_factory=list[str])


@contextmanager
def victim() -> Generator[Victim]:
    found = Victim()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.seen.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "6")
            self.end_headers()
            self.wfile.write(b"secret")

        def log_message(self, format: str, *args: object) -> None:
            """Tests look at what was seen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def target() -> Generator[Victim]:
    with victim() as found:
        yield found


@contextmanager
def controller(folder: Path, image: str, egress: dict[str, Any]) -> Generator[RunningController]:
    config = CONFIG.format(image=image, egress=json.dumps(egress))
    with running_controller(folder, config) as running:
        yield running
    host.check_nothing_left(running)


@pytest.fixture(scope="module")
def closed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningController]:
    with controller(tmp_path_factory.mktemp("closed"), image, {}) as running:
        yield running


@pytest.fixture(scope="module")
def world() -> Generator[Outside]:
    with outside() as found:
        yield found


@pytest.fixture(scope="module")
def beyond(
    image: str, world: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Generator[RunningController]:
    folder = tmp_path_factory.mktemp("beyond")
    (folder / "ca.pem").write_text(world.certificates.pem, encoding="ascii")
    egress = {"upstream_proxy": world.upstream, "ca_files": [str(folder / "ca.pem")]}
    with controller(folder / "state", image, egress) as running:
        yield running


def allowing(*entries: Any) -> dict[str, Any]:
    return {"type": "remote", "network": {"allowlist": [*entries]}}


def asked(hosts: list[str], port: int) -> str:
    """A prompt that asks the proxy for each host, in both ways."""
    return fence(
        "python",
        f"""{ASK}
print(json.dumps({{host: [
    ask(f"GET http://{{host}}:{port}/ HTTP/1.1", f"Host: {{host}}:{port}"),
    ask(f"CONNECT {{host}}:{port} HTTP/1.1", f"Host: {{host}}:{port}"),
] for host in {hosts!r}}}))""",
    )


def statuses(found: dict[str, list[str]]) -> set[str]:
    return {line.split(" ")[1] for lines in found.values() for line in lines}


def test_n03_no_internal_address_is_reached(
    closed: RunningController,
    target: Victim,
    image: str,
    tmp_path: Path,
) -> None:
    rules = allowing("*", f"*:{target.port}")
    run = closed.run(asked(INTERNAL, target.port), rules)
    found = json.loads(results(run)[0])
    assert statuses(found) <= {"400", "403"}, found
    assert target.seen == []
    events = closed.decisions(run, "169.254.169.254")
    assert {event.verdict for event in events} == {"refused"}
    assert "169.254.169.254" in {event.host for event in events}
    with controller(tmp_path / "open", image, {"allow_internal": ["127.0.0.1"]}) as control:
        reached = control.run(asked(["127.0.0.1"], target.port), rules)
        assert json.loads(results(reached)[0])["127.0.0.1"][0].startswith("HTTP/1.1 200")
    assert target.seen == ["/"]


def test_n06_a_redirect_is_a_request_of_its_own(beyond: RunningController, world: Outside) -> None:
    world.redirects["/away"] = "http://169.254.169.254/latest/meta-data/"
    world.redirects["/near"] = "https://other.test/"
    follow = "curl -sSL -m 30 http://away.test/away; curl -sSL -m 30 https://away.test/near"
    away, *_ = results(beyond.run(fence("bash", f"{follow} 2>&1"), allowing("*")))
    assert "169.254.169.254" in away and "not" in away
    assert world.last("other.test").path == "/", "the control is followed"
    assert not [one for one in world.asked if "169.254" in one]


def test_n13_what_is_no_plain_request_is_refused(beyond: RunningController) -> None:
    tries = {
        **{f"port {port}": (f"CONNECT a.test:{port} HTTP/1.1",) for port in (22, 25, 2375, 6379)},
        "file": ("GET file:///etc/passwd HTTP/1.1",),
        "gopher": ("GET gopher://a.test/ HTTP/1.1",),
        "relative": ("GET / HTTP/1.1", "Host: a.test"),
        "smuggled": (
            "POST http://a.test/ HTTP/1.1",
            "Host: a.test",
            "Content-Length: 6",
            "Transfer-Encoding: chunked",
        ),
        "two lengths": (
            "POST http://a.test/ HTTP/1.1",
            "Host: a.test",
            "Content-Length: 1",
            "Content-Length: 2",
        ),
        "large": ("GET http://a.test/ HTTP/1.1", "Host: a.test", f"X: {'x' * 20_000}"),
    }
    code = f"{ASK}\nprint(json.dumps({{name: ask(*lines) for name, lines in {tries!r}.items()}}))"
    fine = f'{ASK}\nprint(ask("GET http://a.test/ HTTP/1.1", "Host: a.test"))'
    refused, control = results(beyond.run(fence("python", code, fine), allowing("*")))
    found = json.loads(refused)
    assert {line.split(" ")[1] for line in found.values()} <= {"400", "403", "431"}, found
    assert control.startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    ("most", "asked_for"), [(50, 1000), (256, 100)], ids=["flood", "fewer than may be"]
)
def test_n13_a_thousand_connections_do_not_keep_others_from_theirs(
    beyond: RunningController, most: int, asked_for: int
) -> None:
    flood = f"""{ASK}
import time
held, said = [], dict()
for _ in range({asked_for}):
    proxy = socket.create_connection(("127.0.0.1", 3128), 60)
    held.append(proxy)
    try:
        proxy.sendall(b"CONNECT a.test:443 HTTP/1.1\\r\\nHost: a.test:443\\r\\n\\r\\n")
        answer = proxy.recv(12).decode("latin-1").partition(" ")[2]
    except ConnectionError:
        answer = "reset"
    said[answer] = said.get(answer, 0) + 1
with open("/workspace/said.new", "w") as file:
    json.dump(said, file)
import os
os.rename("/workspace/said.new", "/workspace/said")
time.sleep(600)
"""
    rules = {**allowing("*"), "limits": {"connections": most}}
    started = beyond.run(fence("python", flood), rules, background=True)
    assert started.environment_id is not None
    beyond.wait_for_file(started, "said")
    said = json.loads(
        beyond.client.environments.files.read(started.environment_id, "workspace/said")
    )
    assert sum(said.values()) == asked_for
    assert said.get("200", 0) == min(most, asked_for), said
    other = beyond.run(fence("bash", "curl -sS -m 60 https://b.test/"), allowing("*"))
    assert "b.test" in results(other)[0]
    beyond.client.interactions.cancel(started.id)


BAD_LISTS: list[Any] = [
    {"allowlist": None},
    {},
    {"allowlist": ["*."]},
    {"allowlist": [""]},
    {"allowlist": ["a b"]},
    {"allowlist": ["*.*.example.com"]},
    {"allowlist": ["exa*mple.com"]},
    {"allowlist": ["http://example.com"]},
    {"allowlist": ["example.com/path"]},
    {"allowlist": ["evil.com\u0000.example.com"]},
    {"allowlist": ["0x7f.1"]},
    {"allowlist": ["a.test"] * 10_000},
    {"allowlist": "*"},
    [],
]


@pytest.mark.parametrize("network", BAD_LISTS)
def test_n16_a_list_that_cannot_be_meant_is_refused(
    closed: RunningController, network: Any
) -> None:
    body = {
        "agent": "antigravity",
        "agent_config": {"type": "antigravity", "model": "script/inline"},
        "input": "Hi",
        "environment": {"type": "remote", "network": network},
    }
    headers = {"x-goog-api-key": closed.api_key or ""}
    answer = httpx2.post(f"{closed.url}/v1/interactions", json=body, headers=headers, timeout=60)
    assert answer.status_code == 400, answer.text
    assert "environment.network" in answer.json()["error"]["message"]


def test_n16_an_empty_list_allows_nothing(beyond: RunningController, world: Outside) -> None:
    said = results(beyond.run(fence("bash", "curl -sS -m 30 http://empty.test/"), allowing()))
    assert "nothing is allowed" in said[0]
    assert not [one for one in world.asked if "empty.test" in one]
    beyond.run(fence("bash", "curl -sS -m 30 http://empty.test/"), allowing("empty.test"))
    assert [one for one in world.asked if "empty.test" in one], "the control is asked for"


def test_n17_the_callers_own_credentials_do_not_pass(
    beyond: RunningController, world: Outside
) -> None:
    curl = (
        "curl -sS -m 30 -u me:mine -b session=evil -H 'X-Api-Key: evil' "
        "-H 'Proxy-Authorization: evil' -H 'X-Forwarded-For: evil' -H 'X-Fine: fine' "
    )
    prompt = fence("bash", f"{curl} 'https://signed.test/?api_key=evil&q=1'")
    signed = {"domain": "signed.test", "transform": {"Authorization": "Bearer ours"}}
    beyond.run(prompt, allowing(signed))
    seen = world.last("signed.test")
    assert seen.headers["authorization"] == "Bearer ours"
    assert seen.headers["x-fine"] == "fine"
    assert "evil" not in f"{seen.headers} {seen.path}"
    beyond.run(prompt, allowing("signed.test"))
    assert "evil" in f"{world.last('signed.test').headers}", "the control sends its own"


def test_n23_what_a_server_reflects_is_masked(beyond: RunningController) -> None:
    token = "reflected-canary-0f5d8e21"
    rules = allowing({"domain": "echo.test", "transform": {"Authorization": f"Bearer {token}"}})
    run = beyond.run(fence("bash", "curl -sS -m 30 https://echo.test/"), rules)
    assert token not in str(run)
    assert "****" in results(run)[0]
