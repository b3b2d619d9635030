"""The command line as a person uses it: a real controller, a real sandbox, one environment."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.cli.state import in_use
from runtime.client.discovery import is_locked, running_controller, state_folder
from runtime.sandboxes.image import ensure_image
from tests.support.sandlot import fence
from tests.support.shell import Shell

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

MODEL = ("--model", "script/inline")


@dataclass
class Desk:
    """A command line whose controller is started for the occasion, and an environment in it."""

    sandlot: Shell
    environment: str


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    image = ensure_image(lambda _: None)
    folder = tmp_path_factory.mktemp("desk")
    (folder / "sandlot.yaml").write_text(f"sandbox:\n  image: {image}\n  memory: 1GiB\n")
    passed = {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
    sandlot = Shell(folder, passed)
    state = state_folder(folder / ".local/state/sandlot")
    with in_use(state):
        first = sandlot("run", "antigravity", fence("python", "kept = 41"), *MODEL, "--json")
        assert first.returncode == 0, first.stderr
        yield Desk(sandlot, json.loads(first.stdout)["environment_id"])
    wait_until_free(state.lock_file)


def test_a_run_shows_its_work_and_brings_its_files(desk: Desk) -> None:
    (desk.sandlot.folder / "numbers.csv").write_text("n\n1\n2\n", encoding="utf-8")
    code = (
        "import pandas as pd, matplotlib.pyplot as plt\n"
        "total = pd.read_csv('numbers.csv').n.sum()\n"
        "open('/workspace/total.txt', 'w').write(str(total))\n"
        "plt.plot([1, 2]); plt.show(); print('total', total)"
    )

    done = desk.sandlot(
        "run", "antigravity", fence("python", code), *MODEL, "--file", "numbers.csv",
        "--output", "out",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "runs python:\n    import pandas" in done.stdout
    assert "    total 3\n" in done.stdout
    out = desk.sandlot.folder / "out"
    assert (out / "pictures/01.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (out / "files").iterdir()] == ["total.txt"]
    assert (out / "files/total.txt").read_text(encoding="utf-8") == "3"


def test_a_run_goes_on_in_an_environment(desk: Desk) -> None:
    done = desk.sandlot(
        "run", "antigravity", fence("python", "print(kept + 1)"), *MODEL, "--environment",
        desk.environment, "--no-show",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("42\n")


def test_what_ran_is_listed_and_logged(desk: Desk) -> None:
    listed = json.loads(desk.sandlot("ps", "--json").stdout)
    rows = [row for row in listed if row["metadata"]["environment_id"] == desk.environment]

    log = desk.sandlot("logs", rows[-1]["metadata"]["interaction_id"])

    assert log.returncode == 0, log.stderr
    assert "runs python:\n    kept = 41\n" in log.stdout
    assert log.stdout.endswith("status: completed\n")


def test_exec_runs_a_command(desk: Desk) -> None:
    done = desk.sandlot("exec", desk.environment, "--", "sh", "-c", "pwd; echo oops >&2; exit 3")
    fed = desk.sandlot("exec", desk.environment, "wc", "-c", stdin="x" * 300_000)

    assert (done.returncode, done.stdout, done.stderr) == (3, "/workspace\n", "oops\n")
    assert (fed.returncode, fed.stdout.strip()) == (0, "300000")


def test_a_shell_is_a_terminal(desk: Desk) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        desk.sandlot.command("shell", desk.environment),
        cwd=desk.sandlot.folder,
        env=desk.sandlot.environ | {"TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.write(master, b"tty && echo $((40 + 2))-typed; exit 5\r")

    try:
        seen = read_until(master, b"42-typed")
        assert b"/dev/pts/" in seen
        assert process.wait(30) == 5
    finally:
        process.kill()
        process.wait(10)
        os.close(master)
        os.close(slave)


def test_files_and_folders_travel_both_ways(desk: Desk) -> None:
    folder = desk.sandlot.folder / "src/deep"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(os.urandom(3_000_000))
    (folder / "ü b.txt").write_text("ü", encoding="utf-8")

    sent = desk.sandlot("cp", "src", f"{desk.environment}:there")
    back = desk.sandlot("cp", f"{desk.environment}:there", "back")
    one = desk.sandlot("cp", f"{desk.environment}:/workspace/there/deep/a.bin", "one.bin")

    assert [sent.returncode, back.returncode, one.returncode] == [0, 0, 0], sent.stderr
    whole = (folder / "a.bin").read_bytes()
    assert (desk.sandlot.folder / "back/deep/a.bin").read_bytes() == whole
    assert (desk.sandlot.folder / "one.bin").read_bytes() == whole
    assert (desk.sandlot.folder / "back/deep/ü b.txt").read_text(encoding="utf-8") == "ü"


def test_an_interrupt_cancels_in_the_middle_of_a_cell(desk: Desk) -> None:
    process = subprocess.Popen(
        desk.sandlot.command(
            "run", "antigravity", fence("python", "import time\ntime.sleep(120)"), *MODEL
        ),
        cwd=desk.sandlot.folder,
        env=desk.sandlot.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "time.sleep" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "\ncancelled · " in printed
    assert "Traceback" not in errors


def test_a_run_in_the_background_outlives_its_command(
    tmp_path_factory: pytest.TempPathFactory, desk: Desk
) -> None:
    # A short path: unix sockets live below it.
    place = tmp_path_factory.mktemp("bg")
    sandlot = Shell(place, desk.sandlot.variables)
    (place / "sandlot.yaml").write_text((desk.sandlot.folder / "sandlot.yaml").read_text())
    folder = state_folder(place / ".local/state/sandlot")

    started = sandlot(
        "run", "antigravity", fence("python", "import time\ntime.sleep(3); print('late')"),
        *MODEL, "--background",
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    assert running_controller(folder) is not None, (
        sandlot("ps").stdout + folder.log_file.read_text()
    )
    log = sandlot("logs", started.stdout.strip(), "--follow")

    assert "    late\n" in log.stdout
    assert log.stdout.endswith("status: completed\n")
    wait_until_free(folder.lock_file)


def wait_until_free(lock: Path) -> None:
    deadline = time.monotonic() + 30
    while is_locked(lock):
        assert time.monotonic() < deadline, "the controller did not end"
        os.sched_yield()


def read_until(descriptor: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        assert select.select([descriptor], [], [], 60)[0], seen
        seen += os.read(descriptor, 4096)
    return seen
