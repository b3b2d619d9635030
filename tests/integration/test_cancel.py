"""Cancelling takes hold within a second, wherever the run is."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.sandlot import AGENT, RunningController, fence, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SLOW_SERVER = """
import http.server, threading
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        threading.Event().wait(60)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Slow)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


def cancelled_in_time(controller: RunningController, interaction_id: str) -> None:
    before = time.monotonic()
    assert controller.client.interactions.cancel(interaction_id).status == "cancelled"
    assert time.monotonic() - before < 20, "long before the cell would end"


def test_in_the_middle_of_a_page_load(sandlot: RunningController) -> None:
    first = sandlot.run(fence("python", SLOW_SERVER))
    assert first.status == "completed"
    page = '```tool browser_navigate\n{"url": "http://localhost:8099/"}\n```'
    started = sandlot.start(page, first.environment_id)
    sandlot.wait_for_step(started.id, "browser_navigate")
    time.sleep(1.5)  # Chromium starts meanwhile; there is no event for a page that hangs
    cancelled_in_time(sandlot, started.id)
    hello = "mkdir -p site && echo '<h1>Hello</h1>' > site/index.html"
    prompt = fence("bash", hello) + '\n```tool browser_navigate\n{"url": "site/index.html"}\n```'
    again = sandlot.run(prompt, first.environment_id)
    assert again.status == "completed" and "Hello" in results(again)[1]


def test_as_soon_as_it_is_accepted(sandlot: RunningController) -> None:
    """However early a cancel comes, the sandbox obeys and is kept."""
    first = sandlot.run(fence("python", "kept = 42"))
    assert first.environment_id is not None
    sandbox = sandlot.sandbox_of(first.environment_id).id
    for _ in range(15):
        started = sandlot.start(fence("bash", "sleep 600"), first.environment_id)
        assert sandlot.client.interactions.cancel(started.id).status == "cancelled"
    again = sandlot.run(fence("python", "print(kept)"), first.environment_id)
    assert results(again) == ["42\n"]
    assert sandlot.sandbox_of(first.environment_id).id == sandbox


@pytest.fixture
def silent_model() -> Generator[tuple[str, threading.Event]]:
    """A chat-completions server that takes a request and never answers it."""
    asked, done = threading.Event(), threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.set()
            done.wait(60)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    done.set()
    server.shutdown()
    server.server_close()


def test_in_the_middle_of_a_model_call(
    tmp_path: Path, image: str, silent_model: tuple[str, threading.Event]
) -> None:
    url, asked = silent_model
    config = f"""
sandbox: {{image: {image}}}
models:
  default: slow/model
  providers: {{slow: {{kind: openai_compatible, base_url: "{url}"}}}}
"""
    with running_controller(tmp_path, config) as controller:
        started = controller.client.interactions.create(
            agent=AGENT, input="hello", environment="remote", background=True
        )
        assert asked.wait(30)
        cancelled_in_time(controller, started.id)
