"""What programs in a sandbox make of its network, without any setting by the agent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from runtime.sandboxes.image import ensure_image
from tests.support.outside import Outside, outside
from tests.support.packages import node_pages, python_pages
from tests.support.sandlot import RunningController, fence, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}, memory: 2GiB, workspace: 256MiB, max_running: 2}}
egress: {{upstream_proxy: "{upstream}", ca_files: [{ca}]}}
"""
TOKEN = "canary-53c1d2a7"
SECRET = {"domain": "secret.test", "transform": {"X-Token": TOKEN}}
"""A host whose TLS ends at the proxy."""
HOSTS = ("plain.test", "secret.test")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[Outside]:
    with outside() as world:
        world.pages |= python_pages("tinywheel", "WORD = 'from the index'")
        world.pages |= node_pages(
            "tinynode", "console.log('from the registry')", "https://npm.test"
        )
        world.repositories = tmp_path_factory.mktemp("repositories")
        subprocess.run(
            ["git", "init", "--quiet", "--bare", "--initial-branch=main", "one.git"],
            cwd=world.repositories,
            check=True,
        )
        yield world


@pytest.fixture(scope="module")
def controller(
    tmp_path_factory: pytest.TempPathFactory, world: Outside
) -> Generator[RunningController]:
    folder = tmp_path_factory.mktemp("inside")
    (folder / "ca.pem").write_text(world.certificates.pem, encoding="ascii")
    image = ensure_image(lambda _: None)
    config = CONFIG.format(image=image, upstream=world.upstream, ca=folder / "ca.pem")
    with running_controller(folder / "state", config) as controller:
        yield controller


def allowing(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"type": "remote", "network": {"allowlist": [*entries]}, **more}


INDEXES = {"PIP_INDEX_URL": "https://pypi.test/simple/", "npm_config_registry": "https://npm.test/"}
OPEN = allowing({"domain": "*"}, SECRET, env=INDEXES)


def call(name: str, **arguments: Any) -> str:
    return f"```tool {name}\n{json.dumps(arguments)}\n```"


CLIENTS = {
    "curl": "curl -sS https://{host}/{name}",
    "wget": "wget -qO- https://{host}/{name}",
    "curl, plain": "curl -sS http://plain.test/{name}",
    "wget, plain": "wget -qO- http://plain.test/{name}",
    "urllib": "python3 -c \"import urllib.request as u; print(u.urlopen('{url}').read())\"",
    "requests": "python3 -c \"import requests; print(requests.get('{url}').text)\"",
    "httpx": "python3 -c \"import httpx; print(httpx.get('{url}').text)\"",
    "openssl's own": "env -i https_proxy=$https_proxy /usr/bin/python3 -c "
    "\"import urllib.request as u; print(u.urlopen('{url}').read())\"",
    "gnutls's own": "env -i https_proxy=$https_proxy wget -qO- https://{host}/{name}",
    "fetch": "node -e \"fetch('{url}').then(a => a.text()).then(console.log)\"",
    "node:https": "node -e \"require('https').get('{url}', a => a.pipe(process.stdout))\"",
    "node:https, kept": "node --input-type=module -e \"import https, {{Agent}} from 'https'; "
    "https.get('{url}', {{agent: new Agent({{keepAlive: true}})}}, a => "
    "a.pipe(process.stdout).on('unpipe', () => process.exit()))\"",
    "node:http": "node -e \"require('http').get('http://plain.test/{name}', a => "
    'a.pipe(process.stdout))"',
}


@pytest.mark.parametrize("host", HOSTS)
def test_programs_reach_servers(controller: RunningController, world: Outside, host: str) -> None:
    paths = {name: f"{number}-{host}" for number, name in enumerate(CLIENTS)}
    commands = [
        command.format(host=host, name=paths[name], url=f"https://{host}/{paths[name]}")
        for name, command in CLIENTS.items()
    ]
    run = controller.run(fence("bash", *(f"{one} 2>&1" for one in commands)), OPEN)
    for (name, path), said in zip(paths.items(), results(run), strict=True):
        assert f"/{path}" in said, (name, said)
    assert TOKEN not in str(run)
    tokens = {one.headers.get("x-token") for one in world.seen if one.host == host}
    assert tokens == {TOKEN if host == "secret.test" else None}


