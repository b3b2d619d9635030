"""A secret in every place that holds one, hunted for wherever it could have got to."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.security import host
from tests.support.outside import Outside, outside
from tests.support.sandlot import RunningController, fence, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}, memory: 512MiB, workspace: 64MiB, max_running: 2}}
egress: {{upstream_proxy: "{upstream}", ca_files: [{ca}]}}
outbound: {{allow: [127.0.0.1]}}
models:
  providers:
    paid: {{kind: openai_compatible, base_url: "http://127.0.0.1:9/v1", api_key: "{key}"}}
"""
CANARIES = {
    kind: f"canary{number}b7e15c29{kind}"
    for number, kind in enumerate(("bearer", "variable", "client", "refresh", "header", "model"))
}
CONTROL = "canary9b7e15c29control"
"""One that was given as a plain variable, which everybody may read: the hunt finds it."""

HUNT = r"""
import os, re
pattern = re.compile(rb"canary[0-9]b7e1" + rb"5c29[a-z]+")
found, looked = {}, 0
def note(where, data):
    global looked
    looked += 1
    for match in pattern.findall(data):
        found.setdefault(match.decode(), where)
for name in os.listdir("/proc"):
    if not name.isdigit():
        continue
    for part in ("environ", "cmdline"):
        try:
            note(f"{part} of a process", open(f"/proc/{name}/{part}", "rb").read())
        except OSError:
            pass
    try:
        maps = open(f"/proc/{name}/maps").read().splitlines()
        memory = open(f"/proc/{name}/mem", "rb", 0)
    except OSError:
        continue
    for line in maps:
        span, rights, *_ = line.split()
        first, last = (int(part, 16) for part in span.split("-"))
        if not rights.startswith("rw") or last - first > 1 << 28:
            continue
        try:
            memory.seek(first)
            note("memory", memory.read(last - first))
        except (OSError, ValueError):
            continue
for top in ("/workspace", "/tmp", "/run", "/etc", "/dev/shm", "/var"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                if os.path.isfile(path) and os.path.getsize(path) < 1 << 24:
                    note(path, open(path, "rb").read())
            except OSError:
                pass
print(looked, sorted(found))
"""


@pytest.fixture(scope="module")
def world() -> Generator[Outside]:
    with outside() as found:
        yield found


