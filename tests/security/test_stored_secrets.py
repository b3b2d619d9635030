"""Secrets that callers give are in nothing that the controller keeps, logs or answers."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from runtime.schema.sealing_keys import new_key
from runtime.store.vault import KEY_FILE
from tests.support.mcp_world import Seen, weather
from tests.support.sandlot import RunningController, fence, running_controller
from tests.support.token_server import TokenServer, token_server

CONFIG = "{models: {default: script/inline}, outbound: {allow: [127.0.0.1]}}\n"
QUIET = {"DOCKER_HOST": "unix:///nonexistent/docker.sock", "SANDLOT_LOG": "debug"}
CANARY = re.compile(r"canary-[a-z0-9]+-[a-z0-9]+")
MARKER = "marker-5f1d7c"
Json = dict[str, Any]


def canary(name: str) -> str:
    return f"canary-{name}-9f86d081884c7d65"


def forms(secret: str) -> set[bytes]:
    """The ways a text may be written in a file."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for offset in range(3):
        packed = base64.b64encode(b"\0" * offset + raw)
        # The first and the last signs depend on what stands around.
        found.add(packed[4 if offset else 0 : -4])
    return found


class World:
    """A controller that was given secrets wherever it takes any."""

    def __init__(self, controller: RunningController, mcp: str, seen: Seen, tokens: TokenServer):
        self.controller = controller
        self.mcp = mcp
        self.seen = seen
        self.tokens = tokens
        key = controller.api_key or ""
        self.http = httpx2.Client(
            base_url=controller.url, headers={"x-goog-api-key": key}, timeout=30
        )
        self.answers: list[str] = []
        self.secrets: set[str] = set()

    def call(self, method: str, path: str, body: Any) -> Json:
        """A call whose body may hold canaries, and whose answer must hold none."""
        answer = self.http.request(method, f"/v1{path}", json=body)
        self.secrets |= {*CANARY.findall(str(body))}
        self.answers.append(answer.text)
        return answer.json()

    @property
    def credentials(self) -> list[Json]:
        oauth = {"type": "oauth2", "id": "mail", "token_url": f"{self.tokens.url}?k=canary-u-url1"}
        oauth |= {"client_id": self.tokens.client[0], "client_secret": self.tokens.client[1]}
        variable = {"type": "environment_variable", "id": "search", "value": canary("value")}
        variable |= {"injection_location": "header", "trusted_domains": ["a.example"]}
        return [
            {"type": "bearer_token", "id": "github", "token": canary("token")},
            {**oauth, "refresh_token": canary("refresh")},
            variable,
        ]

    def run(self, **tool: Any) -> Json:
        server = {"type": "mcp_server", "name": "weather", "url": self.mcp, **tool}
        script = f"{fence('say', MARKER)}\n```tool weather__reveal\n{{}}\n```"
        body = {"model": "script/inline", "input": script, "tools": [server]}
        return self.call("POST", "/interactions", body)

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Everything that can be read afterwards: files, logs, answers."""
        for path in self.controller.folder.path.rglob("*"):
            if path.is_file():
                yield path.name, path.read_bytes()
        yield "answers", "\n".join(self.answers).encode()

    def found(self, secret: str) -> list[str]:
        """Where it stands."""
        wanted = forms(secret)
        return [name for name, data in self.written() if any(one in data for one in wanted)]


@contextmanager
def serving(folder: Path, **environ: str) -> Iterator[World]:
    with start_blocking_portal() as portal:
        servers = portal.wrap_async_context_manager
        with servers(weather()) as (mcp, seen), servers(token_server()) as tokens:
            tokens.client = (canary("client"), canary("clientsecret"))
            tokens.refresh_tokens, tokens.rotates = {canary("refresh")}, True
            with running_controller(folder, CONFIG, {**QUIET, **environ}) as controller:
                world = World(controller, mcp, seen, tokens)
                yield world
                world.http.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(tmp_path) as found:
        yield found


def use_everything(world: World) -> None:
    """Give it every secret that there is, and have it used."""
    for body in world.credentials:
        assert world.call("POST", "/credentials", body)["status"] == "active"
    for name in ("github", "mail"):
        assert world.run(credential=name)["status"] == "completed"
    world.run(headers={"authorization": f"Bearer {canary('header')}"})
    world.run(url=f"{world.mcp}?key={canary('query')}")
    change = {"type": "bearer_token", "token": canary("second"), "header_name": "X-Key"}
    world.call("PATCH", "/credentials/github", change)
    world.run(credential="github")
    host = {"domain": "a.example", "transform": {"Authorization": f"Bearer {canary('transform')}"}}
    network = {"type": "remote", "network": {"allowlist": [host]}}
    agent = {"agent": "antigravity", "input": MARKER, "environment": network}
    agent["agent_config"] = {"type": "antigravity", "model": "script/inline"}
    world.call("POST", "/interactions", agent)
    world.call("GET", "/credentials", None)
    world.secrets |= {*world.tokens.given, *world.tokens.refresh_tokens}


def make_mistakes(world: World) -> None:
    """Wrong calls with secrets in them, which the answers must not repeat."""
    for body in world.credentials:
        base = {**body, "id": f"other-{body['id']}"}
        secrets = [name for name, value in base.items() if "canary" in str(value)]
        for name in secrets:
            for wrong in ([base[name]], {"x": base[name]}, f"{base[name]}\n", f"ü{base[name]}"):
                world.call("POST", "/credentials", {**base, name: wrong})
        world.call("POST", "/credentials", {**base, "type": "bearer_token", "prefix": None})
        world.call("PATCH", f"/credentials/{body['id']}", {**body, "type": "oauth2"})
        world.call("POST", "/credentials", body)
    header = canary("wrongheader")
    for headers in (
        [header],
        header,
        {"x": [header]},
        {"x": f"{header}\n"},
        {f"Bearer {header}": "x"},
    ):
        world.run(headers=headers)
    for transform in ([header], header, {"x": [header]}, {"x": f"{header}\n"}):
        network = {"allowlist": [{"domain": "a.example", "transform": transform}]}
        environment = {"type": "remote", "network": network}
        body = {"model": "script/inline", "input": "Hi", "environment": environment}
        world.call("POST", "/interactions", body)


def test_nothing_of_a_secret_is_kept_logged_or_answered(world: World) -> None:
    use_everything(world)
    make_mistakes(world)
    assert len(world.secrets) > 10
    assert {secret: found for secret in world.secrets if (found := world.found(secret))} == {}
    # The same search finds what is no secret, in the database and in the answers.
    assert {"answers", "sandlot.db-wal"} <= {*world.found(MARKER)}


def test_the_servers_were_sent_all_of_it(world: World) -> None:
    use_everything(world)
    sent = str(world.seen.headers) + str(world.tokens.forms)
    for name in ("token", "refresh", "client", "clientsecret", "header", "second"):
        assert canary(name) in sent
    assert world.tokens.given[0] in sent


def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        for body in first.credentials:
            first.call("POST", "/credentials", body)
    with serving(tmp_path) as again:
        assert again.run(credential="github")["status"] == "completed"
        assert canary("token") in str(again.seen.headers)
        assert again.found(canary("token")) == []


def test_the_key_can_be_changed(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        for body in first.credentials:
            first.call("POST", "/credentials", body)
    new = new_key()
    with serving(tmp_path, SANDLOT_CREDENTIALS_KEY=new) as second:
        log = (tmp_path / "test.log").read_text("utf-8")
        assert "secrets sealed with the first key" in log and '"count": 3' in log
        assert new not in log
        assert second.run(credential="github")["status"] == "completed"
    (tmp_path / KEY_FILE).unlink()
    with serving(tmp_path, SANDLOT_CREDENTIALS_KEY=new) as third:
        assert third.run(credential="github")["status"] == "completed"
    with serving(tmp_path) as without:
        assert "secrets cannot be opened" in (tmp_path / "test.log").read_text("utf-8")
        failed = without.run(credential="github")["error"]["message"]
        assert "Put it back" in failed and "SANDLOT_CREDENTIALS_KEY" in failed