def test_what_runs_in_the_sandbox_is_reached_directly(controller: RunningController) -> None:
    serve = "mkdir -p site; echo served > site/a; python3 -m http.server 8123 -d site &>/dev/null &"
    wait = "until curl -s http://localhost:8123/a; do sleep 0.1; done"
    node = (
        "node -e \"fetch('http://localhost:8123/a').then(a => a.text()).then(console.log);"
        "require('http').get('http://127.0.0.1:8123/a', a => a.pipe(process.stdout))\""
    )
    python = "python3 -c \"import requests; print(requests.get('http://localhost:8123/a').text)\""
    run = controller.run(fence("bash", f"{serve}\n{wait}", node, python), OPEN)
    waited, by_node, by_python = results(run)
    assert waited.endswith("served\n")
    assert (by_node.split(), by_python.split()) == (["served", "served"], ["served"])


def test_packages_of_python_can_be_used_at_once_and_stay(controller: RunningController) -> None:
    use = "import tinywheel; print(tinywheel.WORD)"
    first = controller.run(fence("python", f"%pip install tinywheel\n{use}"), OPEN)
    assert "Successfully installed tinywheel-1.0" in results(first)[0]
    assert "from the index" in results(first)[0]
    assert first.environment_id is not None
    doomed = controller.start(fence("bash", "echo begun; sleep 600"), first.environment_id)
    controller.wait_for_step(doomed.id, "begun")
    controller.sandbox_of(first.environment_id).kill()
    controller.client.interactions.operations.wait(doomed.id, 60)
    again = controller.run(fence("python", use), first.environment_id)
    assert results(again) == ["from the index\n"], again


def test_packages_of_node_can_be_used(controller: RunningController) -> None:
    run = controller.run(
        fence(
            "bash",
            "mkdir app; cd app; npm init -y >/dev/null; npm install tinynode; node -e "
            "\"require('tinynode')\"",
            "cd /workspace; npm install -g tinynode; command -v tinynode; tinynode",
            "npm uninstall -g tinynode; cd /tmp; npx --yes tinynode",
        ),
        OPEN,
    )
    local, everywhere, npx = results(run)
    assert "from the registry" in local
    assert "/workspace/.local/bin/tinynode" in everywhere
    assert "from the registry" in everywhere
    assert "from the registry" in npx


def test_git_clones_fetches_and_pushes(controller: RunningController, world: Outside) -> None:
    credential = {"domain": "git.test", "transform": {"Authorization": f"Bearer {TOKEN}"}}
    run = controller.run(
        fence(
            "bash",
            "git clone https://git.test/one.git a 2>&1; cd a; git checkout -qb main; echo 1 > f; "
            "git add f; git commit -qm first; git push -q origin main 2>&1; echo pushed $?",
            "cd /workspace; git clone -q https://git.test/one.git b 2>&1; cat b/f",
            "cd a; echo 2 > f; git commit -qam second; git push -q; cd ../b; git pull -q 2>&1; "
            "cat f",
        ),
        allowing(credential),
    )
    pushed, cloned, pulled = results(run)
    assert "pushed 0" in pushed
    assert (cloned, pulled) == ("1\n", "2\n")
    assert world.last("git.test").headers["authorization"] == f"Bearer {TOKEN}"


def test_the_callers_own_proxy_does_not_get_in_the_way(controller: RunningController) -> None:
    given = {"HTTPS_PROXY": "http://nowhere.test:1", "SSL_CERT_FILE": "/nowhere", "MINE": "1"}
    run = controller.run(
        fence("bash", "echo $MINE; curl -sS https://plain.test/mine"), {**OPEN, "env": given}
    )
    assert results(run)[0].startswith("1\n")
    assert "/mine" in results(run)[0]


def test_the_browser_uses_the_network(controller: RunningController) -> None:
    run = controller.run(
        "\n".join(
            [
                call("browser_navigate", url="data:text/html,<a href='https://no.test/'>go</a>"),
                call("browser_click", ref="e2"),
                call("browser_navigate", url="https://plain.test/page"),
                call("browser_navigate", url="https://secret.test/page"),
                call("browser_navigate", url="https://refused.test/page"),
                call("browser_navigate", url="http://refused.test/page"),
            ]
        ),
        allowing({"domain": "plain.test"}, SECRET),
    )
    _, clicked, plain, secret, refused, page = results(run)
    assert "plain.test" in plain
    assert "/page" in secret
    assert TOKEN not in str(run)
    assert "host refused.test is not in this environment's allowlist" in refused
    assert "host refused.test is not in this environment's allowlist" in page
    assert "host no.test is not in this environment's allowlist" in clicked
    asked = {event.host for event in controller.decisions(run, "no.test")}
    assert "no.test" in asked
    assert asked <= {"plain.test", "secret.test", "refused.test", "no.test"}


