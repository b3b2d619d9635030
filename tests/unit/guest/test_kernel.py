from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import anyio
import pytest

from runtime.errors import ToolFault
from runtime.guest.children import all_processes
from runtime.guest.kernel import Kernel
from runtime.guest.kernel_process import KernelLaunch
from runtime.guest.output import OutputFolder, OutputLimits
from runtime.schema.content import ImageContent
from runtime.schema.steps import ToolResult

pytestmark = pytest.mark.anyio

RESTARTED = "[the kernel was restarted: variables and imports of earlier calls are lost]\n"
SHOW_PICTURE = """
from IPython.display import Image, display
display(Image(b"\\x89PNG not really", format="png"))
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short path, as the path of a unix socket must be."""
    with tempfile.TemporaryDirectory(prefix="k") as name:
        (Path(name) / "workspace").mkdir()
        yield Path(name)


class Bench:
    """A kernel, and what it emitted while the last cell ran."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.emitted = ""
        self._grown = anyio.Event()

    async def run(self, code: str, timeout_seconds: float = 30) -> ToolResult:
        self.emitted = ""
        result = await self.kernel.run(code, self.emit, timeout_seconds)
        assert result.text.startswith(self.emitted)
        return result

    async def text(self, code: str) -> str:
        return (await self.run(code)).text

    async def emit(self, piece: str) -> None:
        self.emitted += piece
        self._grown.set()

    async def cancel_after(self, code: str, text: str) -> None:
        """Run a cell and cancel it when it has printed `text`."""
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.run, code)
                while text not in self.emitted:
                    await self._grown.wait()
                    self._grown = anyio.Event()
                tasks.cancel_scope.cancel()


def make_kernel(folder: Path, name: str, interpreter: str = sys.executable) -> Kernel:
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "GREETING": "hello"}
    launch = KernelLaunch(interpreter, folder / "workspace", variables)
    return Kernel(launch, folder / name, OutputFolder(folder / "outputs", OutputLimits()))


@pytest.fixture(scope="module")
async def bench(folder: Path, anyio_backend: str) -> AsyncGenerator[Bench]:
    async with make_kernel(folder, "k") as kernel:
        await kernel.start()
        yield Bench(kernel)


async def test_state_stays_between_cells(bench: Bench, folder: Path) -> None:
    assert await bench.text("import os\nx = 40\nos.getcwd()") == f"'{folder}/workspace'\n"
    assert await bench.text("print('x =', x, end='')\nx + 2") == "x = 40\n42\n"
    assert await bench.text("os.environ['GREETING']") == "'hello'\n"
    assert await bench.text("await __import__('asyncio').sleep(0, 'awaited')") == "'awaited'\n"


async def test_an_exception_is_a_plain_traceback(bench: Bench) -> None:
    result = await bench.run("print('so far')\ndef f():\n    return 1 / 0\nf()")
    assert result.is_error
    assert result.text.startswith("so far\nTraceback (most recent call last):\n")
    assert result.text.endswith("ZeroDivisionError: division by zero\n")
    assert "\x1b" not in result.text


async def test_a_syntax_error_says_where(bench: Bench) -> None:
    result = await bench.run("x = )")
    assert result.is_error
    assert "SyntaxError" in result.text


async def test_input_has_nobody_to_ask(bench: Bench) -> None:
    result = await bench.run("input('name? ')")
    assert result.is_error
    assert "There is no user to ask" in result.text


async def test_programs_that_read_get_an_end(bench: Bench) -> None:
    with anyio.fail_after(10):
        assert await bench.text("!echo out; cat; echo end") == "out\nend\n"
        text = await bench.text("import subprocess; subprocess.run(['cat']).returncode")
    assert text == "0\n"


async def test_pictures_come_back(bench: Bench) -> None:
    result = await bench.run(SHOW_PICTURE)
    assert result.text == "[picture 1]\n"
    picture = result.content[1]
    assert isinstance(picture, ImageContent)
    assert picture.mime_type == "image/png"


async def test_help_comes_back(bench: Bench) -> None:
    assert "Prints the values" in await bench.text("print?")


async def test_progress_bars_collapse(bench: Bench) -> None:
    code = "import sys\nfor n in range(101): print(f'\\r{n}%', end='', file=sys.stderr)"
    assert await bench.text(code) == "100%"


async def test_much_output_is_cut_and_kept(bench: Bench, folder: Path) -> None:
    result = await bench.run("for n in range(100_000): print(n)")
    assert len(result.text) < 21_000
    assert result.text.endswith("99998\n99999\n")
    kept = next((folder / "outputs").glob("python-*.txt")).read_text()
    assert kept == "".join(f"{n}\n" for n in range(100_000))


async def test_odd_text_comes_through(bench: Bench) -> None:
    assert await bench.text("print('日本 🙂', '\\x00')") == "日本 🙂 \ufffd\n"


async def test_output_is_told_while_the_cell_runs(bench: Bench) -> None:
    await bench.cancel_after("print('started')\nimport time; time.sleep(1000)", "started\n")
    assert await bench.text("'next'") == "'next'\n"


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import subprocess; subprocess.run(['sleep', '1000'])",
        "__import__('os').system('sleep 1000')",
        "while True: print('x' * 1000)",
    ],
)
async def test_cancelling_stops_a_cell_and_keeps_the_variables(bench: Bench, code: str) -> None:
    await bench.run("kept = 1")
    await bench.cancel_after(f"print('up', flush=True)\n{code}", "up\n")
    assert await bench.text("kept") == "1\n"


async def test_cancelling_a_cell_that_refuses_kills_the_kernel(bench: Bench) -> None:
    refusing = (
        "import signal, time, subprocess\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('child', child.pid, flush=True)\n"
        "while True: print('stale'); time.sleep(0.01)"
    )
    await bench.cancel_after(refusing, "stale")
    child = int(bench.emitted.split()[1])
    assert child not in [entry.pid for entry in all_processes() if not entry.is_zombie]
    assert await bench.text("'next'") == f"{RESTARTED}'next'\n"
    assert await bench.text("'again'") == "'again'\n"


async def test_a_timeout_stops_the_cell_and_keeps_the_variables(bench: Bench) -> None:
    await bench.run("kept = 1")
    result = await bench.run("print('slow')\nimport time; time.sleep(1000)", timeout_seconds=3)
    assert result.is_error
    assert result.text.startswith("slow\n")
    assert "KeyboardInterrupt" in result.text
    assert "[stopped after 3 s; variables are kept." in result.text
    assert await bench.text("kept") == "1\n"


async def test_a_timeout_of_a_cell_that_refuses_restarts_the_kernel(bench: Bench) -> None:
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(1000)"
    result = await bench.run(code, timeout_seconds=3)
    assert result.is_error
    assert "so the kernel was restarted; variables are lost]" in result.text
    assert await bench.text("'next'") == "'next'\n"


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("import os; os._exit(3)", "it ended with status 3;"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "it was killed by SIGKILL: memory probably ran out;",
        ),
        ("import ctypes; ctypes.string_at(0)", "it was killed by SIGSEGV;"),
    ],
)
async def test_a_kernel_that_dies_is_replaced(bench: Bench, code: str, end: str) -> None:
    result = await bench.run(code)
    assert result.is_error
    assert f"[the kernel died: {end}" in result.text
    assert await bench.text("'next'") == f"{RESTARTED}'next'\n"


async def test_a_kernel_that_died_in_between_is_replaced(bench: Bench) -> None:
    pid = int(await bench.text("import os; os.getpid()"))
    os.kill(pid, signal.SIGKILL)
    with anyio.fail_after(30):
        while bench.kernel.is_alive:  # noqa: ASYNC110 - it is the kernel's to reap
            await anyio.sleep(0.01)
    assert await bench.text("'next'") == f"{RESTARTED}'next'\n"


async def test_variables_can_come_later(bench: Bench) -> None:
    bench.kernel.set_variables({"LATE": 'it\'s "here"\n'})
    assert await bench.text("import os; os.environ['LATE']") == "'it\\'s \"here\"\\n'\n"


async def test_a_kernel_starts_with_the_variables_that_python_itself_reads(folder: Path) -> None:
    async with make_kernel(folder, "p") as kernel:
        kernel.set_variables({"PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "1"})
        assert await Bench(kernel).text("1 + 1") == "2\n"


async def test_an_overlong_message_loses_only_itself(bench: Bench) -> None:
    result = await bench.run("print('x' * 140_000_000)")
    assert result.is_error
    assert "[output was lost: one piece of it was too long." in result.text
    assert await bench.text("'next'") == "'next'\n"


async def test_closing_lets_the_kernel_flush_its_files(folder: Path) -> None:
    async with make_kernel(folder, "c") as kernel:
        bench = Bench(kernel)
        pid = int(await bench.text("import os; os.getpid()"))
        await bench.run("f = open('unflushed', 'w'); f.write('all of it')")
        await kernel.close()
        assert not kernel.is_alive
        assert pid not in [entry.pid for entry in all_processes()]
    assert await anyio.Path(folder / "workspace" / "unflushed").read_text() == "all of it"
    assert not list((folder / "c").glob("k*"))


async def test_a_kernel_that_cannot_start_says_why(folder: Path) -> None:
    broken = folder / "broken"
    broken.write_text("#!/bin/sh\necho 'No module named ipykernel_launcher' >&2\nexit 1\n")
    broken.chmod(0o755)
    async with make_kernel(folder, "b", str(broken)) as kernel:
        with pytest.raises(ToolFault, match=r"it ended with status 1\. It said:\nNo module named"):
            await Bench(kernel).run("1")


async def test_a_missing_interpreter_is_a_fault(folder: Path) -> None:
    async with make_kernel(folder, "m", "/no/such/python") as kernel:
        with pytest.raises(ToolFault, match=r"cannot be started: .*/no/such/python"):
            await kernel.start()
