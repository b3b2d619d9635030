"""One conversation that searches, reads, asks an MCP server and a function, and runs code."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.contract.model_servers import ModelServer, Reply, model_server
from tests.support.mcp_world import weather
from tests.support.sandlot import AGENT, RunningController, running_controller
from tests.support.web_world import web

pytestmark = [pytest.mark.anyio, pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}}}
models:
  default: local/tiny
  providers: {{local: {{kind: openai_compatible, base_url: "{model}/v1"}}}}
search: {{provider: searxng, base_url: "{site}"}}
outbound: {{allow: [127.0.0.1]}}
"""
CODE = "open('report.txt', 'w').write('23 degrees')\nprint(open('report.txt').read())"
FUNCTION = {
    "type": "function",
    "name": "book",
    "description": "Books a table.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def chat(**delta: Any) -> Reply:
    reason = "tool_calls" if "tool_calls" in delta else "stop"
    chunks = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", **delta}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}},
    ]
    return Reply(chunks=[*(f"data: {json.dumps(one)}\n\n" for one in chunks), "data: [DONE]\n\n"])


def calls(*wanted: tuple[str, dict[str, Any]]) -> Reply:
    """A turn that calls several tools at once."""
    return chat(
        tool_calls=[
            {
                "index": index,
                "id": f"call_{name}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(wanted)
        ]
    )


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    replies = [
        calls(("google_search", {"queries": ["weather in Rome"]})),
        calls(
            ("weather__temperature", {"city": "Rome"}),
            ("code_execution", {"language": "python", "code": CODE}),
            ("book", {"city": "Rome"}),
        ),
        calls(("code_execution", {"language": "bash", "code": "cat report.txt"})),
        chat(content="It is 23 degrees and the table is booked."),
    ]
    async with model_server(*replies) as server:
        yield server


async def test_a_local_model_uses_everything_in_one_conversation(
    model: ModelServer, image: str, tmp_path: Path
) -> None:
    async with web() as site, weather() as (mcp, _):
        config = CONFIG.format(image=image, model=model.address, site=site)
        tools = [
            {"type": "mcp_server", "name": "weather", "url": mcp},
            {"type": "google_search"},
            {"type": "code_execution"},
            FUNCTION,
        ]
        await anyio.to_thread.run_sync(converse, tmp_path, config, tools)
    results = [m for m in model.asked[-1].body["messages"] if m["role"] == "tool"]
    told = {m["tool_call_id"]: str(m["content"]) for m in results}
    assert "http://a.example/0" in told["call_google_search"]
    assert "23 degrees in Rome" in told["call_weather__temperature"]
    assert "table 7" in told["call_book"]
    assert told["call_code_execution"].strip() == "23 degrees"


def converse(folder: Path, config: str, tools: list[dict[str, Any]]) -> None:
    with running_controller(folder, config) as controller:
        asked = create(controller, "How is it in Rome? Book a table.", tools=tools)
        assert asked.status == "requires_action", asked
        kinds = {step.type for step in asked.steps}
        assert {"google_search_result", "mcp_server_tool_result"} <= kinds
        (call,) = [step for step in asked.steps if getattr(step, "name", "") == "book"]
        answer = {
            "type": "function_result",
            "name": "book",
            "call_id": call.id,
            "result": "table 7",
        }
        ended = create(
            controller,
            [answer],
            tools=tools,
            previous_interaction_id=asked.id,
            environment=asked.environment_id,
        )
    assert ended.status == "completed", ended
    assert ended.output_text == "It is 23 degrees and the table is booked."
    assert ended.environment_id == asked.environment_id


def create(controller: RunningController, given: Any, **more: Any) -> Any:
    more.setdefault("environment", "remote")
    return controller.client.interactions.create(agent=AGENT, input=given, **more)
