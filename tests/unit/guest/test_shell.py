from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from runtime.errors import ToolFault
from runtime.guest.children import all_processes
from runtime.guest.output import OutputFolder, OutputLimits
from runtime.guest.shell import Shell
from runtime.schema.steps import ToolResult

pytestmark = pytest.mark.anyio

VARIABLES = {"PATH": os.environ["PATH"], "TERM": "dumb", "GREETING": "hello"}
RESTARTED = "[the shell was restarted: variables and functions of earlier commands are lost]\n"
STUBBORN = "python3 -c 'import signal; signal.signal(2, signal.SIG_IGN); signal.pause()'"


class Bench:
    """A shell, and what it emitted while the last command ran."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.emitted = ""
        self._grown = anyio.Event()

    async def run(self, code: str, timeout_seconds: float = 20) -> ToolResult:
        self.emitted = ""
        result = await self.shell.run(code, self.emit, timeout_seconds)
        assert result.text.startswith(self.emitted)
        return result

    async def text(self, code: str) -> str:
        return (await self.run(code)).text

    async def emit(self, piece: str) -> None:
        self.emitted += piece
        self._grown.set()

    async def wait_for(self, text: str) -> None:
        while text not in self.emitted:
            await self._grown.wait()
            self._grown = anyio.Event()

    async def cancel_after(self, code: str, text: str) -> None:
        """Run a command and cancel it when it has printed `text`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.run, code)
            await self.wait_for(text)
            tasks.cancel_scope.cancel()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench]:
    outputs = OutputFolder(tmp_path / "outputs", OutputLimits())
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    async with Shell(workspace, VARIABLES, tmp_path / "it's private", outputs) as shell:
        yield Bench(shell)


async def gone(pid: int) -> None:
    """Return when a process has ended, whether or not somebody reaped it."""
    while any(  # noqa: ASYNC110 - it is nobody's child
        entry.pid == pid and not entry.is_zombie for entry in all_processes()
    ):
        await anyio.sleep(0.01)


async def test_state_stays_between_commands(bench: Bench, tmp_path: Path) -> None:
    setup = "x=5; declare -A m=([a]='b c'); f() { echo \"f:$1\"; }; mkdir d; cd d; export Y=y"
    assert await bench.text(setup) == ""
    text = await bench.text("echo \"$x ${m[a]} $GREETING\"; f 1; pwd; bash -c 'echo $Y'")
    assert text == f"5 b c hello\nf:1\n{tmp_path}/workspace/d\ny\n"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("false", "[exit status 1]\n"),
        ("echo out; echo err >&2; (exit 7)", "out\nerr\n[exit status 7]\n"),
        ("printf 'no newline'; false", "no newline\n[exit status 1]\n"),
        ("if then", "bash: syntax error near unexpected token `then'\n[exit status 2]\n"),
        ("no-such-program", "bash: no-such-program: command not found\n[exit status 127]\n"),
        ("set -u; echo $nothing", "bash: nothing: unbound variable\n[exit status 1]\n"),
    ],
)
async def test_failures_are_errors(bench: Bench, code: str, text: str) -> None:
    result = await bench.run(code)
    assert (result.text, result.is_error) == (text, True)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("cat <<END\n$GREETING\nEND\necho done", "hello\ndone\n"),
        ("echo 'two\nlines' | while read -r l; do echo \"<$l>\"; done", "<two>\n<lines>\n"),
        ("cat; read -r x; echo end", "end\n"),
        ("read -r x </dev/tty || echo nobody", None),
        ("printf 'a\\rb\\rc\\n'; printf '\\e[31mred\\e[0m\\n'", "c\nred\n"),
        ("printf 'caf\\xc3\\xa9 \\xff\\n'; echo '日本 🙂'", "café \ufffd\n日本 🙂\n"),
        ("echo '!!' $((1+1)) \"$(echo sub)\" `echo tick`", "!! 2 sub tick\n"),
        ("false; echo $?", "1\n"),
        ("set -x; echo traced", "++ echo traced\ntraced\n"),
    ],
)
async def test_commands_of_every_kind(bench: Bench, code: str, text: str | None) -> None:
    result = await bench.run(code)
    assert not result.is_error
    if text is None:
        assert "No such device" in result.text
        assert result.text.endswith("nobody\n")
    else:
        assert result.text == text
    assert await bench.text("echo next") == "next\n"


async def test_the_last_status_is_there_for_the_next_command(bench: Bench) -> None:
    await bench.run("(exit 9)")
    assert await bench.text("echo $?") == "9\n"


async def test_redirected_output_comes_back(bench: Bench, tmp_path: Path) -> None:
    await bench.run("exec >log 2>&1; echo hidden")
    assert await bench.text("cat log") == "hidden\n"


async def test_output_is_told_while_the_command_runs(bench: Bench) -> None:
    with anyio.fail_after(30):
        await bench.cancel_after("echo started; sleep 1000", "started\n")


async def test_much_output_is_cut_and_kept(bench: Bench, tmp_path: Path) -> None:
    result = await bench.run("seq 1 300000")
    assert len(result.text) < 21_000
    assert "characters left out; the whole output is in" in result.text
    assert result.text.endswith("299999\n300000\n")
    kept = next((tmp_path / "outputs").glob("bash-*.txt")).read_text()
    assert kept == "".join(f"{n}\n" for n in range(1, 300_001))


