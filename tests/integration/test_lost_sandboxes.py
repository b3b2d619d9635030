"""Sandboxes that end behind the controller's back, and a Docker that does not end them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import docker
import pytest

from tests.support.failing_docker import FailingDocker, failing_docker
from tests.support.sandlot import RunningController, fence, results, running_controller
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def controller(
    image: str, tmp_path_factory: pytest.TempPathFactory
) -> Generator[RunningController]:
    with running_controller(tmp_path_factory.mktemp("lost"), f"sandbox: {{image: {image}}}") as it:
        yield it


def kill(controller: RunningController, environment_id: str) -> None:
    """End the container as an operator, or the kernel, would."""
    client = docker.from_env()
    try:
        client.api.kill(controller.sandbox_of(environment_id).id)
    finally:
        client.close()


def begin(controller: RunningController) -> str:
    run = controller.run(fence("bash", "echo kept > kept.txt"))
    assert run.environment_id is not None
    return run.environment_id


def test_a_run_after_a_kill_gets_a_new_sandbox(controller: RunningController) -> None:
    environment = begin(controller)
    for _ in range(5):
        kill(controller, environment)
        again = controller.run(fence("bash", "cat kept.txt"), environment)
        assert (again.status, results(again)) == ("completed", ["kept\n"])


def test_a_file_call_after_a_kill_gets_a_new_sandbox(controller: RunningController) -> None:
    environment = begin(controller)
    kill(controller, environment)
    read = controller.client.environments.files.read(environment, "workspace/kept.txt")
    assert read == b"kept\n"


@pytest.fixture
def failing(tmp_path: Path) -> Generator[FailingDocker]:
    with failing_docker(tmp_path) as failing:
        yield failing


def test_a_docker_that_removes_nothing_does_not_end_the_controller(
    tmp_path: Path, image: str, failing: FailingDocker
) -> None:
    config = f"sandbox: {{image: {image}, idle: 1s}}"
    environ = {"DOCKER_HOST": failing.address}
    with running_controller(tmp_path / "s", config, environ) as controller:
        environment = begin(controller)
        failing.fail("DELETE /containers/")
        log = controller.folder.path / "test.log"
        wait_until(
            lambda: "sandbox not removed" in log.read_text() or controller.process.poll(),
            "the sandbox was never reaped",
        )
        assert controller.process.poll() is None
        refused = controller.run("Go on.", environment)
        assert refused.errors[0].code == "sandbox_unavailable"
        assert "still there" in refused.errors[0].message, "two would share its files"
        failing.fail("GET ", "POST ")
        broken = controller.run("Begin.")
        assert broken.status == "failed"
        assert controller.process.poll() is None
        failing.fail()
        wait_until(lambda: controller.containers() == [], "the container stayed")
        again = controller.run(fence("bash", "cat kept.txt"), environment)
        assert results(again) == ["kept\n"]
