"""Keys: those that are none, what each may do, and what ends with one that is revoked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from runtime.api.scopes import OPEN, WEBSOCKET
from tests.security.tenants import PARAMETER, Owner, Tenants, ask, hanging, until
from tests.support.routes import all_routes
from tests.support.sandlot import RunningController, fence

pytestmark = pytest.mark.timeout(300)


def test_a01_keys_that_are_none(tenants: Tenants, alpha: Owner, tmp_path: Path) -> None:
    made = tenants.key("alpha", "run", "read", "admin")
    key = made["key"]
    with tenants.operator() as operator:
        assert operator.delete(f"/v1/keys/{made['id']}").status_code == 200
    good = alpha.key["key"]
    attempts: list[tuple[list[tuple[str, str]], str]] = [
        ([], ""),
        ([("x-goog-api-key", "wrong")], ""),
        ([("x-goog-api-key", key)], ""),
        ([("authorization", f"Bearer {key}")], ""),
        ([], f"?key={good}"),
        ([], f"?api_key={good}&access_token={good}"),
        ([("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")], ""),
        ([("authorization", "Bearer x"), ("authorization", f"Bearer {good}")], ""),
        ([("x-goog-api-key", good), ("x-goog-api-key", good)], ""),
        ([("authorization", f"Basic {good}")], ""),
        ([("cookie", f"key={good}")], ""),
    ]
    bodies: set[tuple[int, str]] = set()
    routes = [one for one in all_routes(tmp_path) if one[1] not in OPEN and one[0] != WEBSOCKET]
    with httpx2.Client(base_url=tenants.controller.url, timeout=60) as nobody:
        for headers, query in attempts:
            for method, path in routes:
                address = PARAMETER.sub("x", path) + query
                answer = nobody.request(method, address, headers=headers)
                about = answer.json()["error"]
                bodies.add((answer.status_code, about.get("code", "")))
                assert answer.headers["www-authenticate"] == "Bearer", f"{method} {address}"
                assert good not in answer.text and key not in answer.text
        assert {status for status, _ in bodies} == {401}
        lower = nobody.get("/v1/agents", headers={"authorization": f"bearer {good}"})
        assert lower.status_code == 200, "the scheme is read in any case"


def test_a01_scopes_hold(tenants: Tenants, alpha: Owner) -> None:
    body = {"model": "script/inline", "input": "Hi"}
    interaction = f"/v1/interactions/{alpha.ids['interaction_id']}"
    with tenants.client(tenants.key("alpha", "read")["key"]) as reader:
        refused = reader.post("/v1/interactions", json=body)
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "permission_denied"
        assert "'run'" in refused.json()["error"]["message"]
        assert reader.delete(interaction).status_code == 403
        assert reader.get(interaction).status_code == 200
        assert reader.get("/v1/keys").status_code == 403
        terminal = ask(
            tenants, reader, WEBSOCKET, f"/v1/environments/{alpha.ids['environment_id']}/terminal"
        )
        assert terminal[0] == 403, terminal
    with tenants.client(tenants.key("alpha", "run")["key"]) as runner:
        assert runner.post("/v1/interactions", json=body).status_code == 200
        assert runner.get(interaction).status_code == 403
        assert runner.post("/v1/keys", json={}).status_code == 403
        assert runner.get("/v1/credentials").status_code == 403


def test_a07_a_revoked_key_loses_its_streams_and_its_runs_go_on(tenants: Tenants) -> None:
    with hanging(tenants, "gamma") as (other, key, run), tenants.operator() as operator:
        with tenants.client(key["key"]) as http, ThreadPoolExecutor() as threads:
            path = f"/v1/interactions/{run}"
            with http.stream("GET", f"{path}?stream=true") as stream:
                chunks = stream.iter_bytes()
                assert b"interaction.created" in next(chunks)
                waits = [
                    threads.submit(http.post, f"/v1/operations/{run}:wait?timeout=200"),
                    threads.submit(
                        http.post, "/v1/interactions", json={"model": "silent/m", "input": "Hi"}
                    ),
                ]
                until(lambda: len(_runs(other)) == 2)
                assert operator.delete(f"/v1/keys/{key['id']}").status_code == 200
                rest = b"".join(chunks)
            assert b"[DONE]" not in rest, "it was cut, not ended"
            assert [wait.result(30).status_code for wait in waits] == [401, 401]
            assert http.get(path).status_code == 401
        assert other.get(path).json()["status"] == "in_progress"
        for one in _runs(other):
            other.post(f"/v1/interactions/{one.removeprefix('operations/')}:cancel")


def _runs(http: httpx2.Client) -> list[str]:
    listed = http.get("/v1/operations?done=false").json()["operations"]
    return [row["name"] for row in listed]


def test_a07_uploads_under_way_end_with_their_key(tenants: Tenants) -> None:
    key = tenants.key("gamma")
    with tenants.client(key["key"]) as http, tenants.operator() as operator:
        start = {"X-Goog-Upload-Protocol": "resumable"}
        begun = http.post("/upload/v1/files", json={}, headers=start)
        assert operator.delete(f"/v1/keys/{key['id']}").status_code == 200
    more = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
    late = httpx2.post(begun.headers["x-goog-upload-url"], content=b"late", headers=more)
    assert late.status_code == 404
    assert tenants.rows("gamma")["files"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/keys", {"name": "kept"}),
        ("/v1/credentials", {"type": "bearer_token", "id": "late", "token": "late-secret"}),
        ("/v1/interactions", {"model": "script/inline", "input": "late"}),
        ("/openai/v1/responses", {"model": "script/inline", "input": "late"}),
    ],
)
def test_a07_a_call_whose_body_comes_after_its_key_was_revoked_does_nothing(
    tenants: Tenants, path: str, body: dict[str, str]
) -> None:
    key = tenants.key("gamma", "run", "read", "admin")
    before = tenants.rows("gamma")
    sent = json.dumps(body).encode()
    address = urlsplit(tenants.controller.url)
    call = HTTPConnection(address.hostname or "", address.port, timeout=60)
    with closing(call), tenants.operator() as operator:
        call.putrequest("POST", path)
        call.putheader("x-goog-api-key", key["key"])
        call.putheader("content-type", "application/json")
        call.putheader("content-length", str(len(sent)))
        call.putheader("expect", "100-continue")
        call.endheaders()
        # The server asks for the body once the call is let in.
        assert call.sock.recv(1024).startswith(b"HTTP/1.1 100 ")
        assert operator.delete(f"/v1/keys/{key['id']}").status_code == 200
        call.send(sent)
        assert call.getresponse().status == 401
    after = tenants.rows("gamma")
    assert len(after.pop("keys")) == len(before.pop("keys"))
    assert after == before


@pytest.mark.docker
def test_a07_a_terminal_ends_with_its_key(sandlot: RunningController) -> None:
    environment = sandlot.run(fence("bash", "true")).environment_id
    with httpx2.Client(base_url=sandlot.url, timeout=60) as operator:
        operator.headers["x-goog-api-key"] = sandlot.api_key or ""
        made = operator.post("/v1/keys", json={"name": "terminal"}).json()
        url = f"{sandlot.url}/v1/environments/{environment}/terminal".replace("http", "ws", 1)
        key = {"x-goog-api-key": made["key"]}
        with connect(url, additional_headers=key, proxy=None) as terminal:
            terminal.send(b"echo here-$((40 + 2))\n")
            shown = b""
            while b"here-42" not in shown:
                shown += bytes(terminal.recv(timeout=60))
            assert operator.delete(f"/v1/keys/{made['id']}").status_code == 200
            with pytest.raises(ConnectionClosed):
                while True:
                    said = terminal.recv(timeout=30)
                    if isinstance(said, str):
                        assert json.loads(said)["error"]["code"] == "unauthenticated"
        with pytest.raises(InvalidStatus):
            connect(url, additional_headers=key, proxy=None)


@pytest.mark.docker
def test_a07_what_is_written_to_an_environment_ends_with_its_key(
    sandlot: RunningController,
) -> None:
    environment = sandlot.run(fence("bash", "true")).environment_id
    folder = f"/upload/v1/environments/{environment}/files/workspace"
    with httpx2.Client(base_url=sandlot.url, timeout=60) as operator:
        operator.headers["x-goog-api-key"] = sandlot.api_key or ""
        made = operator.post("/v1/keys", json={"name": "writer"}).json()
        key = {"x-goog-api-key": made["key"]}
        resumable = {**key, "x-goog-upload-protocol": "resumable"}
        begun = httpx2.put(f"{sandlot.url}{folder}/late.bin", headers=resumable, timeout=60)

        def body() -> Iterator[bytes]:
            yield b"a" * 65536
            assert operator.delete(f"/v1/keys/{made['id']}").status_code == 200
            for _ in range(1024):
                yield b"b" * 65536

        with suppress(httpx2.TransportError):  # the rest is not waited for
            answer = httpx2.put(
                f"{sandlot.url}{folder}/long.bin", content=body(), headers=key, timeout=60
            )
            assert answer.status_code == 401, answer.text
        finalize = {"x-goog-upload-command": "upload, finalize"}
        late = operator.post(begun.headers["x-goog-upload-url"], content=b"a", headers=finalize)
        assert late.status_code == 404, late.text
        listed = operator.get(f"/v1/environments/{environment}/files/workspace").json()["files"]
        assert not [one["path"] for one in listed if one["path"].endswith(".bin")]


@pytest.mark.docker
def test_a07_a_download_ends_with_its_key(sandlot: RunningController) -> None:
    size = 30 * 1024**2
    made = f"head -c {size} /dev/zero > /workspace/large; cat /workspace/large | wc -c"
    environment = sandlot.run(fence("bash", made)).environment_id
    url = f"{sandlot.url}/v1/environments/{environment}/files/workspace/large?alt=media"
    headers = {"x-goog-api-key": sandlot.api_key or ""}
    with httpx2.Client(base_url=sandlot.url, headers=headers, timeout=60) as operator:
        for is_revoked in (False, True):
            key = operator.post("/v1/keys", json={"name": "download"}).json()
            with httpx2.stream("GET", url, headers={"x-goog-api-key": key["key"]}) as answer:
                chunks = answer.iter_bytes()
                received = len(next(chunks))
                if is_revoked:
                    assert operator.delete(f"/v1/keys/{key['id']}").status_code == 200
                    with pytest.raises(httpx2.RemoteProtocolError):
                        list(chunks)
                    return
                assert received + sum(map(len, chunks)) == size


@pytest.mark.docker
@pytest.mark.parametrize("is_revoked", [False, True])
def test_a07_what_a_slow_sandbox_lists_is_not_told_to_a_revoked_key(
    sandlot: RunningController, is_revoked: bool
) -> None:
    environment = sandlot.run(fence("bash", "touch /workspace/secret-name")).environment_id
    assert environment is not None
    url = f"{sandlot.url}/v1/environments/{environment}/files/workspace"
    container = sandlot.sandbox_of(environment)
    headers = {"x-goog-api-key": sandlot.api_key or ""}
    with (
        httpx2.Client(base_url=sandlot.url, headers=headers, timeout=60) as operator,
        ThreadPoolExecutor() as threads,
    ):
        key = operator.post("/v1/keys", json={"name": "lister"}).json()
        container.pause()
        try:
            asked = threads.submit(
                httpx2.get, url, headers={"x-goog-api-key": key["key"]}, timeout=60
            )
            with suppress(TimeoutError):
                asked.result(1)
            assert not asked.done(), "it waits for the sandbox"
            if is_revoked:
                assert operator.delete(f"/v1/keys/{key['id']}").status_code == 200
        finally:
            container.unpause()
        answer = asked.result(60)
    assert (answer.status_code == 401) == is_revoked, answer.text
    assert ("secret-name" in answer.text) != is_revoked
