"""What goes over the wire, byte by byte where it matters: streams, resume, shutdown, retries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from runtime.api import stream
from runtime.controller.presence import Presence
from runtime.schema.callers import OPERATOR
from runtime.schema.events import EVENT
from tests.support.server import HEADERS, Running, running
from tests.support.services import Models

pytestmark = pytest.mark.anyio

AGENT = {"agent": "antigravity"}


async def create(client: httpx2.AsyncClient, text: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/interactions", json={**AGENT, "input": text, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def blocks(text: str) -> list[dict[str, str]]:
    """The blocks of an event stream, comments left out."""
    found: list[dict[str, str]] = []
    assert text.endswith("\n\n")
    for block in text[:-2].split("\n\n"):
        lines = [line.split(": ", 1) for line in block.split("\n") if not line.startswith(":")]
        if lines:
            assert all(len(line) == 2 for line in lines)
            found.append(dict(lines))
    return found


async def test_the_blocks_of_a_stream(api: Running) -> None:
    async with api.client() as client:
        body = {**AGENT, "input": "code say:Grüße😀", "stream": True}
        answer = await client.post("/v1/interactions", json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    *events, end = blocks(answer.text)
    assert end == {"event": "done", "data": "[DONE]"}
    assert answer.content.endswith(b"event: done\ndata: [DONE]\n\n")
    for number, block in enumerate(events, start=1):
        assert list(block) == ["id", "event", "data"]
        data = json.loads(block["data"])
        assert block["id"] == data["event_id"] == str(number)
        assert block["event"] == data["event_type"]
        EVENT.validate_python(data)
    assert "Grü".encode() in answer.content


async def test_every_end_of_a_run_ends_the_stream_with_completed(api: Running) -> None:
    async with api.client() as client:
        for text, status in [
            ("fail", "failed"),
            ("say:a incomplete", "incomplete"),
            ("call:f", "requires_action"),
            ("refuse", "failed"),
        ]:
            body = {**AGENT, "input": text, "stream": True}
            answer = await client.post("/v1/interactions", json=body)
            *events, _ = blocks(answer.text)
            last = json.loads(events[-1]["data"])
            assert last["event_type"] == "interaction.completed"
            assert last["interaction"]["status"] == status
            assert last["interaction"]["usage"]["total_tokens"] >= 0
            if status == "failed":
                error = json.loads(events[-2]["data"])
                assert error["event_type"] == "error"
                assert error["error"] == last["interaction"]["errors"][0]


async def test_a_failed_start_is_a_failed_interaction(api: Running) -> None:
    async with api.client() as client:
        view = await create(client, "refuse")
        assert view["status"] == "failed"
        assert view["errors"] == [
            {"code": "sandbox_unavailable", "message": "There is no Docker here."}
        ]
        assert (await client.get(f"/v1/interactions/{view['id']}")).json()["status"] == "failed"


async def test_resuming_by_header_and_by_camel_case(api: Running) -> None:
    async with api.client() as client:
        view = await create(client, "say:Hello")
        path = f"/v1beta/interactions/{view['id']}?stream=true"
        by_query = await client.get(f"{path}&lastEventId=3")
        by_header = await client.get(path, headers={"last-event-id": "3"})
    assert by_query.content == by_header.content
    assert blocks(by_query.text)[0]["id"] == "4"


async def test_a_dropped_stream_is_continued_without_gap_or_double(api: Running) -> None:
    body = {**AGENT, "input": "say:one wait say:two", "stream": True, "background": True}
    seen: list[str] = []
    async with api.client() as client:
        async with client.stream("POST", "/v1/interactions", json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    seen.append(event["event_id"])
                    if event["event_type"] == "interaction.created":
                        interaction = event["interaction"]["id"]
                    if event["event_type"] == "step.stop":
                        break
        path = f"/v1/interactions/{interaction}?stream=true&last_event_id={seen[-1]}"
        async with client.stream("GET", path) as answer:
            api.parts.runs.go()
            async for line in answer.aiter_lines():
                seen += [line[4:]] if line.startswith("id: ") else []
    assert seen == [str(n + 1) for n in range(len(seen))]
    assert (await api.parts.interactions.summary("default", interaction)).status == "completed"


async def test_a_silent_stream_is_kept_alive(api: Running) -> None:
    async with api.client() as client:
        begun = await create(client, "hang", background=True)
    sent: list[bytes] = []
    pinged = anyio.Event()

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if message.get("body", b"").startswith(b":"):
            pinged.set()

    async def receive() -> Any:
        await pinged.wait()
        return {"type": "http.disconnect"}

    blocks = stream.stored_blocks(api.parts.log.follow_stored(begun["id"]))
    stay = Presence().enter(OPERATOR)
    answer = stream.EventStream(blocks, anyio.Event(), stay=stay, keep_alive_seconds=0.01)
    with anyio.fail_after(30):
        await answer({"type": "http"}, receive, send)
    assert b": keep-alive\n\n" in sent
    assert not any(b"[DONE]" in block for block in sent)


async def test_shutting_down_ends_streams_and_waiting_calls_at_once(api: Running) -> None:
    answers: list[httpx2.Response] = []

    async def follow(client: httpx2.AsyncClient, interaction: str) -> None:
        answers.append(await client.get(f"/v1/interactions/{interaction}?stream=true"))

    async def wait(client: httpx2.AsyncClient) -> None:
        answers.append(await client.post("/v1/interactions", json={**AGENT, "input": "hang"}))

    async with api.client() as client:
        begun = await create(client, "say:a hang", background=True)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, client, begun["id"])
                tasks.start_soon(wait, client)
                while len(api.parts.runs.plans) < 2:
                    await anyio.lowlevel.checkpoint()
                api.server.should_exit = True
                await api.server.ended.wait()
    by_type = {answer.headers["content-type"]: answer for answer in answers}
    assert "[DONE]" not in by_type["text/event-stream; charset=utf-8"].text
    assert by_type["application/json"].json()["status"] == "in_progress"
    with pytest.raises(httpx2.ConnectError):
        async with api.client() as client:
            await client.get("/livez")


async def test_an_unstored_interaction_is_gone_once_answered(api: Running) -> None:
    async with api.client() as client:
        view = await create(client, "say:secret", store=False)
        assert view["status"] == "completed"
        assert (await client.get(f"/v1/interactions/{view['id']}")).status_code == 404
        follow = {"previous_interaction_id": view["id"]}
        answer = await client.post("/v1/interactions", json={**AGENT, "input": "a", **follow})
        assert answer.status_code == 404
        body = {**AGENT, "input": "say:secret", "store": False, "stream": True}
        streamed = await client.post("/v1/interactions", json=body)
        assert "interaction.completed" in streamed.text
    assert await api.parts.store.interactions.page("default", limit=10) == []


async def test_who_leaves_an_unstored_call_stops_its_run(api: Running) -> None:
    for more in ({}, {"stream": True}):
        before = len(api.parts.runs.plans)
        async with api.client() as client:
            with anyio.move_on_after(5) as scope:
                async with anyio.create_task_group() as tasks:
                    body = {**AGENT, "input": "hang", "store": False, **more}
                    tasks.start_soon(_post, client, body)
                    while len(api.parts.runs.plans) == before:
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
            assert not scope.cancelled_caught
        with anyio.fail_after(30):
            while await api.parts.store.interactions.page("default", limit=10):
                await anyio.lowlevel.checkpoint()


async def _post(client: httpx2.AsyncClient, body: dict[str, Any], **more: Any) -> httpx2.Response:
    return await client.post("/v1/interactions", json=body, **more)


async def test_a_stored_run_goes_on_without_its_caller_and_a_retry_gets_it(api: Running) -> None:
    body = {**AGENT, "input": "wait say:once"}
    async with api.client() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_post, client, body)
            while not api.parts.runs.plans:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(30):
            while not api.services.abandoned._kept:
                await anyio.lowlevel.checkpoint()
        async with anyio.create_task_group() as tasks:
            answers: list[dict[str, Any]] = []

            async def again() -> None:
                answers.append((await _post(client, body)).json())

            tasks.start_soon(again)
            while api.services.abandoned._kept:
                await anyio.lowlevel.checkpoint()
            api.parts.runs.go()
        assert answers[0]["steps"][0]["content"][0]["text"] == "once"
        assert len(api.parts.runs.plans) == 1
        api.parts.runs.go()


async def test_equal_calls_that_overlap_are_calls_of_their_own(api: Running) -> None:
    async with api.client() as client:
        first = await create(client, "say:a")
        second = await create(client, "say:a")
        assert first["id"] != second["id"]


async def test_one_key_makes_one_interaction(api: Running) -> None:
    headers = {"idempotency-key": "once"}
    body = {**AGENT, "input": "say:a"}
    ids: set[str] = set()

    async def post(client: httpx2.AsyncClient) -> None:
        answer = await client.post("/v1/interactions", json=body, headers=headers)
        assert answer.json()["status"] == "completed"
        ids.add(answer.json()["id"])

    async with api.client() as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(post, client)
        assert len(ids) == 1
        assert len(api.parts.runs.plans) == 1
        other = {**body, "input": "say:b"}
        answer = await client.post("/v1/interactions", json=other, headers=headers)
        assert answer.status_code == 400
        assert "different request" in answer.json()["error"]["message"]
        for bad in ("", "x" * 256):
            answer = await client.post(
                "/v1/interactions", json=body, headers={"idempotency-key": bad}
            )
            assert answer.status_code == 400


async def test_paths_that_mean_the_same(api: Running) -> None:
    async with api.client() as client:
        view = await create(client, "say:a")
        for prefix in (
            "/v1",
            "/v1beta",
            "/v1alpha",
            "/v1beta1",
            "//v1//",
            "/v1beta/v1",
            "/v1beta1/projects/p/locations/global",
            "/v1/v1beta/projects/p/locations/global",
        ):
            answer = await client.get(f"{api.url}{prefix}/interactions/{view['id']}/")
            assert answer.json()["id"] == view["id"], prefix
        cancelled = await client.post(f"/v1beta/interactions/{view['id']}:cancel")
        assert cancelled.json()["status"] == "completed"


async def test_operations(api: Running) -> None:
    async with api.client() as client:
        done = await create(client, "think say:Hello")
        failed = await create(client, "fail")
        running_ = await create(client, "code wait say:b", background=True, labels={"team": "x"})
        path = f"/v1/operations/{running_['id']}"
        live = (await client.get(path)).json()
        assert live["name"] == f"operations/{running_['id']}"
        assert live["done"] is False
        assert "response" not in live
        assert live["metadata"]["labels"] == {"team": "x"}
        assert live["metadata"]["progress"]["elapsed_seconds"] >= 0

        waited = (await client.post(f"{path}:wait", json={"timeout": "0.01s"})).json()
        assert waited["done"] is False
        assert (await client.post(f"{path}:wait?timeout=0")).json()["done"] is False
        async with anyio.create_task_group() as tasks:
            ends: list[dict[str, Any]] = []

            async def wait() -> None:
                ends.append((await client.post(f"{path}:wait", json={"timeout": 20})).json())

            tasks.start_soon(wait)
            api.parts.runs.go()
            while not ends:
                api.parts.runs.go()
                await anyio.lowlevel.checkpoint()
        assert ends[0]["done"] is True
        assert ends[0]["response"]["steps"][-1]["content"][0]["text"] == "b"
        progress = ends[0]["metadata"]["progress"]
        assert (progress["steps"], progress["last_step"], progress["tokens"]) == (
            3,
            "model_output",
            9,
        )

        ended = (await client.get(f"/v1/operations/{failed['id']}")).json()
        assert ended["done"] is True
        assert ended["error"]["code"] == "out_of_memory"
        assert "response" not in ended

        page = (await client.get("/v1/operations?pageSize=2")).json()
        names = [row["name"] for row in page["operations"]]
        assert names == [f"operations/{found['id']}" for found in (running_, failed)]
        token = page["next_page_token"]
        rest = (await client.get(f"/v1/operations?page_size=2&page_token={token}")).json()
        assert [row["name"] for row in rest["operations"]] == [f"operations/{done['id']}"]
        assert "next_page_token" not in rest
        for query, count in (("status=failed", 1), ("done=true", 3), ("done=false", 0)):
            found = (await client.get(f"/v1/operations?{query}")).json()["operations"]
            assert len(found) == count, query

        hanging = await create(client, "hang", background=True)
        stopped = (await client.post(f"/v1/operations/{hanging['id']}:cancel")).json()
        assert stopped["done"] is True
        assert stopped["metadata"]["status"] == "cancelled"
        assert stopped["error"]["code"] == "cancelled"


async def test_catalogs(api: Running) -> None:
    async with api.client() as client:
        first = (await client.get("/v1/agents?page_size=1")).json()
        assert [agent["id"] for agent in first["agents"]] == ["antigravity"]
        token = first["next_page_token"]
        second = (await client.get(f"/v1/agents?page_token={token}")).json()
        assert [agent["id"] for agent in second["agents"]] == ["clerk"]
        agent = (await client.get("/v1/agents/antigravity-preview-09-2026")).json()
        assert agent["id"] == "antigravity"
        kinds = [tool["type"] for tool in agent["tools"]]
        assert kinds == ["code_execution", "filesystem", "browser", "google_search"]
        assert agent["skills"] == [{"name": "slides", "description": "Makes slides."}]
        models = (await client.get("/v1/models")).json()["models"]
        assert [(model["id"], model["default"]) for model in models] == [
            ("gemini-flash", True),
            ("gpt", False),
        ]
        assert (await client.get("/v1/models/gpt")).json()["target"] == "script/gpt"


async def test_no_model_says_how_to_configure_one(tmp_path: Path) -> None:
    async with running(tmp_path, models=Models([])) as api, api.client() as client:
        answer = await client.post("/v1/interactions", json={**AGENT, "input": "hi"})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "model_not_configured"
        assert "sandlot.yaml" in answer.json()["error"]["message"]


async def test_what_was_running_at_a_crash_has_failed_after_the_start(tmp_path: Path) -> None:
    async with running(tmp_path) as api, api.client() as client:
        begun = await create(client, "say:a hang", background=True)
        await api.parts.log.append(begun["id"], [])
    async with running(tmp_path) as api, api.client() as client:
        assert await api.parts.interactions.recover() == 1
        view = (await client.get(f"/v1/interactions/{begun['id']}")).json()
        assert view["status"] == "failed"
        assert view["errors"][0]["code"] == "controller_stopped"
        streamed = await client.get(f"/v1/interactions/{begun['id']}?stream=true")
        assert "interaction.completed" in streamed.text


async def test_the_openapi_document_describes_the_routes(api: Running) -> None:
    async with httpx2.AsyncClient(base_url=api.url) as client:
        document = (await client.get("/openapi.json")).json()
        page = (await client.get("/docs")).text
    paths = document["paths"]
    assert set(paths) >= {
        "/v1/interactions",
        "/v1/interactions/{interaction_id}",
        "/v1/interactions/{interaction_id}:cancel",
        "/v1/interactions/{interaction_id}/cancel",
        "/v1/operations",
        "/v1/operations/{interaction_id}",
        "/v1/operations/{interaction_id}:wait",
        "/v1/operations/{interaction_id}:cancel",
        "/v1/agents",
        "/v1/agents/{agent_id}",
        "/v1/models",
        "/v1/models/{model}",
        "/livez",
        "/readyz",
        "/healthz",
        "/openai/v1/responses",
        "/openai/v1/responses/{response_id}",
        "/openai/v1/responses/{response_id}/cancel",
        "/openai/v1/chat/completions",
        "/openai/v1/models",
        "/openai/v1/models/{model}",
    }
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas
    create_ = paths["/v1/interactions"]["post"]
    assert "text/event-stream" in create_["responses"]["200"]["content"]
    assert create_["responses"]["400"]["content"]["application/json"]["schema"]["$ref"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert all("422" not in operation["responses"] for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    guarded = [operation for operation in operations if operation["tags"] != ["health"]]
    assert all(operation["security"] for operation in guarded)
    assert schemas["CreateInteraction"]["properties"]["input"]["description"]
    for path in paths:
        assert path in page
    assert "http://" not in page.replace(api.url, "")
    assert "https://" not in page


async def test_two_hundred_streams_of_one_run(api: Running) -> None:
    limits = httpx2.Limits(max_connections=300)
    async with httpx2.AsyncClient(
        base_url=api.url, headers=HEADERS, timeout=30, limits=limits
    ) as client:
        begun = await create(client, "code wait " + "say:x " * 5, background=True)
        bodies: list[bytes] = []
        ready = anyio.Event()

        async def follow() -> None:
            path = f"/v1/interactions/{begun['id']}?stream=true"
            async with client.stream("GET", path) as answer:
                received = b""
                async for chunk in answer.aiter_bytes():
                    received += chunk
                    if b"code_execution_result" in received and not ready.is_set():
                        ready.set()
                bodies.append(received)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(200):
                    tasks.start_soon(follow)
                await ready.wait()
                while not bodies:
                    api.parts.runs.go()
                    await anyio.lowlevel.checkpoint()
    assert len(bodies) == 200
    assert len(set(bodies)) == 1
