"""Environments that begin with repositories, private ones included."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

import pytest

from runtime.client import Interaction
from runtime.errors import InvalidRequest, NotFound
from runtime.sandboxes.image import ensure_image
from tests.support.outside import Outside, outside
from tests.support.repositories import add_repository
from tests.support.sandlot import INLINE, RunningController, fence, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
agents: [{agents}]
sandbox:
  image: {image}
  memory: 1GiB
  workspace: 256MiB
  max_running: 3
  source_size: 4MiB
  source_timeout: 15s
egress: {{upstream_proxy: "{upstream}", ca_files: [{ca}]}}
"""
CLERK = """
id: clerk
description: Has data.
tools: [code_execution]
data_sources: [{path: data.csv}]
"""
TOKEN = "Basic eC1vYXV0aC1iYXNpYzpjYW5hcnktNGJlMQ=="
MIB = 1024**2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[Outside]:
    with outside() as world:
        world.repositories = tmp_path_factory.mktemp("repositories")
        world.repositories_for = TOKEN
        add_repository(world.repositories, "small.git", file=b"from a repository\n")
        add_repository(world.repositories, "large.git", file=os.urandom(6 * MIB))
        yield world


@pytest.fixture(scope="module")
def controller(
    tmp_path_factory: pytest.TempPathFactory, world: Outside
) -> Generator[RunningController]:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "ca.pem").write_text(world.certificates.pem, encoding="ascii")
    image = ensure_image(lambda _: None)
    (folder / "agents").mkdir()
    (folder / "agents" / "clerk.yaml").write_text(CLERK, encoding="utf-8")
    (folder / "agents" / "data.csv").write_text("a,b", encoding="utf-8")
    agents = folder / "agents"
    config = CONFIG.format(
        image=image, agents=agents, upstream=world.upstream, ca=folder / "ca.pem"
    )
    with running_controller(folder / "state", config) as controller:
        yield controller


def repository(name: str = "small", **more: Any) -> dict[str, Any]:
    return {"type": "repository", "source": f"https://git.test/{name}.git", **more}


def having(*sources: dict[str, Any], domain: str = "git.test", **headers: str) -> dict[str, Any]:
    entry = {"domain": domain, "transform": headers or {"Authorization": TOKEN}}
    return {"type": "remote", "sources": [*sources], "network": {"allowlist": [entry]}}


def test_a_private_repository_is_there_and_its_credential_is_not(
    controller: RunningController, world: Outside
) -> None:
    note = {"type": "inline", "target": "/workspace/small/note.md", "content": "beside it"}
    search = (
        "cat small/file small/note.md; cd small; git log --format=%s; git config -l; "
        "cat .git/config; env; grep -rls 'eC1vYXV0aC1iYXNp[Y]' /workspace /tmp /run /etc "
        "/proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; ls -d .git/hooks; echo searched"
    )
    run = controller.run(fence("bash", search), having(repository(), note))
    assert run.status == "completed", run
    (found,) = results(run)
    assert "from a repository" in found and "beside it" in found and "First." in found
    assert "remote.origin.url=https://git.test/small.git" in found
    assert found.strip().endswith("searched")
    assert TOKEN.removeprefix("Basic ") not in str(run) and "Authorization" not in found
    assert "\n.git/hooks" not in found
    assert world.last("git.test").headers["authorization"] == TOKEN
    assert run.environment_id is not None
    environment = controller.client.environments.get(run.environment_id).model_dump()
    assert environment["sources"] == [
        {**repository(), "target": "/workspace/small"},
        {"type": "inline", "target": "/workspace/small/note.md"},
    ]
    again = controller.run(fence("bash", "cat /workspace/small/file"), run.environment_id)
    assert results(again) == ["from a repository\n"]


def failed(controller: RunningController, environment: Any) -> str:
    """Why a run did not begin; there is nothing of its environment afterwards."""
    run = controller.run("Begin.", environment)
    assert run.status == "failed"
    (fault,) = run.errors
    assert fault.code == "source_failed"
    is_gone(controller, run)
    return fault.message


