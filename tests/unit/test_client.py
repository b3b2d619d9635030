from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import errors
from runtime.client import AsyncClient, Client, ControllerUnreachable
from runtime.client.discovery import discover, find_key, running_controller, state_folder
from runtime.client.records import Interaction
from runtime.client.requests import create_body
from runtime.client.stream import read_event
from tests.support.wire_controller import KEY, Wire, numbered, serving, step_events

pytestmark = pytest.mark.anyio

ID = "v1_0000"
USAGE = {"total_input_tokens": 7, "total_output_tokens": 3, "total_tokens": 10}


def settled(status: str = "completed") -> dict[str, Any]:
    return {
        "id": ID,
        "status": status,
        "agent": "tour",
        "environment_id": "e" * 32,
        "usage": USAGE,
        "steps": [
            {"type": "thought", "summary": [{"type": "text", "text": "hm"}]},
            {"type": "hologram", "depth": 3},
            {"type": "model_output", "content": [{"type": "text", "text": "the answer"}]},
        ],
    }


def log() -> list[dict[str, Any]]:
    return numbered(
        {
            "event_type": "interaction.created",
            "interaction": {"id": ID, "status": "in_progress"},
        },
        *step_events(
            0,
            {"type": "model_output"},
            {"type": "text", "text": "the "},
            {"type": "text", "text": "answer"},
        ),
        {"event_type": "interaction.completed", "interaction": {"id": ID, "status": "completed"}},
    )


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving(Wire(interaction=settled(), events=log())) as serving_wire:
        yield serving_wire


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(wire.url, KEY) as opened:
        yield opened


async def test_create_returns_the_settled_interaction(client: AsyncClient) -> None:
    run = await client.interactions.create(agent="tour", input="go")

    assert (run.id, run.status, run.done, run.operation_id) == (ID, "completed", True, ID)
    assert run.output_text == "the answer"
    assert run.usage is not None
    assert run.usage.total_tokens == 10
    assert [step.type for step in run.steps] == ["thought", "hologram", "model_output"]
    assert run.environment_id == "e" * 32


async def test_guide_style_names_become_the_wire_s(client: AsyncClient, wire: Wire) -> None:
    await client.interactions.create(
        agent_id="antigravity",
        contents=["Find it.", {"type": "text", "text": "Now."}],
        session_config={"ttl": "3600s"},
        background=True,
    )

    assert wire.bodies == [
        {
            "agent": "antigravity",
            "input": [{"type": "text", "text": "Find it."}, {"type": "text", "text": "Now."}],
            "session_config": {"ttl": "3600s"},
            "environment": "remote",
            "background": True,
        }
    ]


def test_roles_and_parts_become_steps() -> None:
    contents = [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": ["hello"]},
    ]

    assert create_body({"model": "m", "contents": contents}, stream=False)["input"] == [
        {"type": "user_input", "content": [{"type": "text", "text": "hi"}]},
        {"type": "model_output", "content": [{"type": "text", "text": "hello"}]},
    ]


def test_the_model_of_an_agent_is_part_of_its_configuration() -> None:
    body = create_body({"agent": "a", "model": "gpt-x", "input": "t"}, stream=True)

    assert "model" not in body
    assert body["agent_config"] == {"type": "antigravity", "model": "gpt-x"}
    assert body["stream"] is True


def test_going_on_from_an_interaction_does_not_ask_for_a_new_environment() -> None:
    body = create_body({"agent": "a", "previous_interaction_id": ID}, stream=False)

    assert "environment" not in body


@pytest.mark.parametrize("drops", [[], [0], [2], [1, 1, 1], [4, 0, 1]])
async def test_a_stream_yields_every_event_once_whatever_breaks(
    client: AsyncClient, wire: Wire, drops: list[int]
) -> None:
    wire.drops = list(drops)

    async with client.interactions.stream(ID) as stream:
        seen = [event async for event in stream]

    assert [event.event_id for event in seen] == [event["event_id"] for event in wire.events]
    assert [event.wire for event in seen] == wire.events
    assert wire.drops == []


