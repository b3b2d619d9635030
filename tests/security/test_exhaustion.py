"""Exhaustion: each limit holds, and whoever hits it is told which one it was."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.support.sandlot import RunningController, fence, results

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("unharmed")]
EAT = "eaten = []\nwhile True: eaten.append(bytearray(32 * 1024 * 1024))"


def test_x01_a_fork_bomb_ends(unharmed: RunningController) -> None:
    bomb = (
        "counter=/sys/fs/cgroup/pids/pids.events; [ -e $counter ] || "
        "counter=/sys/fs/cgroup/pids.events; bomb() { bomb | bomb & }; bomb; "
        "while read -r _ refused < $counter && [ $refused = 0 ]; do :; done; echo begun"
    )
    run = unharmed.run(fence("bash", bomb, "true", "echo alive; ps -e | wc -l"))
    assert run.status == "completed"
    assert "limited to 200 processes" in "".join(results(run))
    assert "alive" in results(run)[-1]


def test_x01_cancelling_works_in_the_middle_of_one(unharmed: RunningController) -> None:
    flood = (
        "for i in $(seq 150); do sleep 600 & done; : > many; "
        "while :; do sleep 600 & done 2>/dev/null"
    )
    started = unharmed.start(fence("bash", flood))
    unharmed.wait_for_file(started, "many")
    assert unharmed.client.interactions.cancel(started.id).status == "cancelled"


def test_x01_threads_are_counted(unharmed: RunningController) -> None:
    threads = (
        "import threading\nlong = threading.Event()\n"
        "try:\n    while True: threading.Thread(target=long.wait, daemon=True).start()\n"
        "except RuntimeError as error: print(error)\nlong.set()"
    )
    run = unharmed.run(fence("python", threads, "print('alive')"))
    assert "limited to 200 processes and threads" in results(run)[0]
    assert results(run)[1] == "alive\n"


def test_x02_the_kernel_dies_of_memory_and_the_run_goes_on(unharmed: RunningController) -> None:
    run = unharmed.run(fence("python", "kept = 1", EAT, "print('kept' in globals())"))
    assert run.status == "completed"
    assert "memory ran out" in results(run)[1]
    assert "the kernel was restarted" in results(run)[2] and "False" in results(run)[2]


def test_x02_a_command_that_dies_of_memory_says_so(unharmed: RunningController) -> None:
    run = unharmed.run(fence("bash", f"python3 -c '{EAT}'; echo status $?"))
    assert "ran out of memory (512 MiB)" in results(run)[0] and "137" in results(run)[0]


def test_x05_open_files_are_counted(unharmed: RunningController) -> None:
    code = """
import os
opened = []
try:
    while True: opened.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print(error.strerror, len(opened) < 4096)
finally:
    for one in opened: os.close(one)
"""
    run = unharmed.run(fence("python", code, "print(1)"))
    assert results(run) == ["Too many open files True\n", "1\n"]


def test_x07_outputs_are_cut_and_it_is_said(unharmed: RunningController) -> None:
    flood = 'from IPython.display import display\nfor i in range(5_000): display("d" * 100)'
    cells = ("print('y' * 10_000_000)", "'z' * 10_000_000", flood)
    run = unharmed.run(
        "\n".join([fence("python", *cells), fence("bash", "yes | head -c 100000000")])
    )
    assert run.status == "completed"
    for text in results(run):
        assert len(text) < 1024 * 1024, "what a model is shown is bounded"
        assert "truncated" in text or "omitted" in text or "…" in text or "left out" in text


def test_x08_a_sandbox_gets_no_more_processors_than_it_may(
    unharmed: RunningController, seen: dict[str, Any], weak: dict[str, Any]
) -> None:
    assert seen["niceness"] in (errno.EACCES, errno.EPERM) and weak["niceness"] == 0
    environment = unharmed.run(fence("bash", "true")).environment_id
    assert environment is not None
    made = unharmed.sandbox_of(environment).attrs["HostConfig"]
    assert made["NanoCpus"] == 2_000_000_000 and made["CpuShares"] < 1024
