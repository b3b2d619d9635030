"""Abuse of the API: by whom has no key, and by whom has one."""

from __future__ import annotations

import json

import httpx2
import pytest
from websockets.sync.client import connect

from tests.support.sandlot import RunningController, fence

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("unharmed")]
ROUTES = [
    ("GET", "/v1/interactions/x"),
    ("POST", "/v1/interactions"),
    ("GET", "/v1/environments"),
    ("DELETE", "/v1/environments/x"),
    ("GET", "/v1/environments/x/files"),
    ("GET", "/v1/files"),
    ("POST", "/upload/v1/files"),
    ("GET", "/openai/v1/models"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a01_without_a_good_key_nothing_is_said(
    sandlot: RunningController, http: httpx2.Client, method: str, path: str
) -> None:
    key = sandlot.api_key or ""
    keys = [{}, {"x-goog-api-key": "wrong"}, {"x-goog-api-key": key[:-1]}, {"x-goog-api-key": ""}]
    for headers in keys:
        answer = httpx2.request(method, sandlot.url + path, headers=headers)
        assert answer.status_code == 401, answer.text
        assert key not in answer.text
    assert http.request(method, path).status_code != 401, "the good key opens it"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{\x00}\x00",
        b'{"model": NaN}',
        b"[" * 100_000,
        b'{"model": "script/inline", "input": ' + b"[" * 50_000,
        b'{"input": "\\ud800", "model": 1}',
        json.dumps({f"k{n}": n for n in range(200_000)}).encode(),
        b'{"model": 1' + b"0" * 10_000 + b"}",
    ],
    ids=["empty", "utf16", "nan", "deep", "deeper", "surrogate", "wide", "digits"],
)
def test_a04_what_is_no_request_is_refused_without_a_trace(
    http: httpx2.Client, body: bytes
) -> None:
    answer = http.post("/v1/interactions", content=body)
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert "Traceback" not in answer.text and "error" in answer.json()
    good = {"model": "script/inline", "input": "hello"}
    assert http.post("/v1/interactions", json=good).status_code == 200


def test_a04_messages_of_a_websocket_are_read_as_strictly(sandlot: RunningController) -> None:
    environment = sandlot.run(fence("bash", "true")).environment_id
    url = f"{sandlot.url}/v1/environments/{environment}/exec".replace("http", "ws", 1)
    key = {"x-goog-api-key": sandlot.api_key or ""}
    deep = "[" * 100_000
    with connect(url, additional_headers=key, proxy=None) as command:
        command.send(deep)
        assert json.loads(command.recv(timeout=30))["error"]["code"] == "invalid_request"
    with connect(url, additional_headers=key, proxy=None) as command:
        command.send(json.dumps({"argv": ["cat"]}))
        command.send(deep)
        command.send(b"still here")
        command.send(json.dumps({"eof": True}))
        assert command.recv(timeout=30) == b"\x01still here"
        assert json.loads(command.recv(timeout=30)) == {"exit_status": 0}


def test_a12_methods_and_hosts_are_not_talked_into(
    sandlot: RunningController, http: httpx2.Client
) -> None:
    override = {"X-HTTP-Method-Override": "DELETE"}
    assert http.post("/v1/environments", headers=override).status_code == 405
    assert http.request("TRACE", "/v1/environments").status_code == 405
    foreign = http.get("/v1/environments", headers={"Host": "evil.example"})
    assert foreign.status_code >= 400, "a page that rebinds its name to this host gets nothing"
    origin = http.get("/v1/environments", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in origin.headers
    ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    flight = http.options("/v1/interactions", headers=ask)
    assert not [name for name in flight.headers if name.startswith("access-control-")]
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "127.0.0.1"}
    assert httpx2.get(f"{sandlot.url}/v1/environments", headers=forwarded).status_code == 401
    assert http.get("/v1/environments").status_code == 200, "the control is served"


def test_a24_what_is_open_says_nothing_secret(sandlot: RunningController) -> None:
    for path in ("/livez", "/readyz", "/openapi.json", "/docs"):
        answer = httpx2.get(sandlot.url + path)
        assert (sandlot.api_key or "-") not in answer.text
        assert str(sandlot.folder.path) not in answer.text
    for path in ("/debug", "/metrics", "/admin", "/.env", "/v1/../api_key"):
        assert httpx2.get(sandlot.url + path).status_code in (401, 404)
