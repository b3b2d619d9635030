"""Environments that are being set up: whole or not there, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import NotFound
from tests.support.outside import Outside, outside
from tests.support.repositories import add_repository
from tests.support.sandlot import fence, results, running_controller
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}, workspace: 256MiB, source_timeout: {seconds}s}}
egress: {{upstream_proxy: "{upstream}", ca_files: [{ca}]}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[Outside]:
    with outside() as world:
        folder = tmp_path_factory.mktemp("repositories")
        world.repositories = folder
        add_repository(folder, "small.git", file=b"from a repository\n")
        (folder / "ca.pem").write_text(world.certificates.pem, encoding="ascii")
        yield world


def config(world: Outside, image: str, seconds: int = 60) -> str:
    assert world.repositories is not None
    certificate = world.repositories / "ca.pem"
    return CONFIG.format(image=image, upstream=world.upstream, ca=certificate, seconds=seconds)


def silent(world: Outside, host: str) -> dict[str, Any]:
    """An environment that begins with what `host` never sends."""
    world.silent.add(host)
    source = {"type": "repository", "source": f"https://{host}/r"}
    note = {"type": "inline", "target": "note.md", "content": "beside it"}
    return {"sources": [source, note], "network": {"allowlist": [{"domain": host}]}}


def asked(world: Outside, host: str) -> bool:
    return any(one.host == host for one in world.seen)


def test_a_controller_that_is_killed_while_it_clones_leaves_no_half_environment(
    tmp_path: Path, image: str, world: Outside
) -> None:
    with running_controller(tmp_path, config(world, image)) as first:
        started = first.start("Begin.", silent(world, "killed.test"))
        environment = started.environment_id
        assert environment is not None
        wait_until(lambda: asked(world, "killed.test"), "the repository was never asked for")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert list(first.folder.path.glob(f"workspaces/{environment}*"))
    with running_controller(tmp_path, config(world, image)) as second:
        assert second.client.interactions.get(started.id).errors[0].code == "controller_stopped"
        assert not list(second.folder.path.glob(f"workspaces/{environment}*"))
        for use in (
            lambda: second.client.environments.get(environment),
            lambda: second.client.environments.files.list(environment, "workspace"),
            lambda: second.run("Go on.", environment),
        ):
            with pytest.raises(NotFound, match=r"could not be set up.*'remote'"):
                use()


def test_files_are_seen_when_all_of_them_are_there(
    tmp_path: Path, image: str, world: Outside
) -> None:
    with running_controller(tmp_path, config(world, image, seconds=5)) as controller:
        source = {"type": "repository", "source": "https://git.test/small.git"}
        note = {"type": "inline", "target": "note.md", "content": "beside it"}
        network = {"allowlist": [{"domain": "git.test"}]}
        started = controller.start("Begin.", {"sources": [source, note], "network": network})
        assert started.environment_id is not None
        listed = controller.client.environments.files.list(started.environment_id, "workspace")
        assert {"small", "note.md"} <= {one.name for one in listed}
        lost = controller.start("Begin.", silent(world, "lost.test"))
        assert lost.environment_id is not None
        with pytest.raises(NotFound, match="could not be set up"):
            controller.client.environments.files.list(lost.environment_id, "workspace")
        assert list(controller.client.interactions.stream(lost.id))
        wait_until(
            lambda: not list(tmp_path.glob(f"workspaces/{lost.environment_id}*")),
            "the workspace is still there",
        )


def test_a_session_goes_on_in_another_environment(
    tmp_path: Path, image: str, world: Outside
) -> None:
    with running_controller(tmp_path, config(world, image, seconds=1)) as controller:
        session: dict[str, Any] = {"session_config": {"ttl": "600s"}}
        lost = controller.run("Begin.", silent(world, "session.test"), **session)
        assert lost.errors[0].code == "source_failed" and lost.session_id is not None
        turn: dict[str, Any] = {"session_id": lost.session_id}
        with pytest.raises(NotFound, match=r"could not be set up.*Give 'environment' anew"):
            controller.client.interactions.create(input="Go on.", **turn)
        anew = controller.run(fence("bash", "echo first > x"), **turn)
        assert anew.status == "completed"
        again = controller.client.interactions.create(input=fence("bash", "cat x"), **turn)
        assert results(again) == ["first\n"] and again.environment_id == anew.environment_id


def test_a_deleted_environment_does_not_come_back(tmp_path: Path, image: str) -> None:
    """A run that waits for its turn there begins nothing in an empty one."""
    with running_controller(tmp_path, f"sandbox: {{image: {image}}}") as controller:
        begun = controller.start(fence("bash", "echo begun; sleep 600"))
        follower = controller.start(fence("bash", "echo followed"), begun.environment_id)
        controller.wait_for_step(begun.id, "begun")
        assert begun.environment_id is not None
        controller.client.environments.delete(begun.environment_id)
        assert list(controller.client.interactions.stream(follower.id))
        ended = controller.client.interactions.get(follower.id)
        assert (ended.status, [one.code for one in ended.errors]) == ("failed", ["not_found"])
        assert results(ended) == []
        assert not list(tmp_path.glob(f"workspaces/{begun.environment_id}*"))
        assert controller.containers() == []