@pytest.fixture(scope="module")
def controller(
    image: str, world: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Generator[RunningController]:
    folder = tmp_path_factory.mktemp("canary")
    ca = folder / "ca.pem"
    ca.write_text(world.certificates.pem, encoding="ascii")
    config = CONFIG.format(image=image, upstream=world.upstream, ca=ca, key=CANARIES["model"])
    with running_controller(folder / "state", config) as running:
        yield running
    host.check_nothing_left(running)


@pytest.fixture(scope="module")
def api(controller: RunningController) -> Generator[httpx2.Client]:
    headers = {"x-goog-api-key": controller.api_key or ""}
    with httpx2.Client(base_url=controller.url, headers=headers, timeout=60) as client:
        yield client


def made(api: httpx2.Client) -> list[str]:
    """What was answered when a credential of each type was made."""
    bodies: list[dict[str, Any]] = [
        {"id": "signs", "type": "bearer_token", "token": CANARIES["bearer"]},
        {
            "id": "stands",
            "type": "environment_variable",
            "value": CANARIES["variable"],
            "injection_location": ["header", "query", "body"],
            "trusted_domains": ["trusted.test"],
        },
        {
            "id": "renews",
            "type": "oauth2",
            "client_id": "sandlot",
            "client_secret": CANARIES["client"],
            "refresh_token": CANARIES["refresh"],
            "token_url": "https://127.0.0.1:9/token",
        },
    ]
    answers = [api.post("/v1/credentials", json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [200, 200, 200], answers[-1].text
    wrong = [{**body, "unknown": 1, "id": "bad id"} for body in bodies]
    wrong += [{**body, "token": [CANARIES["bearer"]]} for body in bodies[:1]]
    refused = [api.post("/v1/credentials", json=body) for body in wrong]
    refused.append(api.patch("/v1/credentials/signs", json={"token": CANARIES["bearer"]}))
    assert {answer.status_code for answer in refused} == {400}
    return [answer.text for answer in [*answers, *refused]]


@pytest.fixture(scope="module")
def told(controller: RunningController, world: Outside, api: httpx2.Client) -> list[str]:
    """Everything that was said while all of the secrets were used."""
    said = made(api)
    run = controller.run(
        "\n".join(
            [
                fence(
                    "bash",
                    "curl -sS -m 30 https://signed.test/ https://headed.test/ https://no.test/",
                    'curl -sS -m 30 -H "X-T: $TOKEN" "https://trusted.test/?t=$TOKEN" -d "$TOKEN"',
                    "curl -sS -m 30 http://signed.test/; curl -sS -m 30 https://renewed.test/",
                ),
                fence("python", HUNT),
            ]
        ),
        {
            "type": "remote",
            "network": {
                "allowlist": [
                    {"domain": "signed.test", "credential": "signs"},
                    {"domain": "headed.test", "transform": {"X-Key": CANARIES["header"]}},
                    {"domain": "trusted.test"},
                    {"domain": "renewed.test", "credential": "renews"},
                ]
            },
            "env": {"TOKEN": {"credential": "stands"}, "PLAIN": CONTROL},
        },
    )
    assert run.status == "completed", run
    paths = (
        f"/v1/interactions/{run.id}?include_input=true",
        f"/v1/interactions/{run.id}?stream=true&last_event_id=",
        f"/v1/operations/{run.id}",
        f"/v1/environments/{run.environment_id}",
        f"/v1/environments/{run.environment_id}/network_events",
        "/v1/credentials",
        "/v1/environments",
        "/readyz",
    )
    return [*said, str(run), *(api.get(path).text for path in paths), results(run)[-1]]


def shapes(secret: str) -> list[bytes]:
    raw = secret.encode()
    return [raw, base64.b64encode(raw).rstrip(b"=")[:-2], raw.hex().encode()]


def test_n23_the_secrets_were_used(told: list[str], world: Outside) -> None:
    assert world.last("headed.test").headers["x-key"] == CANARIES["header"]
    assert world.last("signed.test").headers["authorization"] == f"Bearer {CANARIES['bearer']}"
    trusted = world.last("trusted.test")
    assert trusted.headers["x-t"] == CANARIES["variable"]
    assert trusted.body.decode() == CANARIES["variable"]
    assert CANARIES["variable"] in trusted.path


def test_n23_nothing_of_them_is_in_the_sandbox(told: list[str]) -> None:
    looked, found = told[-1].split(" ", 1)
    assert int(looked) > 100
    assert json.loads(found.replace("'", '"')) == [CONTROL]


@pytest.mark.parametrize("kind", sorted(CANARIES))
def test_n23_nothing_of_them_is_told(told: list[str], kind: str) -> None:
    text = "\n".join(told).encode()
    assert not [shape for shape in shapes(CANARIES[kind]) if shape in text]


@pytest.mark.parametrize("kind", sorted(CANARIES))
def test_n23_nothing_of_them_is_stored_or_logged(
    controller: RunningController, told: list[str], kind: str
) -> None:
    state: Path = controller.folder.path
    config = state / "test-config.yaml"
    files = [path for path in state.rglob("*") if path.is_file() and path != config]
    files = [path for path in files if path.suffix != ".img"]
    assert any(CONTROL.encode() in path.read_bytes() for path in files), (
        "the hunt finds the control"
    )
    for path in files:
        data = path.read_bytes()
        assert not [shape for shape in shapes(CANARIES[kind]) if shape in data], path.name


def test_n23_no_process_of_the_host_shows_them(
    controller: RunningController, told: list[str]
) -> None:
    numbers = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    shown = [_read(f"/proc/{number}/cmdline") for number in numbers]
    shown += [_read(f"/proc/{name}/environ") for name in _children(controller.process.pid)]
    assert len(shown) > 5
    secrets = [secret.encode() for secret in CANARIES.values()]
    assert not [data for data in shown if any(secret in data for secret in secrets)]


def _children(pid: int) -> list[str]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [str(pid), *listed]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""  # it has ended, or is not ours to look at