async def test_binary_output_does_no_harm(bench: Bench) -> None:
    result = await bench.run("head -c 100000 /dev/urandom; printf '\\e]sandlot;'; echo")
    assert not result.is_error
    assert await bench.text("echo next") == "next\n"


async def test_background_jobs_go_on(bench: Bench) -> None:
    with anyio.fail_after(30):
        await bench.run("mkfifo gate; (cat gate; echo from the job) & ")
        assert "Running" in await bench.text("jobs")
        await bench.run("echo through >gate; wait")
        text = await bench.text("jobs -r; echo end")
    assert text.endswith("end\n")
    assert "Running" not in text


async def test_output_of_jobs_between_commands_is_shown_with_the_next(bench: Bench) -> None:
    await bench.run("mkfifo gate done; (cat gate; echo from the job; echo >done) &")
    await bench.run("(sleep 0.05; echo open >gate) & disown")
    result = await bench.run("read -r x <done; echo mine")
    assert "from the job" in result.text
    assert result.text.endswith("mine\n") or "Done" in result.text


async def test_a_timeout_stops_the_command_and_keeps_the_shell(bench: Bench) -> None:
    await bench.run("x=kept; sleep 1000 & ")
    result = await bench.run("echo before; sleep 1000", timeout_seconds=3)
    assert result.is_error
    assert result.text.startswith("before\n")
    assert "[stopped after 3 s; the shell is kept." in result.text
    text = await bench.text("echo $x; jobs")
    assert text.startswith("kept\n")
    assert "Running" in text


@pytest.mark.parametrize(
    "code",
    [
        "echo up; sleep 1000",
        "while :; do echo up; sleep 0.01; done",
        "echo up; while :; do :; done",
        f"echo up; {STUBBORN}; echo next",
        f"echo up; ( {STUBBORN} | cat ) ; echo next",
        "trap '' INT; echo up; sleep 1000",
        "echo up; yes",
    ],
)
async def test_cancelling_stops_a_command_within_a_second(bench: Bench, code: str) -> None:
    await bench.run("x=kept")
    with anyio.fail_after(30):
        await bench.cancel_after(code, "up\n")
        assert await bench.text("trap - INT; echo $x") == "kept\n"


async def test_a_command_is_stopped_with_what_it_started(bench: Bench) -> None:
    await bench.run("sleep 1000 &")
    await bench.cancel_after("sleep 1000 & echo pid $!; sleep 1000", "pid ")
    pid = next(int(word) for word in bench.emitted.split() if word.isdigit())
    with anyio.fail_after(30):
        await gone(pid)
    assert (await bench.text("jobs -r")).count("Running") == 1


async def test_a_shell_that_cannot_be_stopped_is_restarted(bench: Bench) -> None:
    await bench.cancel_after("trap '' INT; echo up; while :; do :; done", "up\n")
    assert await bench.text("echo new") == f"{RESTARTED}new\n"
    assert await bench.text("echo again") == "again\n"


async def test_exit_ends_the_command_and_keeps_the_state(bench: Bench, tmp_path: Path) -> None:
    await bench.run("x=1; declare -a list=(a 'b c'); f() { echo f; }; mkdir d; cd d")
    result = await bench.run("echo bye; exit 3")
    assert (result.text, result.is_error) == ("bye\nexit\n[exit status 3]\n", True)
    text = await bench.text('echo "$x ${list[1]}"; f; pwd')
    assert text == f"1 b c\nf\n{tmp_path}/workspace/d\n"
    assert not (await bench.run("exit")).is_error


async def test_errexit_ends_the_command_and_keeps_the_state(bench: Bench) -> None:
    result = await bench.run("x=1; set -e; echo one; false; echo two")
    assert (result.text, result.is_error) == ("one\n[exit status 1]\n", True)
    assert await bench.text("false; echo $x") == "1\n"


@pytest.mark.parametrize(
    ("code", "end"), [("kill -9 $$", "was killed by SIGKILL"), ("exec true", "ended with status 0")]
)
async def test_a_lost_shell_is_replaced(bench: Bench, code: str, end: str) -> None:
    await bench.run("x=1; mkdir d; cd d")
    result = await bench.run(code)
    assert result.is_error
    assert result.text.startswith(f"[the shell {end}; its variables")
    assert await bench.text('echo "<$x>"; basename "$PWD"') == f"{RESTARTED}<>\nd\n"


async def test_a_shell_that_died_in_between_is_replaced(bench: Bench) -> None:
    pid = int(await bench.text("echo $$"))
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    assert await bench.text("echo new") == f"{RESTARTED}new\n"


async def test_variables_can_come_later(bench: Bench) -> None:
    bench.shell.set_variables({"LATE": 'it\'s "here"\nnow'})
    assert await bench.text("bash -c 'echo \"$LATE\"'") == 'it\'s "here"\nnow\n'
    await bench.run("kill -9 $$")
    assert (await bench.text("echo $LATE")).endswith('it\'s "here" now\n')


async def test_a_nul_in_the_command_is_refused(bench: Bench) -> None:
    with pytest.raises(ToolFault, match="NUL"):
        await bench.run("echo \0")


async def test_closing_ends_every_job(bench: Bench) -> None:
    text = await bench.text(
        "bash -c 'sleep 1000 & echo $!; wait' & sleep 0.1; sleep 1000 & disown; echo $!"
    )
    pids = [int(line) for line in text.splitlines() if line.isdigit()]
    assert len(pids) == 2
    bench.shell.close()
    with anyio.fail_after(30):
        for pid in pids:
            await gone(pid)
