"""Bad input: each gets the error object with a status that fits, never a 500."""

from __future__ import annotations

import errno
import gzip
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import APIRouter, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from runtime.api.faults import shown_path
from runtime.errors import SandboxUnavailable
from runtime.schema.callers import Caller
from runtime.schema.settings import ServerSettings
from tests.support.server import HEADERS, KEY, Running, running

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


def fault(response: httpx2.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert body["error"]["code"] == code
    assert "Traceback" not in response.text
    return body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        ('{"agent":"antigravity","input":"hi"}'.encode("utf-16"), "UTF-8"),
        (b'{"agent":"antigravity","input":"\xff"}', "UTF-8"),
        (b'{"agent":"antigravity","input":"a\\ud800"}', "surrogate"),
        (b'{"agent":"antigravity","input":"a","labels":{"\\udfff":"x"}}', "surrogate"),
        (b'{"agent":"antigravity","input":"a","input":"b"}', "'input' stands twice"),
        (b'{"model":"gpt","input":"a","generation_config":{"top_p":NaN}}', "NaN"),
        (b'{"model":"gpt","input":"a","generation_config":{"top_p":1e999}}', "too large"),
        (b'{"agent":"antigravity","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
        (b'{"agent":"a","x":' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper"),
        (b'{"agent":"antigravity","input":"a","x":' + b"9" * 10_000 + b"}", "not valid JSON"),
    ],
)
async def test_bodies_that_are_no_good_json(api: Running, body: bytes, words: str) -> None:
    async with api.client() as client:
        answer = await client.post("/v1/interactions", content=body, headers=JSON)
    assert words in fault(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": None}, "input"),
        ({"input": 7}, "input: must be a text"),
        ({"input": []}, "input: must not be empty"),
        ({"input": ["a"]}, "input[0]: must be an object"),
        ({"input": [{"text": "a"}]}, "input[0].type: is missing"),
        ({"input": {"type": "txt", "text": "a"}}, "input.type: 'txt' is not known"),
        ({"input": [{"type": "text", "text": 5}]}, "input[0].text: input should be a valid string"),
        ({"input": {"type": "image", "data": "?", "mime_type": "image/png"}}, "base64"),
        ({"input": {"type": "image", "data": "aGk="}}, "input.mime_type: is missing"),
        ({"input": {"type": "image", "uri": "gs://b/p"}}, "input.uri: must be"),
        (
            {"input": [{"type": "user_input", "content": [{"type": "audio", "uri": "x"}]}]},
            "input[0].content[0].uri: must be that of an uploaded file",
        ),
        (
            {"input": [{"type": "function_result", "call_id": "c1", "result": 1}]},
            "no function call 'c1' is waiting",
        ),
        ({"stream": "yes"}, "stream: input should be a valid boolean"),
        ({"background": 1}, "background: input should be a valid boolean"),
        ({"agent": 3}, "agent: input should be a valid string"),
        ({"agent": None}, "One of 'agent' and 'model'"),
        ({"model": "gpt"}, "model: cannot be given together with 'agent'"),
        ({"agentt": "x"}, "Unknown parameter 'agentt'. Did you mean 'agent'?"),
        ({"systemInstructions": "x"}, "Did you mean 'system_instruction'?"),
        ({"zzz": 1}, "Unknown parameter 'zzz'."),
        ({"temperature": 1}, "Unknown parameter 'temperature'"),
        ({"agent_config": {"type": "deep-research"}}, "agent_config.type"),
        ({"agent_config": {"modle": "x"}}, "Unknown parameter 'agent_config.modle'. Did you mean"),
        ({"agent_config": {"max_total_tokens": "many"}}, "agent_config.max_total_tokens"),
        ({"agent_config": {"max_total_tokens": 0}}, "agent_config.max_total_tokens"),
        ({"agent_config": {"model": "gpt-9"}}, "gpt-9"),
        ({"response_format": {"type": "text"}}, "response_format: cannot be given together"),
        ({"environment": 5}, "environment"),
        ({"environment": {"type": "local"}}, "environment.type: input should be 'remote'"),
        ({"environment": {"image": "x"}}, "Unknown parameter 'environment.image'"),
        ({"environment": {"network": {"allowlist": [{"domain": "not a host"}]}}}, "network"),
        (
            {"environment": {"sources": [{"type": "gcs", "source": "gs://b", "target": "/w"}]}},
            "environment.sources[0].type: sources of type 'gcs' are not supported; use 'inline' or",
        ),
        (
            {"environment": {"sources": [{"type": "inline", "target": "/", "content": "x"}]}},
            "environment.sources[0].target",
        ),
        (
            {"environment": {"sources": [{"type": "inline", "target": "../x", "content": "x"}]}},
            "environment.sources[0].target",
        ),
        (
            {"environment": {"sources": [{"type": "inline", "target": "/etc/x", "content": "x"}]}},
            "does not lie below /workspace",
        ),
        (
            {
                "environment": {
                    "sources": [{"type": "inline", "target": "x", "content": "ü" * 600_000}]
                }
            },
            "larger than 1048576 bytes",
        ),
        ({"environment": {"env": {"A-B": "x"}}}, "environment.env.A-B"),
        ({"environment": {"env": {"A": {"credential": "c"}}}}, "no credential"),
        ({"environment": {"environment_id": "a", "env_id": "b"}}, "name different ones"),
        ({"tools": [{"type": "computer_use"}]}, "tools[0]: the tool 'computer_use'"),
        ({"tools": [{"type": "nope"}]}, "tools[0]"),
        ({"tools": [{"type": "google_search"}]}, "not configured"),
        (
            {"tools": [{"type": "mcp_server", "name": "Weather", "url": "http://x"}]},
            "tools[0].name",
        ),
        ({"tools": [{"type": "mcp_server", "name": "w", "url": "http://x"}]}, "not configured"),
        ({"tools": [{"type": "function", "name": "view_file"}]}, "built-in"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f"}] * 2}, "two tools with the name 'f'"),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": {"type": "string"}}]},
            "tools[0].parameters",
        ),
        ({"labels": {"k" * 64: "v"}}, "labels"),
        ({"labels": {"k": 1}}, "labels.k"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"response_modalities": ["image"]}, "response_modalities"),
        ({"cached_content": "x"}, "cached_content: is not supported yet"),
        ({"continuation_token": "x"}, "continuation_token"),
        ({"safety_settings": [{"type": "hate_speech"}]}, "safety_settings"),
        ({"store": False, "tools": [{"type": "function", "name": "f"}]}, "need 'store'"),
    ],
)
async def test_fields_that_are_not_right(api: Running, changes: dict[str, Any], words: str) -> None:
    body = {"agent": "antigravity", "input": "hi", **changes}
    async with api.client() as client:
        answer = await client.post("/v1/interactions", json=body)
    code = "model_not_configured" if "gpt-9" in words else "invalid_request"
    assert words in fault(answer, 400, code)
    assert api.parts.runs.plans == []
    assert await api.parts.store.interactions.page("default", limit=10) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"agent_config": {}}, "agent_config: can only be given together with 'agent'"),
        ({"generation_config": {"temperature": 9}}, "generation_config.temperature"),
        ({"generation_config": {"top_k": 9}}, "Unknown parameter 'generation_config.top_k'"),
        ({"generation_config": {"image_config": {}}}, "image_config: is not supported"),
        (
            {"generation_config": {"tool_choice": {"allowed_tools": {"tools": ["f"]}}}},
            "there is no tool 'f'",
        ),
        ({"response_format": {"type": "image"}}, "response_format.type"),
        ({"response_format": {"type": "object"}}, "response_mime_type"),
        ({"response_format": []}, "exactly one format"),
        ({"response_format": {"type": "text", "schema": 1}}, "response_format.schema"),
        ({"response_format": {"type": "text", "size": 1}}, "response_format.size"),
        ({"response_mime_type": "image/png"}, "response_mime_type"),
        ({"model": "gpt-9"}, "gpt-9"),
    ],
)
async def test_fields_of_model_calls(api: Running, changes: dict[str, Any], words: str) -> None:
    async with api.client() as client:
        answer = await client.post(
            "/v1/interactions", json={"model": "gpt", "input": "a", **changes}
        )
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