def is_gone(controller: RunningController, run: Interaction) -> None:
    assert run.environment_id is not None
    with pytest.raises(NotFound):
        controller.client.environments.get(run.environment_id)
    with pytest.raises(NotFound):
        controller.run("Go on.", run.environment_id)
    workspaces = controller.folder.path / "workspaces"
    deadline = time.monotonic() + 30
    while any(run.environment_id in path.name for path in workspaces.iterdir()):
        assert time.monotonic() < deadline, "the workspace is still there"
        time.sleep(0.05)
    labels = [one.labels["dev.sandlot.environment"] for one in controller.containers()]
    assert run.environment_id not in labels


def test_a_repository_that_asks_for_more_fails_the_run(controller: RunningController) -> None:
    said = failed(controller, having(repository(), Authorization="Basic d3Jvbmc="))
    assert "https://git.test/small.git could not be cloned to /workspace/small" in said
    assert "git said: fatal" in said and "d3Jvbmc" not in said


def test_the_second_of_two_fails_the_run(controller: RunningController) -> None:
    assert "none.git" in failed(controller, having(repository(), repository("none")))


def test_what_the_proxy_refuses_is_said(controller: RunningController) -> None:
    environment = having(repository(), domain="git.test", Authorization=TOKEN)
    environment["sources"][0]["source"] = "http://git.test/small.git"
    assert "(the answer was: 403 " in failed(controller, environment)


def test_too_large_a_repository_fails_the_run(controller: RunningController) -> None:
    said = failed(controller, having(repository("large")))
    assert "more than 4 MiB, its history included" in said


def test_a_silent_server_is_given_up(controller: RunningController, world: Outside) -> None:
    world.silent.add("silent.test")
    source = {"type": "repository", "source": "https://silent.test/r"}
    assert "not done within 15 s" in failed(controller, having(source, domain="silent.test"))


def test_a_cancel_in_the_middle_of_a_clone(controller: RunningController, world: Outside) -> None:
    world.silent.add("held.test")
    source = {"type": "repository", "source": "https://held.test/r"}
    started = controller.start("Begin.", having(source, domain="held.test"))
    follower = controller.start("Follow.", started.environment_id)
    wait_for_request(world, "held.test")
    assert controller.client.interactions.cancel(started.id).status == "cancelled"
    is_gone(controller, started)
    assert list(controller.client.interactions.stream(follower.id))
    ended = controller.client.interactions.get(follower.id)
    assert (ended.status, [one.code for one in ended.errors]) == ("failed", ["not_found"])


def wait_for_request(world: Outside, host: str) -> None:
    deadline = time.monotonic() + 30
    while not any(one.host == host for one in world.seen):
        assert time.monotonic() < deadline, f"{host} was never asked"
        time.sleep(0.02)


def test_deleting_in_the_middle_of_a_clone(controller: RunningController, world: Outside) -> None:
    world.silent.add("deleted.test")
    source = {"type": "repository", "source": "https://deleted.test/r"}
    started = controller.start("Begin.", having(source, domain="deleted.test"))
    assert started.environment_id is not None
    wait_for_request(world, "deleted.test")
    controller.client.environments.delete(started.environment_id)
    assert list(controller.client.interactions.stream(started.id))
    ended = controller.client.interactions.get(started.id)
    assert (ended.status, [one.code for one in ended.errors]) == ("failed", ["sandbox_lost"])
    is_gone(controller, started)


def test_a_cancel_as_soon_as_it_is_accepted(controller: RunningController) -> None:
    """Whatever has begun by then, nothing stays of the environment."""
    for _ in range(3):
        started = controller.start("Begin.", having(repository()))
        ended = controller.client.interactions.cancel(started.id)
        if ended.status == "cancelled":
            is_gone(controller, started)


def test_a_data_source_that_has_gone(controller: RunningController) -> None:
    (controller.folder.path.parent / "agents" / "data.csv").unlink()
    run = controller.client.interactions.create(
        agent="clerk", agent_config=INLINE, input="Begin.", environment="remote"
    )
    assert run.status == "failed"
    assert "data.csv does not exist any more" in run.errors[0].message
    is_gone(controller, run)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("disabled", "environment.network is 'disabled'"),
        ({"allowlist": []}, "git.test is not in environment.network"),
        ({"allowlist": ["*.git.test"]}, "git.test is not in environment.network"),
    ],
)
def test_what_cannot_be_reached_is_refused_at_once(
    controller: RunningController, network: Any, why: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        controller.run("Begin.", {"sources": [repository()], "network": network})
    assert "environment.sources[0].source" in str(refusal.value) and why in str(refusal.value)
