"""Stored credentials over the API, and MCP servers that are asked with them, without a sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from httpx2 import AsyncClient

from runtime.schema.agents import AgentSpec
from runtime.schema.settings import OutboundSettings, Settings
from tests.support.local_controller import LocalController, local_controller
from tests.support.mcp_world import Seen, weather
from tests.support.token_server import TokenServer, plain, token_server

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
BEARER: Json = {"type": "bearer_token", "id": "github", "token": "ghp-first-token"}
VARIABLE: Json = {
    "type": "environment_variable",
    "id": "search",
    "value": "search-value",
    "injection_location": ["header", "query"],
    "trusted_domains": ["api.example.com", "*.search.example"],
}


class World:
    def __init__(
        self, api: LocalController, http: AsyncClient, mcp: str, seen: Seen, tokens: TokenServer
    ) -> None:
        self.api = api
        self.http = http
        self.mcp = mcp
        self.seen = seen
        self.tokens = tokens
        self.changes: list[tuple[str, str]] = []

    async def noted(self, project_id: str, credential_id: str) -> None:
        self.changes.append((project_id, credential_id))

    @property
    def oauth(self) -> Json:
        return {
            "type": "oauth2",
            "id": "mail",
            "client_id": self.tokens.client[0],
            "client_secret": self.tokens.client[1],
            "refresh_token": "refresh-0",
            "token_url": self.tokens.url,
            "scopes": ["mail.read"],
        }

    async def make(self, body: Json) -> Json:
        answer = await self.http.post("/v1/credentials", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        answer = await self.http.request(method, f"/v1/credentials{path}", json=body)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["message"]

    async def run(self, credential: str, *calls: str, headers: Json | None = None) -> Json:
        """An interaction that calls tools of the weather server, signed with a credential."""
        server: Json = {"type": "mcp_server", "name": "weather", "url": self.mcp}
        server |= {"credential": credential, "headers": headers or {}}
        script = "\n".join(f"```tool weather__{name}\n{{}}\n```" for name in calls or ("radar",))
        body = {"model": "script/inline", "input": script, "tools": [server]}
        return (await self.http.post("/v1/interactions", json=body)).json()

    async def status(self, credential: str) -> str:
        return (await self.http.get(f"/v1/credentials/{credential}")).json()["status"]

    @property
    def sent(self) -> list[str | None]:
        """What stood in `Authorization` of the requests to the server, each run once."""
        return list(dict.fromkeys(one.get("authorization") for one in self.seen.headers))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    settings = Settings(outbound=OutboundSettings(allow=["127.0.0.1"]))
    async with (
        weather() as (mcp, seen),
        token_server() as tokens,
        local_controller(tmp_path, settings=settings) as api,
        api.http() as http,
    ):
        found = World(api, http, mcp, seen, tokens)
        api.credentials.on_change.append(found.noted)
        yield found


async def test_the_life_of_each_type(world: World) -> None:
    for body in (BEARER, VARIABLE, world.oauth):
        made = await world.make(body)
        assert made.keys() == {"id", "type", "status", "create_time", "update_time"}
        assert (made["id"], made["type"], made["status"]) == (body["id"], body["type"], "active")
        created = datetime.fromisoformat(made["create_time"])
        assert created.tzinfo == UTC and made["update_time"] == made["create_time"]
        assert (await world.http.get(f"/v1/credentials/{body['id']}")).json() == made
        kept = await world.http.patch(f"/v1/credentials/{body['id']}", json={"type": body["type"]})
        assert kept.status_code == 200, kept.text
        assert kept.json()["create_time"] == made["create_time"]
        assert kept.json()["update_time"] > made["update_time"]
        gone = await world.http.delete(f"/v1/credentials/{body['id']}")
        assert (gone.status_code, gone.json()) == (200, {})
        assert (await world.http.get(f"/v1/credentials/{body['id']}")).status_code == 404


async def test_an_id_is_made_where_none_is_given(world: World) -> None:
    first = await world.make({**BEARER, "id": None})
    second = await world.make({"type": "bearer_token", "token": "t"})
    assert len(first["id"]) == 36 and first["id"] != second["id"]


async def test_pages(world: World) -> None:
    assert (await world.http.get("/v1/credentials")).json() == {"credentials": []}
    for name in ("c", "a", "e", "b", "d"):
        await world.make({**BEARER, "id": name})
    found: list[str] = []
    token: str | None = None
    while True:
        query: Json = {"page_size": 2} | ({"page_token": token} if token else {})
        page = (await world.http.get("/v1/credentials", params=query)).json()
        found += [one["id"] for one in page["credentials"]]
        token = page.get("next_page_token")
        if token is None:
            break
    assert found == ["a", "b", "c", "d", "e"]


async def test_what_is_not_there(world: World) -> None:
    texts = {"GET": "GetCredential", "PATCH": "UpdateCredential", "DELETE": "DeleteCredential"}
    for method, name in texts.items():
        body = {"type": "bearer_token", "token": "t"} if method == "PATCH" else None
        status, code, message = await world.refused(method, "/none", body)
        assert (status, code) == (404, "not_found")
        assert message == f"Result not found.; {name} call failed"


async def test_an_id_is_given_once(world: World) -> None:
    await world.make(BEARER)
    status, code, message = await world.refused("POST", "", {**VARIABLE, "id": "github"})
    assert (status, code) == (409, "aborted") and "'github'" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"headerName": "X"}, "Unknown parameter 'headerName'. Did you mean 'header_name'?"),
        ({"value": "v"}, "Unknown parameter 'value'."),
        ({"type": "bearer"}, "type: must be one of 'bearer_token', 'oauth2'"),
        ({"type": None}, "type: must be one of"),
        ({"token": None}, "token: "),
        ({"token": ""}, "token: must not be empty"),
        ({"token": "x" * 20_000}, "token: must have at most 16384 characters"),
        ({"token": "line\nbreak-s3cret"}, "token: the value of a header holds control"),
        ({"token": "s3cret\n"}, "token: the value of a header holds control characters or outer"),
        ({"token": "s3crét"}, "token: holds characters beyond ASCII"),
        ({"token": "Bearer s3cret"}, "token: begins with the prefix"),
        ({"token": ["s3cret"]}, "token: "),
        ({"prefix": "Be\r\narer"}, "prefix: "),
        ({"header_name": "no name"}, "header_name: is not the name of a header"),
        ({"header_name": "Host"}, "header_name: is a header that cannot be set"),
        ({"id": "a/b"}, "id: "),
        ({"id": ".."}, "id: "),
        ({"id": ""}, "id: "),
        ({"id": "x" * 64}, "id: "),
        ({"id": "a\n"}, "id: "),
    ],
)
async def test_what_is_no_bearer_token(world: World, change: Json, words: str) -> None:
    status, code, message = await world.refused("POST", "", {**BEARER, **change})
    assert (status, code) == (400, "invalid_request")
    assert words in message and "s3cr" not in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trusted_domains": ["*"]}, "trusted_domains[0]: '*' would hand the value to every host"),
        ({"trusted_domains": ["a.example", "http://b"]}, "trusted_domains[1]: 'http://b' is not a"),
        ({"trusted_domains": "a.example"}, "trusted_domains: "),
        ({"injection_location": "cookie"}, "injection_location"),
        ({"injection_location": []}, "injection_location"),
        ({"injection_location": None}, "injection_location"),
        ({"value": "s3cret\x00"}, "value: "),
    ],
)
async def test_what_is_no_variable(world: World, change: Json, words: str) -> None:
    status, _, message = await world.refused("POST", "", {**VARIABLE, **change})
    assert status == 400 and words in message and "s3cr" not in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token_url": "http://auth.example.com/token"}, "token_url: must be an https:// URL"),
        ({"token_url": "https://10.0.0.1/"}, "token_url: 10.0.0.1:443 leads to"),
        ({"token_url": "token"}, "token_url: "),
        ({"client_secret": None}, "client_secret: "),
        ({"scopes": ["a b"]}, "scopes[0]: is not a scope"),
        ({"refresh_token": "s3cr\tet\r"}, "refresh_token: "),
    ],
)
async def test_what_is_no_oauth_credential(world: World, change: Json, words: str) -> None:
    status, _, message = await world.refused("POST", "", {**world.oauth, **change})
    assert status == 400 and words in message and "s3cr" not in message


async def test_locations_come_one_by_one_too_and_domains_may_be_left_out(world: World) -> None:
    plain_one = {**VARIABLE, "injection_location": "body", "trusted_domains": None}
    await world.make(plain_one)
    found = (await world.api.credentials.resolve("default", ["search"]))["search"]
    assert (found.locations, found.domains) == ({"body"}, ())
    assert "search-value" not in repr(found)


async def test_what_a_change_may_be(world: World) -> None:
    await world.make(BEARER)
    refused = [
        ({"token": "t"}, "type: must be one of"),
        ({"type": "oauth2", "scopes": []}, "type: the credential is of type 'bearer_token'"),
        ({"type": "bearer_token", "tokn": "s3cr"}, "Did you mean 'token'?"),
        ({"type": "bearer_token", "token": "Bearer s3cr"}, "token: begins with the prefix"),
        ("text", "The body must be a JSON object"),
    ]
    for body, words in refused:
        status, _, message = await world.refused("PATCH", "/github", body)
        assert status == 400 and words in message and "s3cr" not in message
    masked = [("tokn", "Did you mean 'token'?"), ("token,prefix", "names 'prefix'")]
    for mask, words in masked:
        body = {"type": "bearer_token", "token": "t"}
        status, _, message = await world.refused("PATCH", f"/github?update_mask={mask}", body)
        assert status == 400 and words in message
    body = {"type": "bearer_token", "token": "second", "header_name": "X-Key", "prefix": ""}
    path = "/v1/credentials/github?update_mask=header_name,prefix"
    assert (await world.http.patch(path, json=body)).status_code == 200
    found = (await world.api.credentials.resolve("default", ["github"]))["github"]
    assert found.header_name == "X-Key" and found.header_value is not None
    assert found.header_value.get_secret_value() == "ghp-first-token"


async def test_a_server_is_asked_with_a_bearer_token(world: World) -> None:
    await world.make(BEARER)
    made = await world.run("github", "radar", "reveal", headers={"authorization": "Bearer mine-1"})
    assert made["status"] == "completed", made
    assert world.sent == ["Bearer ghp-first-token"]
    assert "ghp-first-token" not in json.dumps(made) and "[hidden]" in json.dumps(made)
    await world.http.patch(
        "/v1/credentials/github",
        json={"type": "bearer_token", "header_name": "X-Api-Key", "prefix": ""},
    )
    await world.run("github")
    assert world.seen.headers[-1]["x-api-key"] == "ghp-first-token"


async def test_a_new_token_counts_from_the_next_request_on(world: World) -> None:
    await world.make(BEARER)
    server = {"type": "mcp_server", "name": "weather", "url": world.mcp, "credential": "github"}
    await world.api.tools.offer("int_1", server)
    await world.api.tools.listed("int_1", frozenset())
    change = {"type": "bearer_token", "token": "ghp-second"}
    await world.http.patch("/v1/credentials/github", json=change)
    await world.api.tools.call("int_1", "weather__radar", {})
    assert world.sent == ["Bearer ghp-first-token", "Bearer ghp-second"]
    await world.http.delete("/v1/credentials/github")
    count = len(world.seen.headers)
    with pytest.raises(Exception, match="There is no credential 'github'"):
        await world.api.tools.call("int_1", "weather__radar", {})
    assert len(world.seen.headers) == count
    assert world.changes == [("default", "github")] * 3


async def test_credentials_that_cannot_be_used_are_refused_at_the_call(world: World) -> None:
    await world.make(VARIABLE)
    answers = [await world.run("none"), await world.run("search"), await world.run("a/b")]
    errors = [one["error"] for one in answers]
    assert [one["code"] for one in errors] == ["invalid_request"] * 3
    where = "tools[0]: mcp_server 'weather': credential: "
    assert errors[0]["message"] == (
        f"{where}There is no credential 'none' in this project. "
        "Store it with `sandlot credentials create`, or `POST /v1/credentials`."
    )
    assert errors[1]["message"].startswith(f"{where}The credential 'search' is for variables")
    assert world.seen.headers == []


async def test_a_credential_goes_over_tls_or_to_the_operators_own_hosts(tmp_path: Path) -> None:
    async with local_controller(tmp_path) as api, api.http() as http:
        await http.post("/v1/credentials", json=BEARER)
        server = {"type": "mcp_server", "name": "w", "url": "http://mcp.example.com/"}
        body = {
            "model": "script/inline",
            "input": "Hi",
            "tools": [server | {"credential": "github"}],
        }
        answer = await http.post("/v1/interactions", json=body)
    assert answer.status_code == 400
    assert "must be https:// for a credential" in answer.json()["error"]["message"]


async def test_a_server_is_asked_with_an_access_token(world: World) -> None:
    await world.make(world.oauth)
    assert world.tokens.forms == []
    for _ in range(3):
        assert (await world.run("mail"))["status"] == "completed"
    assert world.sent == ["Bearer access-token-0"]
    (form,) = world.tokens.forms
    assert form["scope"] == "mail.read"


async def test_a_refresh_token_that_the_server_replaces_is_kept(world: World) -> None:
    world.tokens.rotates, world.tokens.lifetime = True, 0.000001
    made = await world.make(world.oauth)
    for _ in range(2):
        assert (await world.run("mail"))["status"] == "completed"
    used = [form["refresh_token"] for form in world.tokens.forms]
    assert used == [f"refresh-{number}" for number in range(len(used))] and len(used) > 2
    kept = (await world.http.get("/v1/credentials/mail")).json()
    assert kept == made


async def test_all_who_need_a_token_wait_for_one_fetch(world: World) -> None:
    await world.make(world.oauth)
    world.tokens.may_answer = anyio.Event()
    answers: list[Json] = []

    async def ask() -> None:
        answers.append(await world.run("mail"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
        with anyio.fail_after(30):
            await world.tokens.asked.wait()
            world.tokens.may_answer.set()
    assert [one["status"] for one in answers] == ["completed"] * 5
    assert len(world.tokens.forms) == 1


async def test_a_refused_refresh_token_revokes_the_credential_until_there_is_a_new_one(
    world: World,
) -> None:
    await world.make({**world.oauth, "refresh_token": "refresh-wrong"})
    failed = await world.run("mail")
    assert failed["status"] == "failed"
    assert "The credential 'mail' is revoked" in json.dumps(failed)
    assert await world.status("mail") == "revoked"
    assert len(world.tokens.forms) == 1
    refused = await world.run("mail")
    assert refused["error"]["code"] == "invalid_request" and "revoked" in str(refused)
    assert len(world.tokens.forms) == 1
    with anyio.fail_after(30):
        while len(world.changes) < 2:
            await anyio.lowlevel.checkpoint()
    change = {"type": "oauth2", "refresh_token": "refresh-0"}
    answer = await world.http.patch("/v1/credentials/mail", json=change)
    assert answer.json()["status"] == "active"
    assert (await world.run("mail"))["status"] == "completed"
    assert world.changes == [("default", "mail")] * 3


async def test_a_token_endpoint_that_fails_is_told_and_asked_again_with_new_secrets(
    world: World,
) -> None:
    world.tokens.answer = plain(503, "client-secret")
    await world.make(world.oauth)
    failed = [await world.run("mail") for _ in range(3)]
    assert [one["status"] for one in failed] == ["failed"] * 3
    text = json.dumps(failed)
    assert "The credential 'mail' cannot be used now: the token endpoint 127.0.0.1" in text
    assert "answered 503" in text and "client-secret" not in text
    assert await world.status("mail") == "active"
    asked = len(world.tokens.forms)
    assert asked == 1, "a failure stands for a while"
    world.tokens.answer = None
    change = {"type": "oauth2", "client_secret": "client-secret"}
    await world.http.patch("/v1/credentials/mail", json=change)
    assert (await world.run("mail"))["status"] == "completed"


async def test_grants_for_sandboxes(world: World) -> None:
    for body in (BEARER, VARIABLE, world.oauth):
        await world.make(body)
    await world.make({**world.oauth, "id": "old", "refresh_token": "refresh-wrong"})
    uses = world.api.credentials.uses
    found = await uses.grants("default", ["github", "search", "mail", "old", "none"])
    assert found.keys() == {"github", "search", "mail", "old"}
    header = found["github"].grant.header
    assert header is not None and header[0] == "Authorization"
    assert header[1].get_secret_value() == "Bearer ghp-first-token"
    assert found["github"].expires is None and found["mail"].expires is not None
    assert found["search"].grant.domains == ("api.example.com", "*.search.example")
    assert found["search"].grant.locations == {"header", "query"}
    assert found["old"].grant.unavailable.startswith("the credential 'old' is revoked")
    assert await uses.grants("other", ["github"]) == {}
    text = repr(found)
    assert not [s for s in ("ghp-first", "search-value", "access-token") if s in text]


async def test_an_agents_server_may_need_a_credential_that_is_made_later(tmp_path: Path) -> None:
    async with weather() as (mcp, seen):
        server = {"type": "mcp_server", "name": "weather", "url": mcp, "credential": "github"}
        agent = AgentSpec(id="forecaster", model="script/inline", other_tools=[server])
        settings = Settings(outbound=OutboundSettings(allow=["127.0.0.1"]))
        body = {"agent": "forecaster", "input": "```tool weather__radar\n{}\n```"}
        async with local_controller(tmp_path, [agent], settings) as api, api.http() as http:
            refused = (await http.post("/v1/interactions", json=body)).json()
            await http.post("/v1/credentials", json=BEARER)
            made = (await http.post("/v1/interactions", json=body)).json()
            shown = await http.get("/v1/agents/forecaster")
    assert "There is no credential 'github'" in refused["error"]["message"]
    assert made["status"] == "completed" and "ghp-first-token" in str(seen.headers)
    assert "ghp-first-token" not in shown.text
