from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.cli.state import in_use
from runtime.client.discovery import is_locked, running_controller, state_folder
from tests.support.shell import Shell


@pytest.fixture
def sandlot(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@contextmanager
def serving(sandlot: Shell, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A controller in a process of its own, and what it printed at the start."""
    process = subprocess.Popen(
        sandlot.command("serve", *arguments),
        cwd=sandlot.folder,
        env=sandlot.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        greeting = "".join(process.stdout.readline() for _ in range(4))
        assert greeting, process.communicate(timeout=30)[1]
        yield process, greeting
    finally:
        process.terminate()
        process.communicate(timeout=30)


def folder_of(sandlot: Shell) -> Path:
    return sandlot.folder / ".local/state/sandlot"


def test_serve_tells_where_it_is_and_ends_cleanly(sandlot: Shell) -> None:
    with serving(sandlot, "--port", "0") as (process, greeting):
        state = folder_of(sandlot)
        told = json.loads((state / "controller.json").read_text(encoding="utf-8"))
        with urllib.request.urlopen(told["url"] + "/livez", timeout=10) as answer:
            assert json.load(answer) == {"status": "ok"}
        agents = sandlot("agents", "list")

        assert greeting.startswith(f"Sandlot listens on {told['url']} ")
        assert f"API key: in {state / 'api_key'}" in greeting
        assert re.search(r"^agents: .*antigravity", greeting, re.MULTILINE)
        assert told["pid"] == process.pid
        assert "antigravity\t" in agents.stdout
        assert agents.stderr == ""
        assert (state / "api_key").stat().st_mode & 0o777 == 0o600
        assert state.stat().st_mode & 0o777 == 0o700

        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert not (state / "controller.json").exists()
    assert not is_locked(state / "controller.lock")


def test_a_second_controller_on_the_same_state_is_refused(sandlot: Shell) -> None:
    with serving(sandlot, "--port", "0") as (process, _):
        second = sandlot("serve", "--port", "0")

        assert second.returncode == 3
        assert str(process.pid) in second.stderr
        assert second.stderr.startswith("sandlot: ")
        assert "Traceback" not in second.stderr


def test_a_port_that_is_named_and_in_use_is_one_clear_line(sandlot: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = sandlot("serve", "--port", str(port))

    assert done.returncode == 3
    assert done.stderr == (
        f"sandlot: port {port} on 127.0.0.1 is in use: "
        "stop what uses it, or choose another with --port\n"
    )


def test_an_upstream_proxy_that_is_none_is_named_without_its_password(
    sandlot: Shell, tmp_path: Path
) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("egress: {upstream_proxy: 'socks5://me:s3cret@proxy.example'}\n")

    refused = sandlot("serve", "--port", "0", "--config", str(config))

    assert refused.returncode == 1
    place = f"sandlot: {config}:1:26: egress.upstream_proxy: The upstream proxy is"
    assert refused.stderr.startswith(place)
    assert "s3cret" not in refused.stderr


def test_a_public_address_needs_a_key_of_one_s_own(sandlot: Shell) -> None:
    refused = sandlot("serve", "--host", "0.0.0.0", "--port", "0")
    sandlot.variables["SANDLOT_API_KEY"] = "mine"

    with serving(sandlot, "--host", "0.0.0.0", "--port", "0") as (_, greeting):
        listed = sandlot("ps")

    assert refused.returncode == 1
    assert "without an API key of your own" in refused.stderr
    assert "$SANDLOT_API_KEY" in refused.stderr
    assert greeting.startswith("Sandlot listens on http://127.0.0.1:")
    assert listed.returncode == 0


def test_a_controller_for_the_occasion_ends_with_its_last_user(sandlot: Shell) -> None:
    folder = state_folder(folder_of(sandlot))

    with in_use(folder):
        first = sandlot("ps")
        found = running_controller(folder)
        second = sandlot("ps")
        assert running_controller(folder) == found

    assert found is not None
    assert first.stderr.splitlines() == [
        "starting a controller for the occasion",
        f"it listens on {found.url} until this command ends",
    ]
    assert (second.returncode, second.stderr) == (0, "")
    assert found.occasional
    wait_for_end_of(found.pid)
    assert running_controller(folder) is None


def test_a_command_waits_for_the_end_of_the_controller_it_started(sandlot: Shell) -> None:
    done = sandlot("ps")

    assert done.returncode == 0
    assert not is_locked(folder_of(sandlot) / "controller.lock")
    assert not (folder_of(sandlot) / "controller.json").exists()


def test_what_an_earlier_controller_left_behind_does_no_harm(sandlot: Shell) -> None:
    with serving(sandlot, "--port", "0") as (process, _):
        process.kill()
        process.wait(10)
        assert (folder_of(sandlot) / "controller.json").exists()

        done = sandlot("ps")

    assert done.returncode == 0
    assert done.stdout.startswith("ID\t")


def test_a_controller_that_does_not_start_says_why(sandlot: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.yaml").write_text("id: a\ninstructons: x\n", encoding="utf-8")
    (tmp_path / "sandlot.yaml").write_text("agents: [mine]\n", encoding="utf-8")

    done = sandlot("ps")

    assert done.returncode == 3
    assert "the controller did not start: " in done.stderr
    assert "a.yaml:2:1: instructons:" in done.stderr
    assert "Traceback" not in done.stderr


def wait_for_end_of(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        os.sched_yield()
    raise AssertionError(f"process {pid} is still there")
