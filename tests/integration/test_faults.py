"""What becomes of a run when what it stands on is not there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.sandlot import RunningController, fence, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


def error_of(controller: RunningController, prompt: str = "```python\n1\n```") -> tuple[str, str]:
    run = controller.run(prompt)
    assert run.status == "failed" and len(run.errors) == 1
    return str(run.errors[0].code), run.errors[0].message


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    with running_controller(tmp_path, "sandbox: {image: 'sandlot/sandbox:removed'}") as controller:
        code, message = error_of(controller)
        assert list((tmp_path / "s").iterdir()) == [], "the socket of a sandbox that never was"
    assert code == "sandbox_unavailable" and "sandlot image build" in message


def test_an_image_that_is_no_sandbox_image(tmp_path: Path) -> None:
    with running_controller(tmp_path, "sandbox: {image: 'sandlot/base:trixie'}") as controller:
        code, message = error_of(controller)
        assert controller.containers() == []
    assert code == "sandbox_unavailable" and "sandlot/base:trixie" in message


def test_a_daemon_that_does_not_answer(tmp_path: Path, image: str) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    with running_controller(tmp_path / "state", f"sandbox: {{image: {image}}}", nowhere) as it:
        code, message = error_of(it)
        assert code == "sandbox_unavailable" and "does not answer" in message
        assert not it.client.is_ready()
        answer = it.client.interactions.create(model="script/inline", input="still here")
        assert answer.output_text == "still here"


def test_a_controller_that_is_killed_leaves_nothing_behind(tmp_path: Path, image: str) -> None:
    config = f"sandbox: {{image: {image}}}"
    with running_controller(tmp_path, config) as first:
        run = first.run(fence("bash", "echo kept > kept.txt"))
        assert run.environment_id
        started = first.start(fence("bash", "echo begun; sleep 600"), run.environment_id)
        first.wait_for_step(started.id, "begun")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert len(first.containers()) == 1, "nobody was there to remove it"
    with running_controller(tmp_path, config) as second:
        assert second.containers() == []
        ended = second.client.interactions.get(started.id)
        assert ended.status == "failed" and ended.errors[0].code == "controller_stopped"
        again = second.run(fence("bash", "cat kept.txt"), run.environment_id)
        assert results(again) == ["kept\n"]


def test_stopping_ends_runs_and_containers_soon(tmp_path: Path, image: str) -> None:
    with running_controller(tmp_path, f"sandbox: {{image: {image}}}") as controller:
        started = controller.start(fence("bash", "echo begun; sleep 600"))
        controller.wait_for_step(started.id, "begun")
        begun = time.monotonic()
        controller.process.terminate()
        assert controller.process.wait(timeout=30) == 0
        assert time.monotonic() - begun < 15
        assert controller.containers() == []


def test_two_controllers_do_not_share_a_state_folder(tmp_path: Path) -> None:
    with (
        running_controller(tmp_path),
        pytest.raises(AssertionError) as refused,
        running_controller(tmp_path),
    ):
        raise NotImplementedError("a second controller came up")
    assert "controller" in str(refused.value)