def test_the_browser_reaches_what_runs_in_the_sandbox(controller: RunningController) -> None:
    serve = (
        "mkdir -p site; echo '<h1>mine</h1>' > site/index.html; "
        "python3 -m http.server 8124 -d site &>/dev/null & "
        "until curl -s http://localhost:8124/; do sleep 0.1; done"
    )
    pages = ["http://localhost:8124/", "http://127.0.0.1:8124/", "/workspace/site/index.html"]
    calls = [call("browser_navigate", url=page) for page in pages]
    run = controller.run("\n".join([fence("bash", serve), *calls]), OPEN)
    assert ['heading "mine"' in said for said in results(run)[1:]] == [True] * 3


GUARDED = """
import os, signal, socket
def refused(act):
    try:
        act()
    except OSError as error:
        return error.strerror
folder = "/run/trust"
relays = [p for p in os.listdir("/proc") if p.isdigit() and os.stat(f"/proc/{p}").st_uid == 901]
print(len(relays))
lines = open(f"/proc/{relays[0]}/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
print(status["Seccomp_filters"], {status[f"Cap{kind}"] for kind in ("Prm", "Eff", "Bnd")})
mine = open("/proc/self/status").read().partition("Seccomp_filters:\\t")[2].split()[0]
print(mine)
egress = "/run/sandlot/egress.sock"
print(refused(lambda: socket.socket(socket.AF_UNIX).connect(egress)))
print(refused(lambda: os.kill(int(relays[0]), signal.SIGKILL)))
print(refused(lambda: socket.create_server(("127.0.0.1", 3128), reuse_port=True)))
for name in ("ca-certificates.crt", "network.crt", "chromium.json"):
    print(refused(lambda: open(f"{folder}/{name}", "a")))
    print(refused(lambda: os.unlink(f"{folder}/{name}")))
print(refused(lambda: open(f"{folder}/more", "w")))
"""


def test_the_agent_cannot_tamper_with_it(controller: RunningController) -> None:
    run = controller.run(fence("python", GUARDED), OPEN)
    relays, confined, mine, socket_error, *others = results(run)[0].splitlines()
    assert relays == "1"
    assert confined == f"{mine} {{'{'0' * 16}'}}", "confined as the agent's code is"
    assert socket_error == "Permission denied"
    killed, bound, *written = others
    assert killed == "Operation not permitted"
    assert bound.startswith("Address already in use")
    assert {*written} == {"Permission denied"}


def test_the_relay_is_started_again(controller: RunningController) -> None:
    first = controller.run(fence("bash", "curl -sS https://plain.test/1"), OPEN)
    assert first.environment_id is not None
    sandbox = controller.sandbox_of(first.environment_id)
    kill = "kill -9 $(ps -o pid= -u 901 | head -1)"
    assert sandbox.exec_run(["sh", "-c", kill], user="901").exit_code in (0, 137)
    again = controller.run(fence("bash", "curl -sS https://plain.test/2"), first.environment_id)
    assert "/2" in results(again)[0]


def test_connections_by_the_hundred_are_carried(controller: RunningController) -> None:
    code = """
import concurrent.futures, urllib.request
def get(number):
    with urllib.request.urlopen(f"https://plain.test/{number}") as answer:
        return str(number) in answer.read().decode()
with concurrent.futures.ThreadPoolExecutor(40) as pool:
    print(sum(pool.map(get, range(200))))
"""
    assert results(controller.run(fence("python", code), OPEN)) == ["200\n"]


def test_without_a_network_there_is_no_relay(controller: RunningController) -> None:
    look = "ps -u 901 -o pid= | wc -l; env | grep -ci -e proxy -e cert; ls /run/trust"
    run = controller.run(fence("bash", look), {"type": "remote", "network": "disabled"})
    assert results(run)[0].split() == ["0", "0", "ca-certificates.crt"]


def test_a_file_that_is_served_whole_arrives_whole(
    controller: RunningController, world: Outside, tmp_path: Path
) -> None:
    world.pages["/large"] = bytes(range(256)) * 100_000
    run = controller.run(
        fence(
            "bash",
            "curl -sS https://plain.test/large | md5sum; curl -sS "
            "https://secret.test/large | md5sum",
        ),
        OPEN,
    )
    first, second = (line.split()[0] for line in results(run)[0].splitlines())
    assert first == second
