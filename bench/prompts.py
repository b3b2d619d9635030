"""How much of each prompt is the beginning of the next one, in two runs of one conversation."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

from bench.failures import NotMeasured
from bench.figures import Figure, Target
from bench.samples import Samples
from bench.world import World
from tests.support.sandlot import AGENT, running_controller

TARGET = Target("value", 99.0, at_least=True)
TURNS = 20

Json = dict[str, Any]


def measure(world: World) -> list[Figure]:
    """One figure: an agent of a real sandbox, and a model server that counts."""
    with model_server() as (address, asked):
        world.say(f"prompt: two runs of {TURNS} turns")
        config = (
            f"{world.config}models:\n  default: counted/model\n"
            f"  providers:\n    counted: {{kind: openai_compatible, base_url: '{address}/v1'}}\n"
        )
        with running_controller(world.folder_of("prompt") / "state", config) as controller:
            create = controller.client.interactions.create
            first = create(agent=AGENT, input="Count, please.", environment="remote")
            second = create(
                agent=AGENT,
                input="Once more.",
                previous_interaction_id=first.id,
                environment=first.environment_id or "remote",
            )
    if (first.status, second.status) != ("completed", "completed"):
        raise NotMeasured(f"the runs ended as {first.status} and {second.status}")
    return [_figure([prompt(body) for body in asked])]


@contextmanager
def model_server() -> Generator[tuple[str, list[Json]]]:
    """A chat-completions server that has `TURNS` cells run per input; its address, and bodies."""
    asked: list[Json] = []

    class Completions(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            asked.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for chunk in answer(asked[-1]):
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Completions)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(body: Json) -> list[Json]:
    """A cell, until `TURNS` results stand behind the latest input; then a text."""
    messages: list[Json] = body["messages"]
    made = len(messages) - 1 - max(n for n, one in enumerate(messages) if one["role"] == "user")
    if made >= 2 * TURNS:
        delta: Json = {"content": "Done."}
    else:
        arguments = json.dumps({"language": "python", "code": f"print({made} * 'word ')"})
        function = {"name": "code_execution", "arguments": arguments}
        call = {"index": 0, "id": f"call_{len(messages)}", "type": "function", "function": function}
        delta = {"tool_calls": [call]}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return [
        {"choices": [{"index": 0, "delta": delta}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]


def prompt(body: Json) -> str:
    """What the model reads: the tools, then the conversation with the instruction at its head."""
    return "\n".join(json.dumps(part) for part in [body.get("tools"), *body["messages"]])


def kept(earlier: str, later: str) -> float:
    """The share of `earlier` that `later` begins with, in percent."""
    pairs = enumerate(zip(earlier, later, strict=False))
    common = next((n for n, (a, b) in pairs if a != b), min(len(earlier), len(later)))
    return 100.0 * common / len(earlier)


def _figure(prompts: list[str]) -> Figure:
    shares = [kept(earlier, later) for earlier, later in pairwise(prompts)]
    return Figure(
        name="prompt",
        what=f"how much of a prompt is, byte for byte, the beginning of the next one: an agent's "
        f"run of {TURNS} turns and a second one that follows it; the least of them counts",
        unit="%",
        measured=Samples((min(shares),)),
        target=TARGET,
        details={"calls": float(len(prompts)), "kB at the end": len(prompts[-1]) / 1000},
    )
