"""The persistent Python kernel: runs cells one at a time, and survives what cells do to it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType

import anyio
import zmq.asyncio

from runtime.errors import ToolFault
from runtime.guest.cgroup import read_pressure
from runtime.guest.children import describe_end
from runtime.guest.kernel_output import CellOutput
from runtime.guest.kernel_process import Execution, KernelLaunch, KernelProcess
from runtime.guest.kernel_wire import Message
from runtime.guest.output import OutputFolder, Transcript
from runtime.guest.tools import Emit
from runtime.schema.steps import ToolResult

CANCEL_SECONDS = 0.7
TIMEOUT_GRACE_SECONDS = 3.0
_INTERRUPTS = 4
_VARIABLES_SECONDS = 5.0
_RESTARTED = "[the kernel was restarted: variables and imports of earlier calls are lost]"
_LOST_OUTPUT = "[output was lost: one piece of it was too long. Write such data to a file]"


class Kernel:
    """A kernel that is there when it is needed; an async context manager that owns it."""

    def __init__(self, launch: KernelLaunch, folder: Path, outputs: OutputFolder) -> None:
        """`folder` is private to the kernel: sockets and its own settings live there."""
        settings = {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder)}
        self._launch = replace(launch, variables={**settings, **launch.variables})
        self._folder = folder
        self._outputs = outputs
        self._lock = anyio.Lock()
        self._lives = count(1)
        self._process: KernelProcess | None = None
        self._new_variables: dict[str, str] = {}
        self._notice = ""
        self._oom_kills = 0

    async def __aenter__(self) -> Kernel:
        self._context = zmq.asyncio.Context()
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(exc_type, exc_value, traceback)
        finally:
            self._context.destroy(0)

    @property
    def is_alive(self) -> bool:
        """Whether a kernel is running."""
        return self._process is not None and self._process.exit_status is None

    async def start(self) -> None:
        """Begin to start a kernel, so that the first cell finds it ready. Raises `ToolFault`."""
        async with self._lock:
            if not self.is_alive:
                await self._launch_process()

    async def close(self) -> None:
        """End the kernel, letting it flush its files if it is idle."""
        process, self._process = self._process, None
        if process is not None:
            if process.exit_status is None and not self._lock.locked():
                await process.say_farewell()
            process.kill()

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Give the kernel environment variables; they are there before the next cell runs."""
        self._launch = replace(self._launch, variables={**self._launch.variables, **variables})
        self._new_variables.update(variables)

    async def run(
        self, code: str, emit: Emit, timeout_seconds: float, advice: str = ""
    ) -> ToolResult:
        """Run one cell. Raises `ToolFault` when no kernel can be started.

        `advice` is said to a cell that took longer: what limit that was. When cancelled it stops
        the cell, within a second, and if need be the kernel.
        """
        async with self._lock:
            process = await self._ready_process()
            with closing(Transcript(self._outputs, "python")) as transcript:
                output = CellOutput(transcript)
                if self._notice:
                    transcript.write_block(self._notice)
                    self._notice = ""
                execution = await process.execute(code, output.take)
                ending: list[str] = []
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(transcript.pump, emit)
                    ending = await self._see_through(process, execution, timeout_seconds, advice)
                    tasks.cancel_scope.cancel()
                return output.result(*ending, is_error=bool(ending))

    async def _see_through(
        self, process: KernelProcess, execution: Execution, timeout_seconds: float, advice: str
    ) -> list[str]:
        """Wait for the end of the cell; what is to be said of an end that is not its own."""
        try:
            is_whole = True
            with anyio.move_on_after(timeout_seconds) as scope:
                is_whole = await process.wait(execution)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._stop(process, execution, CANCEL_SECONDS)
            raise
        if scope.cancelled_caught:
            return [await self._time_out(process, execution, timeout_seconds, advice)]
        if execution.reply is None:
            return [self._bury(process)]
        return [] if is_whole else [_LOST_OUTPUT]

    async def _time_out(
        self, process: KernelProcess, execution: Execution, timeout_seconds: float, advice: str
    ) -> str:
        late = f"[stopped after {timeout_seconds:g} s"
        if await self._stop(process, execution, TIMEOUT_GRACE_SECONDS):
            return f"{late}; variables are kept. {advice}".rstrip() + "]"
        self._notice = ""
        await self._launch_process()
        return f"{late}; the cell did not react, so the kernel was restarted; variables are lost]"

    async def _stop(
        self, process: KernelProcess, execution: Execution, grace_seconds: float
    ) -> bool:
        """Interrupt the cell, at last kill the kernel; whether the kernel lives on."""
        for attempt in range(_INTERRUPTS):
            process.interrupt(with_group=attempt > 0)
            with anyio.move_on_after(grace_seconds / _INTERRUPTS):
                await process.wait_until_stopped(execution)
                break
        if execution.idle.is_set() and process.exit_status is None:
            return True
        process.kill()
        self._process = None
        self._notice = _RESTARTED
        return False

    def _bury(self, process: KernelProcess) -> str:
        """What is said of a kernel that died in the middle of a cell."""
        self._process = None
        self._notice = _RESTARTED
        end = describe_end(process.exit_status or 0)
        if process.exit_status == -9:
            is_sure = read_pressure().oom_kills > self._oom_kills
            cause = "memory ran out" if is_sure else "memory probably ran out"
            end = f"{end}: {cause}"
        return f"[the kernel died: it {end}; variables are lost. The next call starts a new one.]"

    async def _ready_process(self) -> KernelProcess:
        if self._process is not None and not self.is_alive:
            self._notice = _RESTARTED
            self._process = None
        process = self._process or await self._launch_process()
        try:
            await process.wait_until_ready()
        except ToolFault:
            self._process = None
            raise
        await self._apply_variables(process)
        return process

    async def _launch_process(self) -> KernelProcess:
        process = KernelProcess(self._launch, self._folder / f"k{next(self._lives)}")
        self._new_variables = {}
        self._oom_kills = read_pressure().oom_kills
        try:
            await self._tasks.start(process.serve, self._context)
        except OSError as error:
            raise ToolFault(f"The Python kernel cannot be started: {error}.") from error
        self._process = process
        return process

    async def _apply_variables(self, process: KernelProcess) -> None:
        if not self._new_variables:
            return
        code = f"__import__('os').environ.update({self._new_variables!r})"
        execution = await process.execute(code, _ignore, silent=True)
        with anyio.move_on_after(_VARIABLES_SECONDS):
            await process.wait(execution)
            self._new_variables = {}


def _ignore(message: Message) -> None:
    """Takes the messages of a cell that shows nothing."""
