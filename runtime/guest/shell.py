"""The persistent shell: variables, folder, functions and background jobs stay between commands."""

from __future__ import annotations

import codecs
import os
import shlex
import termios
import tty
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType

import anyio

from runtime.errors import ToolFault
from runtime.guest.children import describe_end, kill_kin
from runtime.guest.output import OutputFolder, Transcript
from runtime.guest.shell_process import Mark, ShellProcess
from runtime.guest.tools import Emit
from runtime.schema.steps import ToolResult, text_result

CANCEL_SECONDS = 0.7
TIMEOUT_GRACE_SECONDS = 3.0
_ATTEMPTS = 4
_LAST_OUTPUT_SECONDS = 0.02
_LONGEST_MARK = 16_384
_READS_IN_A_ROW = 64
_ASIDE_CHARS = 2000
_ROWS, _COLUMNS = 50, 200
_RESTARTED = "[the shell was restarted: variables and functions of earlier commands are lost]"


class _Command:
    """A command under way; `mark` stays None when the shell ends first."""

    def __init__(
        self, number: int, transcript: Transcript | None, earlier_jobs: frozenset[int]
    ) -> None:
        self.number = number
        self.earlier_jobs = earlier_jobs
        self.transcript = transcript
        self.mark: Mark | None = None
        self.is_stopping = False
        self.done = anyio.Event()


