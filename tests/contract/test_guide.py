"""Guide-style calls, as the guide prints them: by our client, and over plain HTTP."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
from google import genai
from google.genai import types

from runtime import clock
from runtime.client import AsyncClient, Client
from runtime.errors import InvalidRequest, NotFound
from runtime.schema.steps import UserInputStep
from runtime.store import Store
from tests.support.local_controller import KEY, LocalController, local_controller
from tests.support.server import running

pytestmark = pytest.mark.anyio
Value = TypeVar("Value")

SESSION_SNIPPET = """
session = client.interactions.create(
model='gemini-3-pro',
session_config={'ttl': '3600s'}, # 1-hour server-managed state
contents=['Plan a 3-day Lisbon itinerary for a foodie.']
)

session_id = session.session_id
print(session.output_text)

# Next turn: send ONLY the new message, not the full history

follow_up = client.interactions.create(
session_id=session_id,
contents=['Now make day 2 vegetarian.']
)
print(follow_up.output_text) # Google held the context for you
"""
AGENT_SNIPPET = """
# Same schema as a model call — swap model for agent_id

agent_run = client.interactions.create(
agent_id='antigravity', # default first-party managed agent
contents=['Find the 3 cheapest flights NYC->LIS next month '
'and save results to a CSV.'],
background=True # long-running -> async
)

operation_id = agent_run.operation_id

# Poll for completion (or register a webhook instead)