async def test_a_stream_resumes_after_the_last_event_it_saw(
    client: AsyncClient, wire: Wire
) -> None:
    wire.drops = [2]

    _ = [event async for event in client.interactions.stream(ID)]

    assert wire.requests[0].endswith("?stream=true")
    assert wire.requests[1].endswith("?stream=true&last_event_id=v2")


async def test_a_created_stream_resumes_too(client: AsyncClient, wire: Wire) -> None:
    wire.drops = [3]

    stream = await client.interactions.create(agent="tour", input="go", stream=True)
    seen = [event.event_id async for event in stream]

    assert seen == ["v1", "v2", "v3", "v4", "v5", "v6"]
    assert [line.split("?")[0] for line in wire.requests] == [
        "POST /v1/interactions",
        f"GET /v1/interactions/{ID}",
    ]


async def test_a_stream_starts_after_the_event_that_is_named(client: AsyncClient) -> None:
    seen = [event.event_id async for event in client.interactions.stream(ID, "v4")]

    assert seen == ["v5", "v6"]


async def test_a_stream_of_an_unknown_interaction_is_not_retried(
    client: AsyncClient, wire: Wire
) -> None:
    with pytest.raises(errors.NotFound):
        _ = [event async for event in client.interactions.stream("v1_other")]

    assert len(wire.requests) == 1


async def test_a_stream_passes_over_what_is_no_event(client: AsyncClient, wire: Wire) -> None:
    wire.preludes = [': hello\r\n\r\nretry: 10\r\n\r\ndata: {"x":1}\r\n\r\ndata: junk\r\r']
    wire.events.insert(1, {"event_id": "v1b", "event_type": "step.sparkle", "glitter": [1]})

    seen = [event async for event in client.interactions.stream(ID)]

    assert [event.event_type for event in seen][:2] == ["interaction.created", "step.sparkle"]
    assert len(seen) == 7


async def test_a_call_whose_connection_breaks_is_made_again_under_the_same_key(
    client: AsyncClient, wire: Wire
) -> None:
    wire.broken_creates = 2

    run = await client.interactions.create(agent="tour", input="go")
    await client.interactions.create(agent="tour", input="go")

    assert run.status == "completed"
    assert wire.keys[0] is not None
    assert wire.keys[0] == wire.keys[1] == wire.keys[2] != wire.keys[3]


async def test_an_error_that_is_not_in_the_log_is_a_broken_stream(
    client: AsyncClient, wire: Wire
) -> None:
    refusal = {"event_type": "error", "error": {"code": "internal", "message": "m"}}
    wire.preludes = [f"data: {json.dumps(refusal)}\n\n"]

    seen = [event.event_id async for event in client.interactions.stream(ID)]

    assert seen == ["v1", "v2", "v3", "v4", "v5", "v6"]
    assert len(wire.requests) == 2


def test_the_id_of_a_server_sent_event_stands_in_for_a_missing_one() -> None:
    event = read_event('{"event_type": "error", "error": {"message": "no"}}', "v9")

    assert event is not None
    assert event.event_id == "v9"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (404, {"error": {"code": "not_found", "message": "m"}}, errors.NotFound, "not_found"),
        (400, {"error": {"code": "odd", "message": "m"}}, errors.InvalidRequest, "odd"),
        (
            400,
            {"error": {"code": "model_not_configured", "message": "m"}},
            errors.ModelNotConfigured,
            "model_not_configured",
        ),
        (429, {"error": {"code": 8, "message": "m"}}, errors.ResourceExhausted, None),
        (418, {"teapot": True}, errors.SandlotError, "internal"),
    ],
)
async def test_errors_are_classes(
    client: AsyncClient,
    wire: Wire,
    status: int,
    body: dict[str, Any],
    kind: type[errors.SandlotError],
    code: str | None,
) -> None:
    wire.error = (status, body)

    with pytest.raises(kind) as caught:
        await client.interactions.get(ID)

    assert caught.value.http_status == status
    assert code is None or caught.value.code == code
    assert caught.value.message == "m" or "teapot" in caught.value.message


