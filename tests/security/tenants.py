"""Several projects in one controller, each with keys, one with something of everything."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from runtime.api.scopes import WEBSOCKET
from tests.support.openapi_world import World
from tests.support.sandlot import RunningController, running_controller

PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
CONFIG = """
models:
  default: script/inline
  providers:
    silent: {{kind: openai_compatible, base_url: "http://127.0.0.1:{port}/v1", max_retries: 0}}
quotas:
  projects:
    small: {{running: 1, queued: 4, environments: 1, stored: 1KiB, streams: 600}}
    slow: {{requests_per_second: 0.01}}
    narrow: {{streams: 2}}
"""
TABLES = ("interactions", "environments", "files", "sessions", "idempotency", "credentials", "keys")
Json = dict[str, Any]


@dataclass
class Tenants:
    """A controller, and how its projects come in."""

    controller: RunningController

    def key(self, project: str, *scopes: str) -> Json:
        """A new key."""
        body = {"project": project, "scopes": scopes or ("run", "read")}
        with self.client(self.controller.api_key or "") as operator:
            answer = operator.post("/v1/keys", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def client(self, key: str) -> httpx2.Client:
        """A caller with a key."""
        headers = {"x-goog-api-key": key}
        return httpx2.Client(base_url=self.controller.url, headers=headers, timeout=60)

    def operator(self) -> httpx2.Client:
        """The operator."""
        return self.client(self.controller.api_key or "")

    def rows(self, project: str) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that a project has in the database, but for when it was last looked at."""
        path = f"file:{self.controller.folder.path / 'sandlot.db'}?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            found: dict[str, list[tuple[Any, ...]]] = {}
            for table in TABLES:
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                shown = ", ".join(f'"{one}"' for one in columns if one != "last_used")
                query = f"SELECT {shown} FROM {table} WHERE project_id = ? ORDER BY 1"
                found[table] = database.execute(query, [project]).fetchall()
        return found


@pytest.fixture(scope="session")
def silent_model() -> Generator[int]:
    """A model server that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(scope="session")
def tenants(silent_model: int, tmp_path_factory: pytest.TempPathFactory) -> Generator[Tenants]:
    state = tmp_path_factory.mktemp("tenants") / "state"
    with running_controller(state, CONFIG.format(port=silent_model), NO_DOCKER) as controller:
        yield Tenants(controller)


@dataclass
class Owner:
    """A project with something of everything."""

    world: World
    key: Json
    ids: dict[str, str]


@pytest.fixture(scope="session")
def alpha(tenants: Tenants) -> Generator[Owner]:
    key = tenants.key("alpha", "run", "read", "admin")
    with tenants.client(key["key"]) as http:
        world = World(http)
        world.fill()
        credential = {"type": "bearer_token", "id": "mine", "token": "secret-of-alpha"}
        made = http.post("/v1/credentials", json=credential)
        assert made.status_code == 200, made.text
        interaction = next(world.interactions)
        session = http.post(
            "/v1/interactions",
            json={"contents": ["Hi"], "model": "script/inline", "session_config": {"ttl": "600s"}},
        ).json()
        ids = {
            "interaction_id": interaction,
            "response_id": interaction.replace("int_", "resp_"),
            "environment_id": world.environment,
            "file_id": world.file,
            "key_id": key["id"],
            "project_id": "alpha",
            "credential_id": made.json()["id"],
            "session_id": session["session_id"],
            # Of no project.
            "upload_id": "upl_nothing",
            "path": "workspace/a.txt",
            "agent_id": "nobody",
            "model": "nothing",
            "rest": "x",
            "_address": "http:",
        }
        yield Owner(world, key, ids)


@pytest.fixture(scope="session")
def beta(tenants: Tenants) -> Generator[httpx2.Client]:
    with tenants.client(tenants.key("beta", "run", "read", "admin")["key"]) as http:
        yield http


def ask(tenants: Tenants, http: httpx2.Client, method: str, path: str) -> tuple[int, str]:
    if method == WEBSOCKET:
        url = tenants.controller.url.replace("http://", "ws://") + path
        key = {"x-goog-api-key": http.headers["x-goog-api-key"]}
        with pytest.raises(InvalidStatus) as refused:
            connect(url, additional_headers=key, proxy=None)
        assert b"address" not in (refused.value.response.body or b""), "it was no WebSocket"
        return refused.value.response.status_code, (refused.value.response.body or b"").decode()
    body = {"type": "bearer_token", "token": "x"} if method == "PATCH" else None
    if path.endswith(":wait"):
        body = {"timeout": "1s"}
    answer = http.request(method, path, json=body)
    return answer.status_code, answer.text


@contextmanager
def hanging(tenants: Tenants, project: str) -> Generator[tuple[httpx2.Client, Json, str]]:
    """A run that waits for its model; another key of the project, and the key that began it."""
    key = tenants.key(project)
    with (
        tenants.client(key["key"]) as http,
        tenants.client(tenants.key(project)["key"]) as other,
    ):
        body = {"model": "silent/m", "input": "Hi", "background": True}
        run = http.post("/v1/interactions", json=body).json()
        yield other, key, run["id"]
        other.post(f"/v1/interactions/{run['id']}:cancel")


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
