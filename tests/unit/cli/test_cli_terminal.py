from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.support.shell import Shell
from tests.support.wire_controller import Wire
from tests.unit.cli.test_cli_run import played

ENV = "0123456789abcdef0123456789abcdef"


def test_exec_passes_on_output_and_status(connected: Shell, wire: Wire) -> None:
    done = connected("exec", ENV, "--", "echo", "-n", "hello")
    failed = connected("exec", ENV, "fail", "7")

    assert (done.returncode, done.stdout, done.stderr) == (0, "-n hello\n", "")
    assert (failed.returncode, failed.stdout, failed.stderr) == (7, "", "it failed\n")
    assert wire.bodies[0] == {"argv": ["echo", "-n", "hello"], "cwd": None}


def test_options_of_exec_after_the_environment_are_wrong_usage(connected: Shell) -> None:
    done = connected("exec", ENV, "--cwd", "/tmp", "--", "ls")

    assert done.returncode == 2
    assert done.stderr == (
        "sandlot: --cwd stands after the environment, where the command begins: options of "
        "sandlot come before it (sandlot exec --cwd … ENV -- CMD)\n"
    )


def test_exec_without_a_command_is_wrong_usage(connected: Shell) -> None:
    done = connected("exec", ENV, "--")

    assert done.returncode == 2
    assert done.stderr == "sandlot: say what to run: sandlot exec ENV -- CMD\n"


def test_exec_passes_on_standard_input(connected: Shell) -> None:
    big = "line of input\n" * 50_000

    done = connected("exec", "--cwd", "/tmp", ENV, "cat", stdin=big)

    assert done.returncode == 0
    assert done.stdout == big


def test_exec_reads_standard_input_from_files(connected: Shell, tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("from a file", encoding="utf-8")

    with (tmp_path / "input.txt").open() as file:
        done = subprocess.run(
            connected.command("exec", ENV, "cat"),
            env=connected.environ,
            stdin=file,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert (done.returncode, done.stdout) == (0, "from a file")


def test_a_refused_socket_is_one_line(connected: Shell) -> None:
    connected.variables["SANDLOT_API_KEY"] = "wrong"

    for command in (("exec", ENV, "cat"), ("shell", ENV)):
        done = connected(*command)
        assert done.returncode == 1
        assert done.stderr == (
            "sandlot: The API key is not valid. This command sent the one in $SANDLOT_API_KEY.\n"
        )


def test_a_shell_without_a_terminal_takes_its_input(connected: Shell) -> None:
    done = connected("shell", ENV, stdin="exit 5\n")

    assert done.returncode == 5
    assert done.stdout.startswith("welcome")


class Terminal:
    """A pseudo-terminal with the command line in it."""

    def __init__(self, connected: Shell, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            connected.command(*arguments),
            env=connected.environ | {"COLUMNS": "", "TERM": "xterm"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
        )

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, text: bytes) -> bytes:
        seen = b""
        while text not in seen:
            assert select.select([self.master], [], [], 15)[0], seen
            seen += os.read(self.master, 4096)
        return seen

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)

    def is_restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.timeout(60)
def test_a_shell_is_raw_follows_the_size_and_restores_the_terminal(
    connected: Shell, wire: Wire
) -> None:
    terminal = Terminal(connected, "shell", ENV)
    terminal.read_until(b"welcome")
    assert terminal.is_raw()

    terminal.type(b"\x03")
    terminal.read_until(b"\x03")
    terminal.resize(40, 120)
    terminal.process.send_signal(signal.SIGWINCH)
    deadline = time.monotonic() + 10
    while len(wire.resized) < 2 and time.monotonic() < deadline:
        os.sched_yield()
    terminal.type(b"exit 3\r")

    assert terminal.process.wait(20) == 3
    assert wire.resized == [[24, 80], [40, 120]]
    assert terminal.is_restored()
    terminal.close()


@pytest.mark.timeout(60)
def test_the_terminal_is_restored_when_the_sandbox_goes_away(connected: Shell, wire: Wire) -> None:
    wire.breaks_terminals = True
    terminal = Terminal(connected, "shell", ENV)

    seen = terminal.read_until(b"went away")

    assert b"sandlot: the sandbox went away: stopped" in seen
    assert terminal.process.wait(20) == 3
    assert terminal.is_restored()
    terminal.close()


@pytest.mark.timeout(60)
def test_a_run_in_a_terminal_is_rendered(connected: Shell, wire: Wire) -> None:
    played(wire)
    wire.files = {"workspace/a.txt": b"hello"}
    output = connected.folder / "out"

    terminal = Terminal(connected, "run", "tour", "Count.", "--output", str(output))
    seen = terminal.read_until(b"files: ").decode()

    assert terminal.process.wait(20) == 0
    assert "\x1b]0;" not in seen
    assert "\x1b[1m42\x1b[0m it is." in seen
    assert "**42**" not in seen
    assert (output / "pictures/01.png").exists()
    terminal.close()