class Shell:
    """A shell that is there when it is needed; an async context manager that owns it."""

    def __init__(
        self, workspace: Path, variables: Mapping[str, str], folder: Path, outputs: OutputFolder
    ) -> None:
        """`variables` is the whole environment; `folder` is private to the shell."""
        self._workspace = workspace
        self._variables = {**variables, "COLUMNS": str(_COLUMNS), "LINES": str(_ROWS)}
        self._new_variables: dict[str, str] = {}
        self._folder = folder
        self._outputs = outputs
        self._lock = anyio.Lock()
        self._process: ShellProcess | None = None
        self._sessions: list[int] = []
        self._command: _Command | None = None
        self._number = 0
        self._last = Mark(0, 0, frozenset(), str(workspace))
        self._is_greeted = False
        self._buffer = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._aside = ""
        self._notice = ""

    async def __aenter__(self) -> Shell:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs, termios.TCSANOW)  # the only one that every kernel has
        termios.tcsetwinsize(self._theirs, (_ROWS, _COLUMNS))
        os.set_blocking(self._ours, False)
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._read)
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
            self.close()
            os.close(self._ours)
            os.close(self._theirs)

    def close(self) -> None:
        """End the shell and every job of it."""
        for session in self._sessions:
            kill_kin(session)
        self._process = None

    def clear(self) -> bool:
        """End the shell and every job of it; whether there was any. The next command starts one."""
        if not self._sessions:
            return False
        self.close()
        self._sessions = []
        self._notice = _RESTARTED
        return True

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Export environment variables; they are there before the next command runs."""
        self._variables.update(variables)
        self._new_variables.update(variables)

    async def run(
        self, code: str, emit: Emit, timeout_seconds: float, advice: str = ""
    ) -> ToolResult:
        """Run one command. Raises `ToolFault` when it, or a shell, cannot be started.

        `advice` is said to one that took longer: what limit that was. When cancelled it stops the
        command, within a second, and if need be the shell.
        """
        if "\0" in code:
            raise ToolFault("The command holds a NUL character, which a shell cannot take.")
        async with self._lock:
            process = await self._ready_process()
            with closing(Transcript(self._outputs, "bash")) as transcript:
                self._write_preamble(transcript)
                command = self._begin(process, code, transcript)
                ending: list[str] = []
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(transcript.pump, emit)
                    ending = await self._see_through(process, command, timeout_seconds, advice)
                    tasks.cancel_scope.cancel()
                self._command = None
                return text_result(transcript.finish(*ending), is_error=bool(ending))

    def _write_preamble(self, transcript: Transcript) -> None:
        if self._notice:
            transcript.write_block(self._notice)
        if self._aside.strip():
            transcript.write_block(f"[output of background jobs]\n{self._aside}\n[end of it]")
        self._notice = self._aside = ""

    def _begin(self, process: ShellProcess, code: str, transcript: Transcript | None) -> _Command:
        self._number += 1
        self._command = _Command(self._number, transcript, self._last.jobs)
        try:
            process.run(self._number, code)
        except OSError as error:
            raise ToolFault(f"The command cannot be handed to the shell: {error}.") from error
        return self._command

    async def _see_through(
        self, process: ShellProcess, command: _Command, timeout_seconds: float, advice: str
    ) -> list[str]:
        """Wait for the end of the command; what is to be said of how it ended."""
        try:
            with anyio.move_on_after(timeout_seconds) as scope:
                await command.done.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._stop(process, command, CANCEL_SECONDS)
                self._command = None
            raise
        if scope.cancelled_caught:
            late = f"[stopped after {timeout_seconds:g} s"
            if await self._stop(process, command, TIMEOUT_GRACE_SECONDS):
                return [f"{late}; the shell is kept. {advice}".rstrip() + "]"]
            return [f"{late}; the shell did not react, so it was restarted; variables are lost]"]
        if command.mark is None:
            return self._bury(process)
        return [f"[exit status {command.mark.status}]"] if command.mark.status else []

    async def _stop(self, process: ShellProcess, command: _Command, grace_seconds: float) -> bool:
        """Stop the command and everything that it started; whether the shell lives on."""
        command.is_stopping = True
        for attempt in range(_ATTEMPTS):
            if attempt >= _ATTEMPTS // 2:
                process.kill_running(command.earlier_jobs)
            process.interrupt(command.earlier_jobs)
            with anyio.move_on_after(grace_seconds / _ATTEMPTS):
                await command.done.wait()
                break
        process.kill_running(command.earlier_jobs)
        await anyio.sleep(_LAST_OUTPUT_SECONDS)
        self._aside = ""
        if command.mark is not None:
            return True
        process.kill()
        self._process = None
        self._notice = _RESTARTED
        return False

    def _bury(self, process: ShellProcess) -> list[str]:
        """What is said of a shell that ended; one that ended by `exit` is not missed."""
        self._process = None
        status = process.exit_status or 0
        if process.has_left_state:
            return [f"[exit status {status}]"] if status else []
        self._notice = _RESTARTED
        return [
            f"[the shell {describe_end(status)}; its variables and functions are lost. "
            "The next command starts a new one.]"
        ]

    async def _ready_process(self) -> ShellProcess:
        process = self._process
        if process is not None and process.exit_status is not None:
            if not process.has_left_state:
                self._notice = _RESTARTED
            process = None
        if process is None:
            process = self._launch()
        if self._new_variables:
            await self._export(process)
        return process

    def _launch(self) -> ShellProcess:
        last = Path(self._last.cwd)
        cwd = last if last.is_dir() else self._workspace
        process = ShellProcess(self._folder, self._theirs)
        try:
            process.start(cwd, self._variables)
        except OSError as error:
            raise ToolFault(f"The shell cannot be started: {error}.") from error
        self._process = process
        self._sessions.append(process.pid)
        self._is_greeted = False
        self._tasks.start_soon(self._watch, process)
        return process

    async def _export(self, process: ShellProcess) -> None:
        pairs = " ".join(
            f"{name}={shlex.quote(value)}" for name, value in self._new_variables.items()
        )
        command = self._begin(process, f"export {pairs}", None)
        self._new_variables = {}
        await command.done.wait()

    async def _watch(self, process: ShellProcess) -> None:
        await process.watch()
        await anyio.sleep(_LAST_OUTPUT_SECONDS)
        if self._command is not None and self._process in (process, None):
            self._command.done.set()

    async def _read(self) -> None:
        while True:
            await anyio.wait_readable(self._ours)
            for _ in range(_READS_IN_A_ROW):
                try:
                    self._take(os.read(self._ours, 65536))
                except BlockingIOError:
                    break

    def _take(self, data: bytes) -> None:
        process = self._process
        self._buffer += data
        if process is None:
            self._print(len(self._buffer))
            return
        while (found := process.find_mark(self._buffer)) is not None:
            start, mark, end = found
            self._print(start)
            del self._buffer[: end - start]
            self._receive(mark)
        self._print(self._printable(process))

    def _printable(self, process: ShellProcess) -> int:
        """How much of the buffer cannot be the beginning of a mark."""
        escape = self._buffer.rfind(b"\x1b")
        tail = bytes(self._buffer[escape:]) if escape >= 0 else b""
        start = process.mark_start
        is_open = bool(tail) and (tail.startswith(start) or start.startswith(tail))
        return escape if is_open and len(tail) < _LONGEST_MARK else len(self._buffer)

    def _print(self, size: int) -> None:
        text = self._decoder.decode(bytes(self._buffer[:size]))
        del self._buffer[:size]
        if not text or not self._is_greeted:
            return
        if self._command is not None and self._command.transcript is not None:
            self._command.transcript.write(text)
        else:
            self._aside = (self._aside + text)[-_ASIDE_CHARS:]

    def _receive(self, mark: Mark) -> None:
        self._is_greeted = True
        self._last = mark
        command = self._command
        if command is not None and (command.number == mark.number or command.is_stopping):
            command.mark = mark
            command.done.set()
