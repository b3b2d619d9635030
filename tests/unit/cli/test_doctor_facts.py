from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.cli.commands import app
from runtime.cli.doctor_checks import State, examine
from runtime.cli.doctor_facts import gather


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose Docker daemon does not answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("SANDLOT_STATE_DIR", str(tmp_path / "state" / "of" / "sandlot"))
    monkeypatch.delenv("SANDLOT_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_silent_daemon_is_a_fact(silence: Path) -> None:
    facts = gather()
    assert facts.docker is None
    assert "does not answer" in facts.docker_problem
    assert facts.image is None
    assert facts.python == sys.version_info[:3]
    assert "fs.inotify.max_user_instances" in {count.name for count in facts.shared_counts}
    assert facts.state_folder == str(silence / "state" / "of" / "sandlot")
    assert facts.state_problem is None
    assert not (silence / "state").exists()


def test_a_state_folder_that_cannot_be_is_a_fact(
    silence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (silence / "file").write_text("", "utf-8")
    monkeypatch.setenv("SANDLOT_STATE_DIR", str(silence / "file" / "state"))
    assert "is not a folder" in (gather().state_problem or "")


def test_a_configuration_with_a_mistake_is_a_fact(silence: Path) -> None:
    (silence / "sandlot.yaml").write_text("servr: {}\n", "utf-8")
    facts = gather()
    assert "sandlot.yaml" in (facts.config_problem or "")
    failed = {check.name for check in examine(facts) if check.state is State.FAIL}
    assert {"configuration", "Docker daemon"} <= failed


def test_another_configuration_is_gone_by_where_it_is_named(silence: Path) -> None:
    (silence / "sandlot.yaml").write_text("servr: {}\n", "utf-8")
    (silence / "other.yaml").write_text("sandbox: {runtime: runsc}\n", "utf-8")
    facts = gather(Path("other.yaml"))
    assert (facts.config_problem, facts.runtime) == (None, "runsc")
    assert "none.yaml" in (gather(Path("none.yaml")).config_problem or "")


def test_what_was_found_can_be_read_by_programs(silence: Path) -> None:
    (silence / "sandlot.yaml").write_text("servr: {}\n", "utf-8")
    done = CliRunner().invoke(app, ["doctor", "--json"], prog_name="sandlot")
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert found["configuration"]["state"] == "fail"
    assert "sandlot.yaml" in found["configuration"]["found"]
    assert found["Python"] == {"name": "Python", "state": "ok", "mend": ""} | {
        "found": ".".join(map(str, sys.version_info[:3]))
    }