result = client.interactions.operations.get(operation_id)
print(result.status)
"""
SAY_LATER = "```tool ask\n{}\n```\n"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[LocalController]:
    async with local_controller(tmp_path) as opened:
        yield opened


async def with_client(api: LocalController, action: Callable[[Client], Value]) -> Value:
    """The blocking client, in a thread of its own beside the server."""

    def act() -> Value:
        with Client(api.url, KEY) as client:
            return action(client)

    with anyio.fail_after(20):
        return await anyio.to_thread.run_sync(act)


def executed(snippet: str) -> Callable[[Client], dict[str, Any]]:
    def action(client: Client) -> dict[str, Any]:
        printed: list[Any] = []
        names: dict[str, Any] = {"client": client, "print": printed.append}
        exec(snippet, names)
        return {**names, "printed": printed}

    return action


def said(api: LocalController, plan: int) -> list[str]:
    """What the caller said in the history of a plan."""
    history = api.runs.plans[plan].spec.history
    return [step.content[0].text for step in history if isinstance(step, UserInputStep)]


async def post(api: LocalController, body: Any, **headers: str) -> tuple[int, dict[str, Any], Any]:
    async with api.http() as http:
        answer = await http.post("/v1/interactions", json=body, headers=headers)
        return answer.status_code, answer.json(), answer.headers


async def test_the_session_snippet_runs_as_printed(api: LocalController) -> None:
    names = await with_client(api, executed(SESSION_SNIPPET))
    lisbon, vegetarian = names["printed"]
    assert lisbon == "Plan a 3-day Lisbon itinerary for a foodie."
    assert vegetarian == "Now make day 2 vegetarian."
    assert said(api, 1) == [lisbon, vegetarian]
    assert names["session_id"].startswith("session_")
    assert names["follow_up"].session_id == names["session_id"]
    assert names["follow_up"].previous_interaction_id == names["session"].id
    assert names["follow_up"].model == "gemini-3-pro"


async def test_the_agent_snippet_runs_as_printed(api: LocalController) -> None:
    names = await with_client(api, executed(AGENT_SNIPPET))
    assert names["printed"][0] in {"in_progress", "completed"}
    done = await with_client(
        api, lambda client: client.interactions.operations.wait(names["operation_id"])
    )
    assert done.output_text.startswith("Find the 3 cheapest flights")
    assert done.interaction is not None
    assert done.interaction.agent == "antigravity"


async def test_the_snippets_run_asynchronously(api: LocalController) -> None:
    async def run(snippet: str) -> dict[str, Any]:
        awaited = snippet.replace("client.", "await client.")
        names: dict[str, Any] = {}
        body = "\n".join(f"    {line}" for line in awaited.splitlines())
        exec(f"async def main(client, print):\n{body}\n    return locals()", names)
        printed: list[Any] = []
        async with AsyncClient(api.url, KEY) as client:
            found = names["main"](client, printed.append)
            assert inspect.isawaitable(found)
            return {**await found, "printed": printed}

    names = await run(SESSION_SNIPPET)
    assert names["printed"][1] == "Now make day 2 vegetarian."
    assert said(api, 1)[0].startswith("Plan a 3-day")
    names = await run(AGENT_SNIPPET)
    assert names["result"].id == names["operation_id"]


BUSY = {"agent_id": "clerk", "contents": ["```tool ask\n{}\n```"], "background": True}


async def test_operations_of_the_blocking_client(api: LocalController) -> None:
    def act(client: Client) -> None:
        run = client.interactions.create(**BUSY)
        assert run.operation_id == run.id
        operations = client.interactions.operations
        done = operations.wait(run.operation_id)
        assert (done.id, done.done, done.status) == (run.id, True, "requires_action")
        assert operations.get(run.operation_id).status == "requires_action"
        operations.cancel(run.operation_id)
        assert operations.get(run.operation_id).status == "requires_action"
        assert [found.id for found in operations.list()] == [run.id]

    await with_client(api, act)


async def test_operations_of_the_asynchronous_client(api: LocalController) -> None:
    async with AsyncClient(api.url, KEY) as client:
        run = await client.interactions.create(**BUSY)
        operations = client.interactions.operations
        assert run.operation_id is not None
        assert (await operations.wait(run.operation_id)).status == "requires_action"
        assert (await operations.get(run.operation_id)).done
        assert [found.id for found in await operations.list()] == [run.id]


async def test_cancelling_an_operation(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as served, AsyncClient(served.url, KEY) as client:
        run = await client.interactions.create(
            agent_id="antigravity", contents=["hang"], background=True
        )
        assert run.operation_id is not None
        operations = client.interactions.operations
        assert (await operations.get(run.operation_id)).status == "in_progress"
        await operations.cancel(run.operation_id)
        stopped = await operations.get(run.operation_id)
        assert (stopped.done, stopped.status) == (True, "cancelled")


async def test_an_expired_session_in_both_clients(api: LocalController) -> None:
    opening: dict[str, Any] = {"model": "gemini-3-pro", "session_config": {"ttl": "1s"}}
    async with AsyncClient(api.url, KEY) as client:
        first = await client.interactions.create(contents=["a"], **opening)
        assert first.session_id is not None
        await expired(api.store, first.session_id)
        with pytest.raises(NotFound, match="expired"):
            await client.interactions.create(session_id=first.session_id, contents=["b"])

    def late(blocking: Client) -> None:
        with pytest.raises(NotFound, match="expired"):
            blocking.interactions.create(session_id=first.session_id, contents=["b"])

    await with_client(api, late)


async def test_sessions_through_the_official_sdk(api: LocalController) -> None:
    """It knows nothing of sessions, and sends what it is told to send beside its own fields."""
    options = types.HttpOptions(base_url=api.url)
    async with genai.Client(api_key=KEY, http_options=options).aio as client:
        first = await client.interactions.create(
            model="gemini-3-pro", input="One.", extra_body={"session_config": {"ttl": "60s"}}
        )
        session = first.model_dump()["session_id"]
        again = await client.interactions.create(
            model="gemini-3-pro", input="Two.", extra_body={"session_id": session}
        )
    assert again.output_text == "Two."
    assert said(api, 1) == ["One.", "Two."]


async def test_over_plain_http(api: LocalController) -> None:
    status, first, _ = await post(
        api,
        {
            "model": "gemini-3-pro",
            "contents": [{"role": "user", "parts": [{"text": "One."}]}],
            "session_config": {"ttl": "60s"},
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"maxOutputTokens": 50},
            "schemaVersion": "2026-05-20",
        },
    )
    assert status == 200, first
    assert first["operation_id"] == first["id"]
    assert first["name"] == f"operations/{first['id']}"
    assert first["steps"][0]["content"][0]["text"] == "One."
    body = {"session_id": first["session_id"], "contents": ["Two."]}
    status, second, _ = await post(api, body)
    assert status == 200, second
    assert second["session_id"] == first["session_id"]
    assert said(api, 1) == ["One.", "Two."]
    spec = api.runs.plans[1].spec
    assert spec.system_instruction == "Be brief."
    assert spec.generation.max_output_tokens == 50
    async with api.http() as http:
        found = (await http.get(f"/v1/interactions/{second['id']}")).json()
        operation = (await http.get(f"/v1/{second['name']}")).json()
    assert found["session_id"] == first["session_id"]
    assert operation["done"]


async def test_an_answer_in_the_wires_own_shape_stays_as_it_is(api: LocalController) -> None:
    _, plain, headers = await post(api, {"model": "gemini-3-pro", "input": "hi"})
    assert not {"operation_id", "name", "session_id", "warnings"} & plain.keys()
    assert "deprecation" not in headers


async def test_a_session_keeps_its_environment(api: LocalController) -> None:
    body = {"agent_id": "antigravity", "contents": "a", "session_config": {}}
    _, first, _ = await post(api, body)
    _, second, _ = await post(api, {"session_id": first["session_id"], "contents": "b"})
    assert second["environment_id"] == first["environment_id"]
    assert second["agent"] == "antigravity"
    elsewhere = {"session_id": first["session_id"], "contents": "c", "environment": "remote"}
    _, third, _ = await post(api, elsewhere)
    assert third["environment_id"] != first["environment_id"]
    _, fourth, _ = await post(api, {"session_id": first["session_id"], "contents": "d"})
    assert fourth["environment_id"] == third["environment_id"]


async def test_a_turn_may_ask_another_model(api: LocalController) -> None:
    body = {"agent_id": "antigravity", "contents": "a", "session_config": {"ttl": 5}}
    _, first, _ = await post(api, body)
    session = first["session_id"]
    _, second, _ = await post(api, {"session_id": session, "model": "gpt-test", "contents": "b"})
    assert (second["model"], second.get("agent")) == ("gpt-test", None)
    _, third, _ = await post(api, {"session_id": session, "contents": "c"})
    assert third["agent"] == "antigravity"
    assert said(api, 2) == ["a", "b", "c"]


async def test_unknown_and_expired_sessions_are_not_found(api: LocalController) -> None:
    for unknown in ("session_0", "../etc", ""):
        status, answer, _ = await post(api, {"session_id": unknown, "contents": "x"})
        assert (status, answer["error"]["code"]) == (404, "not_found")
    opening = {"model": "gemini-3-pro", "contents": "a", "session_config": {"ttl": "1s"}}
    _, first, _ = await post(api, opening)
    await expired(api.store, first["session_id"])
    status, answer, _ = await post(api, {"session_id": first["session_id"], "contents": "b"})
    assert status == 404
    assert "expired" in answer["error"]["message"]
    assert "session_config" in answer["error"]["message"]


async def expired(store: Store, session_id: str) -> None:
    record = await store.sessions.get("default", session_id, clock.now())
    assert record is not None
    while clock.now() < record.expires:  # noqa: ASYNC110 - of the time nobody tells
        await anyio.sleep(0.05)
    assert await store.sessions.get("default", session_id, clock.now()) is None


async def test_each_turn_renews_a_session(api: LocalController) -> None:
    opening = {"model": "gemini-3-pro", "contents": "a", "session_config": {"ttl": "100s"}}
    _, first, _ = await post(api, opening)
    before = await api.store.sessions.get("default", first["session_id"], clock.now())
    await post(api, {"session_id": first["session_id"], "contents": "b"})
    after = await api.store.sessions.get("default", first["session_id"], clock.now())
    assert before is not None
    assert after is not None
    assert after.expires > before.expires
    longer = {"session_id": first["session_id"], "contents": "c", "session_config": {"ttl": 900}}
    await post(api, longer)
    last = await api.store.sessions.get("default", first["session_id"], clock.now())
    assert last is not None
    assert last.ttl_seconds == 900


async def test_two_turns_at_once_are_one_turn(api: LocalController) -> None:
    opening = {"model": "gemini-3-pro", "contents": "a", "session_config": {"ttl": "100s"}}
    _, first, _ = await post(api, opening)
    statuses: list[int] = []
    messages: list[str] = []

    async def turn(number: int) -> None:
        body = {"session_id": first["session_id"], "contents": f"turn {number}"}
        status, answer, _ = await post(api, body)
        statuses.append(status)
        messages.append(str(answer.get("error", {}).get("message")))

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(turn, number)
    assert set(statuses) <= {200, 400}
    assert all("in progress" in text for text in messages if text != "None")
    _, last, _ = await post(api, {"session_id": first["session_id"], "contents": "z"})
    chain = [last]
    async with api.http() as http:
        while "previous_interaction_id" in chain[-1]:
            previous = chain[-1]["previous_interaction_id"]
            chain.append((await http.get(f"/v1/interactions/{previous}")).json())
    assert chain[-1]["id"] == first["id"]
    assert len(chain) == 2 + statuses.count(200)


async def test_a_turn_during_a_turn_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as served, served.client() as http:
        opening = {"model": "gemini-flash", "contents": "wait", "session_config": {}}
        first = (await http.post("/v1/interactions", json={**opening, "background": True})).json()
        assert first["status"] == "in_progress"
        turn = {"session_id": first["session_id"], "contents": "say:b"}
        refused = await http.post("/v1/interactions", json=turn)
        assert refused.status_code == 400
        assert "in progress" in refused.json()["error"]["message"]
        served.parts.runs.go()
        await served.parts.log.wait_settled(first["id"])
        assert (await http.post("/v1/interactions", json=turn)).status_code == 200


async def test_a_repeated_turn_is_the_same_turn(api: LocalController) -> None:
    opening = {"model": "gemini-3-pro", "contents": "a", "session_config": {"ttl": "100s"}}
    _, first, _ = await post(api, opening, **{"idempotency-key": "k1"})
    _, again, _ = await post(api, opening, **{"idempotency-key": "k1"})
    assert (again["id"], again["session_id"]) == (first["id"], first["session_id"])
    body = {"session_id": first["session_id"], "contents": "b"}
    _, second, _ = await post(api, body, **{"idempotency-key": "k2"})
    _, again, _ = await post(api, body, **{"idempotency-key": "k2"})
    assert again["id"] == second["id"]
    assert len(api.runs.plans) == 2


async def test_what_a_session_cannot_have(api: LocalController) -> None:
    opening = {"model": "gemini-3-pro", "contents": "a", "session_config": {"ttl": "100s"}}
    status, answer, _ = await post(api, {**opening, "store": False})
    assert (status, answer["error"]["message"][:6]) == (400, "store:")
    _, first, _ = await post(api, opening)
    turn = {"session_id": first["session_id"], "contents": "b"}
    status, answer, _ = await post(api, {**turn, "previous_interaction_id": first["id"]})
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    async with api.http() as http:
        await http.delete(f"/v1/interactions/{first['id']}")
    status, answer, _ = await post(api, turn)
    assert status == 404
    assert "deleted" in answer["error"]["message"]


async def test_functions_in_a_session(api: LocalController) -> None:
    def talk(client: Client) -> str:
        first = client.interactions.create(
            model="gemini-3-pro",
            session_config={"ttl": "60s"},
            tools=[{"functionDeclarations": [{"name": "ask"}]}],
            contents=[SAY_LATER],
        )
        assert first.status == "requires_action"
        assert first.session_id is not None
        call = first.steps[-1]
        answer = {"name": "ask", "id": call.id, "response": {"answer": "yes"}}
        last = client.interactions.create(
            session_id=first.session_id,
            contents=[{"role": "user", "parts": [{"functionResponse": answer}]}],
        )
        return last.output_text

    assert await with_client(api, talk) == '{"answer": "yes"}'


async def test_a_stream_says_its_session(api: LocalController) -> None:
    def talk(client: Client) -> tuple[Any, str]:
        events = list(
            client.interactions.create(
                model="gemini-3-pro", session_config={"ttl": "60s"}, contents=["a"], stream=True
            )
        )
        session = events[0].interaction["session_id"] if events[0].interaction else ""
        last = client.interactions.create(session_id=session, contents=["b"])
        return last.session_id, session

    found, session = await with_client(api, talk)
    assert found == session
    assert said(api, 1) == ["a", "b"]


async def test_client_errors_are_the_controllers(api: LocalController) -> None:
    def wrong(client: Client) -> None:
        with pytest.raises(NotFound, match="expired"):
            client.interactions.create(session_id="session_0", contents=["x"])
        for version in ("9", "2025-12-11", "V1", "", 1):
            with pytest.raises(InvalidRequest, match="one of 2026-05-20, v1, v1beta"):
                client.interactions.create(model="gemini-3-pro", input="x", schemaVersion=version)

    await with_client(api, wrong)


TURNS = [{"role": "user", "content": "Hi"}]


async def test_the_old_shape_is_answered_in_the_old_shape(api: LocalController) -> None:
    status, answer, headers = await post(api, {"model": "gemini-3-pro", "input": TURNS})
    assert status == 200, answer
    assert "steps" not in answer
    assert answer["outputs"] == [{"type": "text", "text": "Hi"}]
    assert "schemaVersion" in answer["warnings"][0]
    assert headers["deprecation"].startswith("@")
    assert headers["warning"].startswith("299 ")
    body = {"model": "gemini-3-pro", "input": TURNS, "schemaVersion": "2026-05-20"}
    _, answer, headers = await post(api, body)
    assert "outputs" not in answer
    assert "deprecation" not in headers
    plain = {"model": "gemini-3-pro", "input": "Hi"}
    for revision, name in (("2025-12-11", "outputs"), ("2026-05-20", "steps"), ("new", "steps")):
        _, answer, _ = await post(api, plain, **{"api-revision": revision})
        assert {"outputs", "steps"} & answer.keys() == {name}
        async with api.http() as http:
            headers = {"api-revision": revision}
            found = await http.get(f"/v1/interactions/{answer['id']}", headers=headers)
        assert {"outputs", "steps"} & found.json().keys() == {name}


@pytest.mark.parametrize("version", ["2026-05-20", "v1", "v1beta", "v1alpha", "v1beta1"])
async def test_schema_versions(api: LocalController, version: str) -> None:
    for more in ({"contents": ["Hi"]}, {"input": "Hi"}, {"input": TURNS}):
        status, answer, headers = await post(
            api, {"model": "gemini-3-pro", "schemaVersion": version, **more}
        )
        assert status == 200, answer
        assert "steps" in answer
        assert "deprecation" not in headers


async def test_the_old_shape_streams_under_the_old_names(api: LocalController) -> None:
    body = {"model": "gemini-3-pro", "input": TURNS, "stream": True}
    async with api.http() as http:
        answer = await http.post("/v1/interactions", json=body)
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    events = [json.loads(line) for line in lines]
    assert [event["event_type"] for event in events] == [
        "interaction.start",
        "content.start",
        "content.delta",
        "content.stop",
        "interaction.complete",
    ]
    assert events[2]["delta"]["text"] == "Hi"
    assert answer.headers["deprecation"]
