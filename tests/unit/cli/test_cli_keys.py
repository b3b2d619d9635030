from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest

from tests.support.sandlot import RunningController, running_controller
from tests.support.shell import Shell

NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningController]:
    state = tmp_path_factory.mktemp("keys") / "state"
    with running_controller(state, "models: {default: script/inline}\n", NO_DOCKER) as controller:
        yield controller


@pytest.fixture
def shell(controller: RunningController, tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"SANDLOT_STATE_DIR": str(controller.folder.path)})


def status(controller: RunningController, key: str) -> int:
    headers = {"x-goog-api-key": key}
    return httpx2.get(f"{controller.url}/v1/operations", headers=headers).status_code


def test_a_key_is_made_listed_and_revoked(controller: RunningController, shell: Shell) -> None:
    made = shell("keys", "create", "--project", "team", "--name", "nightly")
    key = made.stdout.strip()
    assert made.returncode == 0 and key.startswith("sandlot_")
    assert "project team, may run, read" in made.stderr
    assert key not in made.stderr
    assert status(controller, key) == 200
    listed = shell("keys", "list", "--project", "team")
    assert "nightly" in listed.stdout and "valid" in listed.stdout
    assert key not in listed.stdout and key[:12] in listed.stdout
    (found,) = json.loads(shell("keys", "list", "--project", "team", "--json").stdout)
    revoked = shell("keys", "revoke", found["id"])
    assert revoked.stdout == f"{found['id']} is revoked\n"
    assert status(controller, key) == 401
    assert "revoked" in shell("keys", "list", "--project", "team").stdout


def test_a_key_as_json_holds_it_once(controller: RunningController, shell: Shell) -> None:
    made = json.loads(shell("keys", "create", "--scopes", "read", "--json").stdout)
    assert made["scopes"] == ["read"] and made["project"] == "default"
    assert status(controller, made["key"]) == 200


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("keys", "create", "--scopes", "read,write"), 2, "'write' is none of"),
        (("keys", "create", "--scopes", " , "), 2, "at least one"),
        (("keys", "create", "--project", "Team A"), 1, "lower-case"),
        (("keys", "revoke", "key_0"), 1, "There is no key"),
        (("keys", "revoke", "sandlot_abcdef"), 2, "by its id"),
        (("projects", "delete", "default"), 1, "cannot be deleted"),
        (("projects", "delete", "nothing"), 1, "There is no project"),
    ],
)
def test_mistakes_are_named(
    shell: Shell, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = shell(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr and "Traceback" not in done.stderr


def test_a_project_is_listed_and_deleted(controller: RunningController, shell: Shell) -> None:
    key = shell("keys", "create", "--project", "passing").stdout.strip()
    run = {"model": "script/inline", "input": "Hi"}
    headers = {"x-goog-api-key": key}
    made = httpx2.post(f"{controller.url}/v1/interactions", json=run, headers=headers).json()
    full = shell("projects", "delete", "passing")
    assert full.returncode == 1 and "1 interactions" in full.stderr
    rows = {row["id"]: row for row in json.loads(shell("projects", "list", "--json").stdout)}
    assert rows["passing"]["interactions"] == 1 and "default" in rows
    httpx2.delete(f"{controller.url}/v1/interactions/{made['id']}", headers=headers)
    assert shell("projects", "delete", "passing").returncode == 0
    assert status(controller, key) == 401
    assert "passing" not in shell("projects", "list").stdout


def test_another_key_than_the_operators_is_told_so(
    controller: RunningController, shell: Shell
) -> None:
    key = shell("keys", "create").stdout.strip()
    stranger = Shell(shell.folder, {"SANDLOT_URL": controller.url, "SANDLOT_API_KEY": key})
    refused = stranger("keys", "create")
    assert refused.returncode == 1 and "'admin'" in refused.stderr


def test_without_a_controller_one_is_started_for_the_occasion(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"SANDLOT_STATE_DIR": str(tmp_path / "state"), **NO_DOCKER})
    made = shell("keys", "create", "--name", "early")
    assert made.returncode == 0, made.stderr
    assert "starting a controller for the occasion" in made.stderr
    assert "early" in shell("keys", "list").stdout, "it is kept"
