"""Finding and building the image, against a daemon that does as it is told."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import runtime
from runtime.errors import SandboxUnavailable, StorageFull
from runtime.sandboxes import image
from runtime.sandboxes.image_plan import DEFAULT_BASE, ImageProgress

Message = dict[str, object]


@dataclass
class Daemon:
    """What it has, what it answers to a build, and what it was asked."""

    images: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    build: list[Message] = field(default_factory=list[Message])
    ends_in_the_middle: bool = False
    asked: list[str] = field(default_factory=list[str])

    def answer(self, path: str) -> tuple[int, list[Message]]:
        self.asked.append(path)
        if path == "/version":
            return 200, [{"ApiVersion": "1.41"}]
        if found := re.match(r"/v1\.41/images/(.+)/json", path):
            labels = self.images.get(found[1])
            if labels is None:
                return 404, [{"message": "No such image"}]
            return 200, [{"Size": 5, "Config": {"Labels": labels}}]
        if path.startswith("/v1.41/images/create"):
            return 500, [{"message": "lookup registry: no such host"}]
        if not self.ends_in_the_middle and not any("error" in each for each in self.build):
            self.images[image.image_tag()] = {}
        return 200, self.build


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    daemon: Daemon

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._reply()

    def _reply(self) -> None:
        status, messages = self.daemon.answer(self.path.split("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for message in messages:
            self._chunk(json.dumps(message).encode() + b"\r\n")
        self.close_connection = self.daemon.ends_in_the_middle and "/build" in self.path
        if not self.close_connection:
            self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(images={DEFAULT_BASE: {}})
    handler = type("Handler", (_Handler,), {"daemon": daemon})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("SANDLOT_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("SANDLOT_BASE_IMAGE", raising=False)
    monkeypatch.setattr(image.trust, "collect", list)  # asking apt and pip takes a second
    yield daemon
    server.shutdown()
    server.server_close()
    thread.join()


def ignore(_: ImageProgress) -> None:
    """Nobody looks."""


def test_an_image_that_is_there_is_taken(daemon: Daemon) -> None:
    daemon.images[image.image_tag()] = {"sandlot.image.protocol": "3"}
    assert image.ensure_image(ignore) == image.image_tag()
    found = image.find_image(image.image_tag())
    assert found is not None
    assert found.protocol == 3
    assert not any("/build" in path for path in daemon.asked)


def test_a_build_says_how_far_it_is(daemon: Daemon) -> None:
    daemon.build = [
        {"stream": "Step 1/3 : FROM x\n"},
        {"stream": "Step 2/3 : RUN sh /steps/agent\n"},
        {"stream": "Collecting numpy\n"},
        {"stream": "Step 3/3 : ENV x=y\n"},
    ]
    seen: list[ImageProgress] = []
    assert image.ensure_image(seen.append) == image.image_tag()
    steps = [(at.step, at.what[:21]) for at in seen if not at.detail]
    assert steps == [
        (1, "choosing a base image"),
        (2, "installing the agent'"),
        (3, "installing the agent'"),
    ]
    assert "Collecting numpy" in [at.detail for at in seen]
    assert "Collecting numpy" in image.log_path().read_text("utf-8")


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        ("write /x: no space left on device", StorageFull, "The disk is full"),
        ("returned a non-zero code: 100", SandboxUnavailable, "The sandbox image could not be"),
        ("E: Failed to fetch http://x", SandboxUnavailable, "A download was refused"),
    ],
)
@pytest.mark.usefixtures("daemon")
def test_a_build_that_fails_gives_one_sentence(
    daemon: Daemon, error: str, kind: type[Exception], sentence: str
) -> None:
    daemon.build = [{"stream": "Step 1/3 : FROM x\n"}, {"error": error}]
    with pytest.raises(kind, match=f"^{sentence}[^\n]*$"):
        image.ensure_image(ignore)
    assert error in image.log_path().read_text("utf-8")


def test_an_earlier_stumble_is_not_the_cause(daemon: Daemon) -> None:
    daemon.build = [
        {"stream": "Failed to fetch, trying again\n"},
        {"stream": "Step 2/3 : RUN x\n"},
        {"error": "exit 1"},
    ]
    with pytest.raises(SandboxUnavailable, match="could not be built"):
        image.ensure_image(ignore)


def test_a_daemon_that_dies_in_the_middle_is_named(daemon: Daemon) -> None:
    daemon.ends_in_the_middle = True
    daemon.build = [{"stream": "Step 1/3 : FROM x\n"}]
    with pytest.raises(SandboxUnavailable, match="daemon"):
        image.ensure_image(ignore)


def test_a_base_that_cannot_be_had_is_named(daemon: Daemon) -> None:
    with pytest.raises(SandboxUnavailable, match="The base image mine:1 is not here"):
        image.ensure_image(ignore, base="mine:1")
    assert not any("/build" in path for path in daemon.asked)


def test_another_base_makes_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = image.image_tag()
    assert image.image_tag(base="mine:1") != usual
    monkeypatch.setenv("SANDLOT_BASE_IMAGE", "mine:1")
    assert image.image_tag() == image.image_tag(base="mine:1")


def test_without_a_daemon_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(SandboxUnavailable, match="does not answer"):
        image.find_image("x")


def test_the_name_says_the_version() -> None:
    assert image.image_tag().startswith(f"sandlot/sandbox:{runtime.__version__}-")
