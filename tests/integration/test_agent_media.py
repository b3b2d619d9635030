"""Files and pictures in an agent's run: its loop is in the sandbox, the bytes stay outside."""

from __future__ import annotations

import base64
import http.server
import io
import json
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import docx
import pytest
from google import genai
from google.genai import types

from tests.contract.model_stories import PNG
from tests.support.sandlot import AGENT, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}}}
models:
  default: seeing/tiny
  providers:
    seeing: {{kind: openai_compatible, base_url: "{url}"}}
    blind: {{kind: openai_compatible, base_url: "{url}", vision: false}}
"""
SHOW = f"""
import base64
from IPython.display import Image, display
display(Image(data=base64.b64decode("{PNG}"), format="png"))
"""


def answer_to(body: dict[str, Any]) -> dict[str, Any]:
    """A model that shows a picture and is content."""
    if any(message["role"] == "tool" for message in body["messages"]):
        return {"content": "Seen."}
    arguments = json.dumps({"code": SHOW, "language": "python"})
    function = {"name": "code_execution", "arguments": arguments}
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


def document() -> bytes:
    made, paper = io.BytesIO(), docx.Document()
    paper.add_paragraph("We meet in Lisbon.")
    paper.save(made)
    return made.getvalue()


def test_uploads_reach_the_model_and_pictures_of_tools_come_back(
    tmp_path: Path, image: str, model_server: tuple[str, list[dict[str, Any]]]
) -> None:
    url, asked = model_server
    photo = base64.b64decode(PNG) + bytes(9_000_000)
    (tmp_path / "photo.png").write_bytes(photo)
    (tmp_path / "minutes.docx").write_bytes(document())
    with running_controller(tmp_path / "state", CONFIG.format(image=image, url=url)) as controller:
        options = types.HttpOptions(base_url=controller.url)
        with genai.Client(api_key=controller.api_key, http_options=options) as client:
            files = [
                client.files.upload(file=tmp_path / name) for name in ("photo.png", "minutes.docx")
            ]
            parts = [
                {"type": "text", "text": "Look at both."},
                {"type": "image", "uri": files[0].uri},
                {"type": "document", "uri": files[1].uri, "mime_type": files[1].mime_type},
            ]
            run = client.interactions.create(agent=AGENT, input=parts, environment="remote")
            assert (run.status, run.output_text) == ("completed", "Seen.")
            again = client.interactions.create(
                agent=AGENT,
                agent_config={"type": "antigravity", "model": "blind/tiny"},
                input="And you?",
                previous_interaction_id=run.id,
                environment=run.environment_id,
            )
            assert again.status == "completed"
    shown = [message for message in asked[0]["messages"] if message["role"] == "user"]
    text, picture, paper = shown[0]["content"]
    assert text["text"] == "Look at both."
    assert base64.b64decode(picture["image_url"]["url"].partition(",")[2]) == photo
    assert "We meet in Lisbon." in paper["text"]
    made = asked[1]["messages"][-1]["content"][-1]
    assert made["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    (result,) = [step for step in run.steps if step.type == "code_execution_result"]
    assert PNG in str(result.model_dump())
    told = json.dumps(asked[-1]["messages"])
    assert "image_url" not in told
    assert "left out: this model cannot take it" in told