async def test_kinds_of_body(api: Running) -> None:
    body = b'{"agent":"antigravity","input":"hi"}'
    async with api.client() as client:
        form = {"content-type": "application/x-www-form-urlencoded"}
        answer = await client.post("/v1/interactions", content=body, headers=form)
        assert "application/json" in fault(answer, 415, "unsupported_media_type")
        packed = {**JSON, "content-encoding": "gzip"}
        answer = await client.post("/v1/interactions", content=gzip.compress(body), headers=packed)
        fault(answer, 415, "unsupported_media_type")
        latin = {"content-type": "application/json; charset=latin-1"}
        answer = await client.post("/v1/interactions", content=body, headers=latin)
        fault(answer, 415, "unsupported_media_type")
        utf8 = {"content-type": 'application/json; charset="UTF-8"'}
        answer = await client.post("/v1/interactions", content=body, headers=utf8)
        assert answer.status_code == 200


async def test_a_prompt_of_fifty_megabytes(api: Running) -> None:
    body = json.dumps({"agent": "antigravity", "input": "x" * 50_000_000}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    async with api.client() as client:
        answer = await client.post("/v1/interactions", content=body, headers=JSON)
        assert "33554432 bytes" in fault(answer, 413, "request_too_large")
        answer = await client.post("/v1/interactions", content=pieces(), headers=JSON)
        fault(answer, 413, "request_too_large")
    assert api.parts.runs.plans == []


async def test_the_limit_of_a_body_is_exact(tmp_path: Path) -> None:
    body = b'{"agent":"antigravity","input":"hi"}'
    settings = ServerSettings(max_body_bytes=len(body))
    async with running(tmp_path, settings=settings) as api, api.client() as client:
        answer = await client.post("/v1/interactions", content=body, headers=JSON)
        assert answer.status_code == 200
        answer = await client.post("/v1/interactions", content=body + b" ", headers=JSON)
        fault(answer, 413, "request_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-goog-api-key": "wrong"},
        {"x-goog-api-key": ""},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
        {"x-goog-api-key": "schlüssel".encode().decode("latin-1")},
    ],
)
async def test_keys_that_do_not_open(api: Running, headers: dict[str, str]) -> None:
    async with httpx2.AsyncClient(base_url=api.url) as client:
        for method, path in [
            ("POST", "/v1/interactions"),
            ("GET", "/v1/interactions/x"),
            ("DELETE", "/v1/interactions/x"),
            ("POST", "/v1/interactions/x:cancel"),
            ("GET", "/v1/operations"),
            ("GET", "/v1/operations/x"),
            ("POST", "/v1/operations/x:wait"),
            ("GET", "/v1/agents"),
            ("GET", "/v1/models"),
        ]:
            raw = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = await client.request(method, path, headers=raw)
            assert "x-goog-api-key" in fault(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_keys_that_open(api: Running) -> None:
    async with httpx2.AsyncClient(base_url=api.url) as client:
        for headers in (
            {"x-goog-api-key": KEY},
            {"authorization": f"Bearer {KEY}"},
            {"authorization": f"bearer {KEY}"},
            {"authorization": f"Bearer {KEY}", "x-goog-api-key": "other"},
        ):
            assert (await client.get("/v1/agents", headers=headers)).status_code == 200
        twice = [("authorization", f"Bearer {KEY}"), ("authorization", "Bearer other")]
        fault(await client.get("/v1/agents", headers=twice), 401, "unauthenticated")
        fault(await client.get(f"/v1/agents?key={KEY}"), 401, "unauthenticated")


async def test_open_addresses_need_no_key(api: Running) -> None:
    async with httpx2.AsyncClient(base_url=api.url) as client:
        for path in ("/livez", "/readyz", "/healthz", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200, path


async def test_addresses_that_are_not_there(api: Running) -> None:
    async with api.client() as client:
        for path in ("/", "/v1", "/v1/nothing", "/v2/interactions", "/v1/interactions/a/b/c"):
            fault(await client.get(path), 404, "not_found")
        answer = await client.put("/v1/interactions", json={})
        fault(answer, 405, "method_not_allowed")
        assert "POST" in answer.headers["allow"]
        fault(await client.get("/v1/interactions/int_0"), 404, "not_found")
        fault(await client.get("/v1/operations/int_0"), 404, "not_found")
        fault(await client.post("/v1/operations/int_0:wait"), 404, "not_found")
        fault(await client.get("/v1/agents/nobody"), 404, "not_found")
        fault(await client.get("/v1/models/nothing"), 404, "not_found")
        odd = "/v1/interactions/" + "%27%3B%20DROP%20TABLE%20interactions--%00%F0%9F%98%80"
        fault(await client.get(odd), 404, "not_found")
        for path in ("/v1/voices", "/v1beta/voices/v", "/v1/decisions"):
            fault(await client.post(path, json={}), 501, "unimplemented")


async def test_queries_that_are_not_right(api: Running) -> None:
    async with api.client() as client:
        done = await client.post("/v1/interactions", json={"model": "gpt", "input": "hi"})
        path = f"/v1/interactions/{done.json()['id']}"
        for query, name in [
            ("?include_input=perhaps", "include_input"),
            ("?stream=perhaps", "stream"),
            ("?stream=true&last_event_id=0", "last_event_id"),
            ("?stream=true&last_event_id=99", "last_event_id"),
            ("?stream=true&last_event_id=-1", "last_event_id"),
            ("?stream=true&last_event_id=abc", "last_event_id"),
            ("?stream=true&last_event_id=" + "9" * 40, "last_event_id"),
        ]:
            assert name in fault(await client.get(path + query), 400, "invalid_request")
        for query, name in [
            ("?page_size=-1", "page_size"),
            ("?page_size=1000000", "page_size"),
            ("?page_size=x", "page_size"),
            ("?page_token=%27", "page_token"),
            ("?status=done", "status"),
            ("?done=perhaps", "done"),
        ]:
            assert name in fault(await client.get("/v1/operations" + query), 400, "invalid_request")
        bad_token = await client.get("/v1/agents?page_token=zz")
        assert "page_token" in fault(bad_token, 400, "invalid_request")
        wait = path.replace("interactions", "operations") + ":wait"
        for body in ({"timeout": "soon"}, {"timeout": True}, {"timeout": -1}, {"timeut": 1}, []):
            answer = await client.post(wait, json=body)
            assert "timeout" in fault(answer, 400, "invalid_request") or body == []


async def test_foreign_host_names_are_refused_on_loopback(api: Running) -> None:
    async with api.client() as client:
        for headers in (
            {"host": "evil.example"},
            {"host": f"evil.example:{api.port}"},
            {"host": "127.0.0.1.evil.example"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
        ):
            fault(await client.get("/v1/agents", headers=headers), 403, "permission_denied")
        for headers in (
            {"host": f"localhost:{api.port}"},
            {"host": "[::1]:8080"},
            {"host": "LOCALHOST"},
            {"origin": "http://localhost:3000"},
        ):
            assert (await client.get("/v1/agents", headers=headers)).status_code == 200, headers


async def test_sockets_are_guarded_like_calls(tmp_path: Path) -> None:
    router = APIRouter()

    @router.websocket("/environments/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    async with running(tmp_path, more=[router]) as api:
        url = f"ws://127.0.0.1:{api.port}/v1beta/environments/echo"
        async with connect(url, additional_headers=HEADERS, proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, proxy=None)
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["error"]["code"] == "unauthenticated"
        evil = Origin("https://evil.example")
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers=HEADERS, origin=evil, proxy=None)
        assert refused.value.response.status_code == 403


async def test_any_host_name_may_be_used_off_loopback(tmp_path: Path) -> None:
    settings = ServerSettings(host="192.0.2.1")
    async with running(tmp_path, settings=settings) as api, api.client() as client:
        answer = await client.get("/v1/agents", headers={"host": "sandlot.example"})
        assert answer.status_code == 200


async def test_a_mistake_of_ours_is_answered_without_its_insides(tmp_path: Path) -> None:
    class Broken:
        def caller(self, key: str) -> Caller | None:
            raise LookupError("secret detail")

    async with running(tmp_path, keys=Broken()) as api, api.client() as client:
        answer = await client.get("/v1/agents")
        message = fault(answer, 500, "internal")
        assert "its log says more under error_" in message
        assert "secret" not in message
        assert (await client.get("/livez")).status_code == 200


async def test_the_right_to_an_upload_is_not_logged() -> None:
    assert shown_path("/upload/v1beta/file-uploads/right") == "/upload/v1beta/file-uploads/..."
    assert shown_path("/v1/interactions/int_1") == "/v1/interactions/int_1"


async def test_readiness_says_what_is_missing(tmp_path: Path) -> None:
    async def docker() -> None:
        raise SandboxUnavailable("Docker does not answer.")

    async def slow() -> None:
        await anyio.sleep_forever()

    probes = {"docker": docker, "slow": slow}
    async with running(tmp_path, probes=probes) as api, api.client() as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "not_ready",
            "version": "0.0.0",
            "checks": {
                "docker": "Docker does not answer.",
                "slow": "did not answer within 1 s",
                "store": "ok",
            },
        }
        assert (await client.get("/livez")).json() == {"status": "ok"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the database and little else."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "sandlot-test", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_refuses_new_work_and_keeps_the_old_readable(small_disk: Path) -> None:
    body = {"model": "gpt", "input": "hi"}
    async with running(small_disk / "state") as api, api.client() as client:
        done = (await client.post("/v1/interactions", json=body)).json()
        hanging = {"model": "gpt", "input": "hang", "background": True}
        begun = (await client.post("/v1/interactions", json=hanging)).json()
        filler = small_disk / "filler"
        _fill(filler)
        big = {"model": "gpt", "input": "x" * 100_000}
        fault(await client.post("/v1/interactions", json=big), 507, "insufficient_storage")
        # The reserve still lets a run end; without it nothing new is started.
        ended = await client.post(f"/v1/interactions/{begun['id']}/cancel")
        assert ended.json()["status"] == "cancelled"
        _fill(filler)
        answer = await client.post("/v1/interactions", json=body)
        assert "free some space" in fault(answer, 507, "insufficient_storage")
        assert answer.headers["retry-after"]
        assert (await client.get("/readyz")).status_code == 503
        for known in (done, begun):
            assert (await client.get(f"/v1/interactions/{known['id']}")).status_code == 200
        filler.unlink()
        again = await client.post("/v1/interactions", json=body)
        assert again.json()["status"] == "completed"
        assert (await client.get("/readyz")).status_code == 200


def _fill(filler: Path) -> None:
    try:
        with filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC
