"""An agent on a model server of one's own: three lines of configuration, a real sandbox."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandlot import AGENT, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}}}
models:
  default: local/tiny
  providers: {{local: {{kind: openai_compatible, base_url: "{url}"}}}}
"""
CALL = {"code": "print(6 * 7)", "language": "python"}


def answer_to(body: dict[str, Any]) -> dict[str, Any]:
    """A model that runs one cell and repeats what came of it."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return {"content": f"The cell says {str(last['content']).strip()}."}
    function = {"name": "code_execution", "arguments": json.dumps(CALL)}
    return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}


@pytest.fixture
def model_server() -> Generator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    class ChatCompletions(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body)
            delta = answer_to(body)
            reason = "tool_calls" if "tool_calls" in delta else "stop"
            chunks = [
                {"choices": [{"index": 0, "delta": {"role": "assistant", **delta}}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
                {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}},
            ]
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for chunk in chunks:
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ChatCompletions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    server.server_close()


def test_an_agent_works_with_a_local_model(
    tmp_path: Path, image: str, model_server: tuple[str, list[dict[str, Any]]]
) -> None:
    url, asked = model_server
    with running_controller(tmp_path, CONFIG.format(image=image, url=url)) as controller:
        run = controller.client.interactions.create(
            agent=AGENT, input="What is six times seven?", environment="remote"
        )
    assert run.status == "completed" and run.output_text == "The cell says 42."
    assert results(run) == ["42\n"]
    assert run.usage is not None and run.usage.total_tokens == 28
    offered = {tool["function"]["name"] for tool in asked[0]["tools"]}
    assert {"code_execution", "view_file", "browser_navigate"} <= offered
    system = asked[0]["messages"][0]
    assert system["role"] == "system" and "by HTTP and HTTPS only" in str(system["content"])
    assert asked[0]["messages"] == asked[1]["messages"][: len(asked[0]["messages"])], (
        "the second prompt begins with the first, so that a provider's cache hits"
    )
