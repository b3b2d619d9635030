"""`sandlot credentials` against a real controller; it needs no sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from runtime.client import Client
from runtime.errors import Conflict, NotFound
from tests.support.sandlot import running_controller
from tests.support.shell import Shell

NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
OAUTH = ["--type", "oauth2", "--client-id", "c", "--token-url", "https://auth.example.com/token"]


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("credentials")
    with running_controller(folder / "state", environ=NO_DOCKER) as running:
        shell = Shell(folder)
        shell.variables |= {"SANDLOT_URL": running.url, "SANDLOT_API_KEY": running.api_key or ""}
        yield shell


def sandlot(shell: Shell, *arguments: str, stdin: str | None = None, **variables: str) -> str:
    """What a command printed, which must succeed and say no secret."""
    own = Shell(shell.folder, {**shell.variables, **variables})
    done = own("credentials", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    return done.stdout


def refused(shell: Shell, *arguments: str, stdin: str | None = None) -> tuple[int, str]:
    done = shell("credentials", *arguments, stdin=stdin)
    assert done.returncode != 0 and "s3cret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_the_life_of_credentials(controller: Shell) -> None:
    bearer = ["create", "github", "--type", "bearer_token"]
    assert sandlot(controller, *bearer, stdin="token-s3cret\n") == "github\n"
    sandlot(controller, "create", "mail", *OAUTH, "--from-env", "client_secret=ONE",
            "--from-env", "refresh_token=TWO", ONE="one-s3cret", TWO="two-s3cret")  # fmt: skip
    both = json.dumps({"client_secret": "one-s3cret", "refresh_token": "two-s3cret"})
    sandlot(controller, "create", "more", *OAUTH, "--scope", "a", "--scope", "b", stdin=both)
    variable = ["create", "search", "--type", "environment_variable", "--domain", "a.example"]
    sandlot(controller, *variable, "--in", "query", "--from-env", "ONE", ONE="value-s3cret")
    listed = sandlot(controller, "list").splitlines()
    assert listed[0] == "ID\tSTATUS\tTYPE\tMADE\tCHANGED"
    assert [row.split("\t")[:3] for row in listed[1:]] == [
        ["github", "active", "bearer_token"],
        ["mail", "active", "oauth2"],
        ["more", "active", "oauth2"],
        ["search", "active", "environment_variable"],
    ]
    before = json.loads(sandlot(controller, "show", "github"))
    sandlot(controller, "update", "github", "--prefix", "", "--secret", stdin="new-s3cret")
    sandlot(controller, "update", "mail", "--from-env", "refresh_token=ONE", ONE="new-s3cret")
    after = json.loads(sandlot(controller, "show", "github"))
    assert after["update_time"] > before["update_time"]
    assert after["create_time"] == before["create_time"]
    for name in ("github", "mail", "more", "search"):
        sandlot(controller, "delete", name)
    assert json.loads(sandlot(controller, "list", "--json")) == []


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (["create", "a", "--type", "bearer"], "s3cret", "Did you mean 'bearer_token'?"),
        (["create", "a", "--type", "bearer_token"], "", "nothing came on standard input"),
        (
            ["create", "a", "--type", "bearer_token", "--domain", "a.example"],
            "s3cret",
            "--domain is no option of a credential of type bearer_token",
        ),
        (["create", "a", *OAUTH], "s3cret", "a JSON object with client_secret and refresh_token"),
        (
            ["create", "a", *OAUTH, "--from-env", "X"],
            "s3cret",
            "client_secret=X or refresh_token=X",
        ),
        (
            ["create", "a", "--type", "bearer_token", "--from-env", "NOT_SET"],
            "s3cret",
            "the environment variable NOT_SET is not set",
        ),
        (
            ["create", "a", "--type", "environment_variable"],
            "s3cret",
            "--domain is needed for a credential of type environment_variable",
        ),
    ],
)
def test_what_makes_no_sense(
    controller: Shell, arguments: list[str], stdin: str, words: str
) -> None:
    status, said = refused(controller, *arguments, stdin=stdin)
    assert status == 2 and words in said


def test_the_python_client_has_them_too(controller: Shell) -> None:
    variables = controller.variables
    with Client(variables["SANDLOT_URL"], variables["SANDLOT_API_KEY"]) as client:
        made = client.credentials.create(id="from.py", type="bearer_token", token="s3cret")
        unnamed = client.credentials.create(
            type="environment_variable", value="s3cret", injection_location="query"
        )
        assert {made.id, unnamed.id} <= {one.id for one in client.credentials.list()}
        changed = client.credentials.update("from.py", type="bearer_token", token="s3cret-2")
        assert changed.update_time > made.update_time
        assert client.credentials.get("from.py") == changed
        assert "s3cret" not in repr([made, unnamed, changed])
        with pytest.raises(Conflict, match=r"'from\.py'"):
            client.credentials.create(id="from.py", type="bearer_token", token="s3cret")
        client.credentials.delete("from.py")
        client.credentials.delete(unnamed.id)
        with pytest.raises(NotFound):
            client.credentials.get("from.py")


def test_what_the_controller_refuses(controller: Shell) -> None:
    for act in (["show"], ["delete"], ["update", "--prefix", "x"]):
        status, said = refused(controller, *act, "none")
        assert status == 1 and "there is no credential 'none'" in said
    bad = ["create", "a b", "--type", "bearer_token"]
    status, said = refused(controller, *bad, stdin="s3cret")
    assert status == 1 and "id: " in said
    split = ["create", "c", "--type", "bearer_token"]
    status, said = refused(controller, *split, stdin="s3cret\ns3cret\n")
    assert status == 1 and "token: " in said
    sandlot(controller, "create", "kept", "--type", "bearer_token", stdin="s3cret")
    status, said = refused(controller, "update", "kept")
    assert status == 2 and "nothing to change" in said
    status, said = refused(controller, "update", "kept", "--scope", "a")
    assert status == 2 and "--scope is no option" in said
