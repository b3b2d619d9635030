"""Steps, events and inputs of the OpenAI-style API, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.api.compat.openai.chat import ChatChunks, failure
from runtime.api.compat.openai.events import ResponseEvents
from runtime.api.compat.openai.faults import as_error, error_body
from runtime.api.compat.openai.inputs import read_input
from runtime.api.compat.openai.items import Naming, output_items
from runtime.api.compat.openai.tools import openai_choice, openai_tools, wire_choice, wire_tools
from runtime.errors import InvalidRequest, ModelRateLimited
from runtime.schema.events import fold
from runtime.schema.steps import STEPS

Json = dict[str, Any]
NAMING = Naming("1", frozenset({"ask"}), "e1")
HEAD: Json = {"id": "resp_1", "status": "in_progress", "output": [], "error": None}


def step(index: int, start: Json, *deltas: Json) -> list[Json]:
    return [
        {"event_type": "step.start", "index": index, "step": start},
        *({"event_type": "step.delta", "index": index, "delta": delta} for delta in deltas),
        {"event_type": "step.stop", "index": index},
    ]


def log_of(*steps: list[Json], status: str = "completed", **more: Any) -> list[Json]:
    last = {"status": status, "updated": "2026-01-31T12:00:00Z", **more}
    return [
        {"event_type": "interaction.created", "interaction": {}},
        *(event for events in steps for event in events),
        {"event_type": "interaction.completed", "interaction": last},
    ]


def played(log: list[Json]) -> list[Json]:
    translation = ResponseEvents(HEAD, NAMING)
    return [found for event in log for found in translation.feed(event)]


def text(text: str) -> Json:
    return {"type": "text", "text": text}


CODE = {"code": "1+1", "language": "python"}
CITATION = {"type": "url_citation", "url": "http://x", "title": "X", "start_index": 0}
TOOLS = log_of(
    step(
        0,
        {"type": "code_execution_call", "id": "a", "arguments": {}},
        {"type": "code_execution_call", "arguments": CODE},
    ),
    step(
        1,
        {"type": "code_execution_result", "call_id": "a"},
        {"type": "code_execution_result", "result": "2"},
        {"type": "image", "data": "aGk=", "mime_type": "image/png"},
    ),
    step(
        2,
        {"type": "mcp_server_tool_call", "id": "b", "name": "look", "server_name": "s"},
        {"type": "mcp_server_tool_call", "name": "look", "arguments": {"at": 1}},
    ),
    step(
        3,
        {"type": "function_call", "id": "c", "name": "view_file"},
        {"type": "arguments_delta", "arguments": '{"path"'},
        {"type": "arguments_delta", "arguments": ': "a"}'},
    ),
    step(
        4,
        {"type": "function_result", "call_id": "c", "name": "view_file"},
        {"type": "function_result", "result": "It is not there.", "is_error": True},
    ),
    step(
        5,
        {"type": "mcp_server_tool_result", "call_id": "b", "name": "look"},
        {"type": "mcp_server_tool_result", "result": [text("seen")]},
    ),
    step(
        6,
        {"type": "google_search_call", "id": "d"},
        {"type": "google_search_call", "arguments": {"queries": ["q"]}},
    ),
    step(7, {"type": "google_search_result", "call_id": "d"}),
    step(
        8,
        {"type": "model_output"},
        text("See "),
        text("this."),
        {"type": "text_annotation_delta", "annotations": [CITATION]},
        text("And that:"),
        {"type": "image", "data": "aGk=", "mime_type": "image/png"},
    ),
    step(
        9,
        {"type": "function_call", "id": "f", "name": "ask"},
        {"type": "arguments_delta", "arguments": '{"a": 1}'},
    ),
    status="requires_action",
)


def test_a_stream_adds_up_to_its_response() -> None:
    events = played(TOOLS)
    response = events[-1]["response"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert sorted(done, key=lambda item: item["id"]) == sorted(
        response["output"], key=lambda item: item["id"]
    )
    assert [event["item"]["id"] for event in added] == [item["id"] for item in response["output"]]
    assert [event["output_index"] for event in added] == list(range(len(added)))
    assert response["output"] == output_items(fold(TOOLS), NAMING)
    assert events[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert played(TOOLS) == events


def test_tools_that_ran_here_need_no_answer() -> None:
    code, mcp, sandbox, search, message, picture, function = output_items(fold(TOOLS), NAMING)
    assert (code["type"], code["code"], code["container_id"]) == (
        "code_interpreter_call",
        "1+1",
        "e1",
    )
    assert code["outputs"] == [
        {"type": "logs", "logs": "2"},
        {"type": "image", "url": "data:image/png;base64,aGk="},
    ]
    assert (mcp["server_label"], mcp["arguments"], mcp["output"]) == ("s", '{"at": 1}', "seen")
    assert (sandbox["type"], sandbox["server_label"]) == ("mcp_call", "sandbox")
    assert (sandbox["error"], sandbox["output"]) == ("It is not there.", None)
    assert (search["type"], search["action"]["query"]) == ("web_search_call", "q")
    assert [part["text"] for part in message["content"]] == ["See this.", "And that:"]
    assert message["content"][0]["annotations"][0]["url"] == "http://x"
    assert (picture["type"], picture["result"]) == ("image_generation_call", "aGk=")
    assert (function["type"], function["call_id"]) == ("function_call", "f")


def test_text_parts_are_numbered() -> None:
    deltas = [e for e in played(TOOLS) if e["type"] == "response.output_text.delta"]
    assert [event["content_index"] for event in deltas] == [0, 0, 1]


def test_a_run_that_was_cut_short_keeps_its_open_call() -> None:
    log = log_of(TOOLS[1:4], status="cancelled")
    last = played(log)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "cancelled"
    assert last["response"]["output"][0]["status"] == "in_progress"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("failed", "out_of_memory", "response.failed"),
        ("incomplete", "token_limit", "response.incomplete"),
    ],
)
def test_how_a_stream_ends(status: str, code: str, kind: str) -> None:
    error = {"code": code, "message": "No."}
    last = played(log_of(status=status, error=error))[-1]
    assert last["type"] == kind
    found = last["response"]["error"] or last["response"]["incomplete_details"]
    assert found in (
        {"code": "server_error", "message": "No."},
        {"reason": "max_output_tokens"},
    )


def test_chat_chunks_show_the_callers_functions_only() -> None:
    chunks = ChatChunks({"id": "x"}, NAMING, with_usage=False)
    found = [chunk for event in TOOLS for chunk in chunks.feed(event)]
    deltas = [chunk["choices"][0]["delta"] for chunk in found]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["function"]["name"] == "ask"
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a": 1}'
    assert "".join(delta.get("content") or "" for delta in deltas) == "See this.And that:"
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_texts_around_tools_are_paragraphs_of_a_chat() -> None:
    log = log_of(
        step(0, {"type": "model_output"}, text("First.")),
        step(1, {"type": "code_execution_call", "id": "a"}),
        step(2, {"type": "model_output"}, text("Then"), text(" this.")),
    )
    chunks = ChatChunks({}, NAMING, with_usage=False)
    found = [chunk["choices"][0]["delta"] for event in log for chunk in chunks.feed(event)]
    assert "".join(delta.get("content") or "" for delta in found) == "First.\n\nThen this."


def test_every_item_can_be_given_back() -> None:
    items = output_items(fold(TOOLS), NAMING)
    kept = [item for item in items if item["type"] != "image_generation_call"]
    steps = read_input([{"role": "user", "content": "x"}, *kept]).steps
    STEPS.validate_python(steps)
    assert [found["type"] for found in steps][1:3] == [
        "code_execution_call",
        "code_execution_result",
    ]


def test_tools_there_and_back() -> None:
    mcp = {
        "type": "mcp",
        "server_label": "s",
        "server_url": "http://s",
        "authorization": "secret",
        "require_approval": "never",
    }
    code = {"type": "code_interpreter", "container": {"type": "auto"}}
    wire = wire_tools([{"type": "web_search"}, code, mcp])
    assert [tool["type"] for tool in wire] == ["google_search", "code_execution", "mcp_server"]
    assert wire[2]["headers"] == {"Authorization": "Bearer secret"}
    shown = openai_tools(wire)
    assert [tool["type"] for tool in shown] == ["web_search", "code_interpreter", "mcp"]
    assert "secret" not in str(shown)


@pytest.mark.parametrize(
    "choice",
    [
        "auto",
        "none",
        "required",
        {"type": "function", "name": "f"},
        {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}],
        },
    ],
)
def test_choices_there_and_back(choice: Any) -> None:
    assert openai_choice(wire_choice(choice)) == choice


def test_errors() -> None:
    body = error_body(400, "invalid_request", "labels: at most 64 are allowed.")["error"]
    assert (body["param"], body["message"]) == ("metadata", "metadata: at most 64 are allowed.")
    unknown = error_body(400, "invalid_request", "Unknown parameter 'a.b'.")["error"]
    assert (unknown["param"], unknown["code"]) == ("a.b", "unknown_parameter")
    assert error_body(503, "storage_unavailable", "No.")["error"]["type"] == "server_error"
    assert isinstance(as_error("model_rate_limited", "Slow."), ModelRateLimited)
    assert as_error("odd", "Odd.").http_status == 500
    cancelled = failure("cancelled", None)
    assert cancelled is not None
    assert cancelled.code == "cancelled"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"type": "message", "role": "robot", "content": "x"}], r"input\[0\].role"),
        ([{"role": "user", "content": "x", "mood": 1}], r"input\[0\].mood"),
        ([{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{"}], "valid JSON"),
        ([3], r"input\[0\]: must be an object"),
        ([{"type": "reasoning", "summary": ["a"]}], r"input\[0\]: has a part"),
        ([{"type": "code_interpreter_call", "id": "x", "outputs": [3]}], r"input\[0\]: has a"),
        (
            [{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]}],
            "begins with http:// or https://",
        ),
    ],
)
def test_inputs_that_cannot_be_read(items: list[Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_input(items)
