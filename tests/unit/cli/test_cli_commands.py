from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.cli.commands import app
from tests.support.shell import Shell
from tests.support.wire_controller import Wire

COMMANDS = [
    (),
    ("serve",),
    ("run",),
    ("ps",),
    ("logs",),
    ("cancel",),
    ("shell",),
    ("exec",),
    ("cp",),
    ("models",),
    ("network",),
    ("credentials",),
    ("credentials", "create"),
    ("credentials", "list"),
    ("credentials", "show"),
    ("credentials", "update"),
    ("credentials", "delete"),
    ("keys",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("projects",),
    ("projects", "list"),
    ("projects", "delete"),
    ("doctor",),
    ("version",),
    ("agents",),
    ("agents", "list"),
    ("agents", "show"),
    ("agents", "validate"),
    ("image",),
    ("image", "build"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"], prog_name="sandlot")

    assert done.exit_code == 0, done.output
    assert "Usage: sandlot" in done.stdout
    groups = {(), ("agents",), ("image",), ("credentials",), ("keys",), ("projects",)}
    is_group = command in groups
    assert is_group or re.search(r"Example: (gh auth token \| )?sandlot", done.stdout)


def test_help_loads_nothing_that_only_a_controller_needs() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "runtime.cli", "run", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert {"typer", "runtime.cli.commands"} <= set(rows)
    heavy = {"sqlalchemy", "fastapi", "docker", "uvicorn", "google.genai", "openai", "anthropic"}
    assert not heavy & set(rows)


def test_version(sandlot: Shell) -> None:
    done = sandlot("version")

    assert done.stdout.startswith("sandlot 0.")
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("run",),
        ("run", "a", "b", "--speed", "9"),
        ("serve", "--port", "many"),
        ("serve", "--port", "70000"),
        ("cp", "a", "b"),
        ("cp", "0123abcd:a", "0123abcd:b"),
        ("cp", "0123abcd:../etc/passwd", "b"),
        ("run", "a", "t", "--file", "missing.csv"),
        ("run", "a", "t", "--file", "."),
    ],
)
def test_wrong_usage_is_status_2_and_no_trace(sandlot: Shell, arguments: tuple[str, ...]) -> None:
    done = sandlot(*arguments)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_two_files_of_one_name_are_refused(sandlot: Shell, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").touch()

    done = sandlot("run", "a", "t", "--file", "a/x.csv", "--file", "b/x.csv")

    assert done.returncode == 2
    assert "two files are named x.csv" in done.stderr


def test_an_unreachable_controller_is_status_3(sandlot: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sandlot.variables["SANDLOT_URL"] = f"http://127.0.0.1:{taken.getsockname()[1]}"

        done = sandlot("ps")

    assert done.returncode == 3
    assert done.stderr.startswith("sandlot: cannot reach the controller at http://127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_debug_shows_where_an_error_is_from(sandlot: Shell) -> None:
    sandlot.variables["SANDLOT_URL"] = "http://127.0.0.1:1"

    done = sandlot("--debug", "ps")

    assert done.returncode == 3
    assert "Traceback" in done.stderr


def test_a_wrong_key_is_one_line(connected: Shell) -> None:
    connected.variables["SANDLOT_API_KEY"] = "wrong"

    done = connected("agents", "list")

    del connected.variables["SANDLOT_API_KEY"]
    keyless = connected("ps")

    said = "sandlot: The API key is not valid. This command sent the one in $SANDLOT_API_KEY.\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert keyless.returncode == 1
    assert "$SANDLOT_API_KEY is not set" in keyless.stderr


def test_the_key_is_found_in_the_state_folder(connected: Shell, wire: Wire, tmp_path: Path) -> None:
    key = connected.variables.pop("SANDLOT_API_KEY")
    state = tmp_path / ".local/state/sandlot"
    state.mkdir(parents=True)
    (state / "api_key").write_text(key + "\n", encoding="utf-8")
    wire.agents = [{"id": "tour", "description": "Shows\x1b[2J around"}]

    done = connected("agents", "list")

    assert done.stdout == "AGENT\tDESCRIPTION\ntour\tShows around\n"


def test_the_key_is_found_in_the_configuration(
    connected: Shell, wire: Wire, tmp_path: Path
) -> None:
    connected.variables["MY_KEY"] = connected.variables.pop("SANDLOT_API_KEY")
    (tmp_path / "sandlot.yaml").write_text("server:\n  api_key: ${env:MY_KEY}\n", encoding="utf-8")
    wire.models = [{"id": "fast", "description": "script/inline", "default": True}]

    done = connected("models")

    assert done.stdout == "MODEL\tABOUT\nfast\tscript/inline (default)\n"


def test_a_mistake_in_the_configuration_is_named(sandlot: Shell, tmp_path: Path) -> None:
    (tmp_path / "sandlot.yaml").write_text("server:\n  prot: 80\n", encoding="utf-8")

    done = sandlot("ps")

    assert done.returncode == 1
    assert "sandlot.yaml:2:3: server.prot:" in done.stderr
    assert "Traceback" not in done.stderr


def test_ps_lists_runs(connected: Shell, wire: Wire) -> None:
    wire.operations = [
        {
            "name": "operations/int_1",
            "done": True,
            "metadata": {
                "status": "completed",
                "agent": "tour",
                "created": "2026-01-31T12:00:00Z",
                "environment_id": "e1",
                "progress": {"steps": 4, "elapsed_seconds": 61.0},
            },
        },
        {"name": "operations/int_2", "done": False, "metadata": {"status": "in_progress"}},
    ]

    plain, as_json = connected("ps"), connected("ps", "--json", "-n", "1")

    rows = [line.split("\t") for line in plain.stdout.splitlines()]
    assert rows[1][:3] == ["int_1", "completed", "tour"]
    assert rows[1][3].endswith(" ago")
    assert rows[1][4:] == ["1 min 1 s", "4", "e1"]
    assert rows[2][:2] == ["int_2", "in_progress"]
    assert [row["name"] for row in json.loads(as_json.stdout)] == ["operations/int_1"]


def test_show_prints_one_agent(connected: Shell, wire: Wire) -> None:
    wire.agents = [{"id": "tour", "description": "d", "tools": [{"type": "code_execution"}]}]

    found, missing = connected("agents", "show", "tour"), connected("agents", "show", "x")

    assert json.loads(found.stdout) == wire.agents[0]
    assert (missing.returncode, missing.stderr) == (1, "sandlot: There is no agent 'x'.\n")


def test_validate_prints_every_mistake(sandlot: Shell, tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("id: good\ninstructions: Be good.\n", encoding="utf-8")
    bad = tmp_path / "bad.yaml"
    bad.write_text("id: bad\ninstrctions: Be bad.\nlimits:\n  max_steps: -1\n", encoding="utf-8")

    fine, wrong = sandlot("agents", "validate", "good.yaml"), sandlot("agents", "validate", ".")
    missing = sandlot("agents", "validate", "none.yaml")

    assert fine.returncode == 0, fine.stdout
    assert fine.stdout == ""
    assert wrong.returncode == missing.returncode == 1
    lines = wrong.stdout.splitlines()
    assert lines[0].startswith("bad.yaml:2:1: instrctions:")
    assert "instructions" in lines[0]
    assert lines[1].startswith("bad.yaml:4:14: limits.max_steps:")
    assert "none.yaml" in missing.stdout


def test_network_events_are_shown_oldest_first_to_people_and_programs(
    connected: Shell, wire: Wire
) -> None:
    wire.network_events = [
        {"time": f"2026-01-31T12:00:0{second}Z", "host": host, "port": 443, "verdict": "allowed"}
        for second, host in ((2, "later.example"), (1, "earlier.example"))
    ]

    rows = connected("network", "0" * 32).stdout.splitlines()
    printed = json.loads(connected("network", "0" * 32, "--json").stdout)

    assert [row.split("\t")[2] for row in rows[1:]] == ["earlier.example:443", "later.example:443"]
    assert [event["host"] for event in printed] == ["earlier.example", "later.example"]