async def test_a_wrong_key_is_named(wire: Wire) -> None:
    async with AsyncClient(wire.url, "wrong") as client:
        with pytest.raises(errors.Unauthenticated):
            await client.agents.list()


async def test_no_controller_is_named() -> None:
    async with AsyncClient("http://127.0.0.1:1", "k") as client:
        with pytest.raises(ControllerUnreachable, match=r"http://127\.0\.0\.1:1"):
            await client.interactions.get(ID)
        assert not await client.is_ready()


async def test_an_address_that_is_none_is_named() -> None:
    async with AsyncClient("localhost:8080", "k") as client:
        with pytest.raises(errors.InvalidRequest, match="localhost:8080"):
            await client.interactions.get(ID)


async def test_operations_are_listed_over_pages(client: AsyncClient, wire: Wire) -> None:
    wire.operations = [{"name": f"operations/v1_{n}", "done": True} for n in range(250)]

    found = await client.interactions.operations.list(limit=230)

    assert [operation.id for operation in found] == [f"v1_{n}" for n in range(230)]
    assert len(wire.requests) == 3


async def test_an_operation_knows_its_interaction(client: AsyncClient, wire: Wire) -> None:
    wire.operations = [{"name": f"operations/{ID}", "done": True, "response": settled()}]

    operation = await client.interactions.operations.wait(ID, 5)

    assert (operation.done, operation.status) == (True, "completed")
    assert operation.output_text == "the answer"


async def test_waiting_has_a_deadline(client: AsyncClient, wire: Wire) -> None:
    wire.operations = [{"name": f"operations/{ID}", "done": False}]

    with pytest.raises(TimeoutError):
        await client.interactions.operations.wait(ID, 0.05)


async def test_files_travel_as_streams(client: AsyncClient, tmp_path: Path) -> None:
    files = client.environments.files
    source = tmp_path / "big.bin"
    source.write_bytes(os.urandom(5 * 1024 * 1024 + 7))

    await files.upload("env", "/workspace/a b/big.bin", source)
    written = await files.download("env", "workspace/a b/big.bin", tmp_path / "back.bin")
    sizes = [len(chunk) async for chunk in files.chunks("env", "workspace/a b/big.bin")]

    assert written == source.stat().st_size
    assert digest(tmp_path / "back.bin") == digest(source)
    assert max(sizes) <= 2 * 1024 * 1024
    assert len(sizes) <= 6
    assert [row.path for row in await files.list("env", "workspace", recursive=True)] == [
        "workspace/a b/big.bin"
    ]


@pytest.mark.parametrize("source", [b"", b"abc", iter([b"a", b"", b"bc"])])
async def test_uploads_come_from_bytes_and_iterables(
    client: AsyncClient, wire: Wire, source: Any
) -> None:
    (row,) = await client.environments.files.upload("env", "x", source)

    assert wire.files["x"] in {b"", b"abc"}
    assert row.size_bytes == len(wire.files["x"])


async def test_an_upload_does_not_overwrite_unasked(client: AsyncClient, wire: Wire) -> None:
    wire.files["x"] = b"old"

    with pytest.raises(errors.Conflict):
        await client.environments.files.upload("env", "x", b"new")
    await client.environments.files.upload("env", "x", b"new", overwrite=True)

    assert wire.files["x"] == b"new"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_blocking_client_does_the_same(wire: Wire, tmp_path: Path) -> None:
    wire.drops = [2, 1]
    wire.operations = [{"name": f"operations/{ID}", "done": True, "response": settled()}]

    with Client(wire.url, KEY) as client:
        run = client.interactions.create(agent_id="tour", contents=["go"])
        events = list(client.interactions.create(agent="tour", input="go", stream=True))
        client.environments.files.upload("env", "x", b"abc")
        chunks = list(client.environments.files.chunks("env", "x"))
        operation = client.interactions.operations.get(run.operation_id)

    assert run.output_text == operation.output_text == "the answer"
    assert [event.event_id for event in events] == ["v1", "v2", "v3", "v4", "v5", "v6"]
    assert chunks == [b"abc"]


def test_the_blocking_client_raises_the_same_errors(wire: Wire) -> None:
    with Client(wire.url, KEY) as client, pytest.raises(errors.NotFound):
        client.interactions.get("v1_other")


def test_a_blocking_stream_can_be_left(wire: Wire) -> None:
    with Client(wire.url, KEY) as client, client.interactions.stream(ID) as stream:
        assert next(stream).event_id == "v1"


def test_a_stream_that_is_dropped_is_closed_in_silence(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    wire.held = threading.Event()
    with Client(wire.url, KEY) as client:
        for _ in range(3):
            assert next(iter(client.interactions.stream(ID))).event_id == "v1"
        for event in client.interactions.create(agent="tour", input="go", stream=True):
            assert event.event_id == "v1"
            break
        wire.held.set()
    assert caplog.text == ""


TEXT = {"type": "text", "text": "a"}
IMAGE = {"type": "image", "data": "AA=="}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], ""),
        ([("model_output", [TEXT, TEXT])], "aa"),
        ([("model_output", [TEXT]), ("thought", []), ("model_output", [TEXT])], "aa"),
        ([("model_output", [TEXT]), ("user_input", [TEXT])], ""),
        ([("model_output", [TEXT, IMAGE, TEXT])], "a"),
        ([("model_output", [TEXT, IMAGE])], "a"),
        ([("model_output", [TEXT]), ("code_execution_call", []), ("model_output", [TEXT])], "a"),
        ([("model_output", [TEXT]), ("code_execution_call", [])], "a"),
    ],
)
def test_output_text_is_the_trailing_text(
    steps: list[tuple[str, list[Any]]], expected: str
) -> None:
    rows = [
        {"type": kind, "content": content, "id": "c", "arguments": {}} for kind, content in steps
    ]
    run = Interaction.model_validate({"id": ID, "status": "completed", "steps": rows})

    assert run.output_text == expected


def test_the_flag_wins_over_the_variable_over_the_default(tmp_path: Path) -> None:
    variables = {"SANDLOT_STATE_DIR": str(tmp_path / "variable")}

    assert state_folder(tmp_path / "flag", variables).path == tmp_path / "flag"
    assert state_folder(None, variables).path == tmp_path / "variable"
    assert state_folder(None, {}).path == Path.home() / ".local/state/sandlot"


def test_the_variable_key_wins_over_the_file(tmp_path: Path) -> None:
    folder = state_folder(tmp_path)
    assert find_key(folder, {}) is None

    folder.key_file.write_text("from-file\n", encoding="utf-8")

    assert find_key(folder, {}) == "from-file"
    assert find_key(folder, {"SANDLOT_API_KEY": "from-variable"}) == "from-variable"


def test_only_a_living_controller_is_discovered(tmp_path: Path) -> None:
    folder = state_folder(tmp_path)
    record = {"url": "http://127.0.0.1:9", "pid": os.getpid(), "started": "2026-01-01T00:00:00Z"}
    folder.address_file.write_text(json.dumps(record), encoding="utf-8")
    folder.key_file.write_text("k", encoding="utf-8")

    with pytest.raises(ControllerUnreachable, match=r"sandlot serve"):
        discover(tmp_path, {})
    with folder.lock_file.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = running_controller(folder)
        endpoint = discover(tmp_path, {})

    assert found is not None
    assert found.pid == os.getpid()
    assert (endpoint.url, endpoint.api_key) == ("http://127.0.0.1:9", "k")
    assert running_controller(folder) is None


def test_a_named_url_wins(tmp_path: Path) -> None:
    endpoint = discover(tmp_path, {"SANDLOT_URL": "http://elsewhere", "SANDLOT_API_KEY": "k"})

    assert (endpoint.url, endpoint.api_key) == ("http://elsewhere", "k")
