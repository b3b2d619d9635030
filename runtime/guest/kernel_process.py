"""One life of a Jupyter kernel: started, greeted, given cells, interrupted, killed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import zmq.asyncio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from runtime.errors import ToolFault
from runtime.guest.children import Child, describe_end
from runtime.guest.kernel_wire import KernelWire, Message

START_SECONDS = 60.0
_GREETING_SECONDS = 0.2
_LAST_OUTPUT_SECONDS = 0.05
_LOST_OUTPUT_SECONDS = 2.0
_LOST_REPLY_SECONDS = 0.1
_FAREWELL_SECONDS = 0.7
_LOG_BYTES = 4000
_SETUP = """
def system(command, shell=get_ipython()):
    from IPython.utils.process import system
    if command.rstrip().endswith("&"):
        raise OSError("A program cannot go on in the background here: start it with bash.")
    program = shell.var_expand(command, depth=1)
    shell.user_ns["_exit_code"] = system("{ " + program + chr(10) + "} </dev/null")
get_ipython().system = system
"""
"""Gives programs that `!` runs an end of input, where IPython would let them wait for a user."""
_LAUNCH = """
import sys
sys.path[:] = filter(None, sys.path)
sys.modules["debugpy"] = None
import ipykernel.debugger
del sys.modules["debugpy"]
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""
"""What `ipykernel_launcher` does, without the debugger: 8 MB that nobody attaches to. The working
folder is not on the path meanwhile, or a file of the user could take the place of a module."""
_OPTIONS = (
    "--HistoryManager.enabled=False",  # a database file and 2 MB for a history nobody scrolls
    "--InteractiveShell.xmode=Plain",
    "--InteractiveShell.colors=NoColor",
    f"--IPKernelApp.exec_lines=exec({_SETUP!r}, dict(get_ipython=get_ipython))",
)


@dataclass(frozen=True, slots=True)
class KernelLaunch:
    """How kernels are started."""

    interpreter: str
    workspace: Path
    variables: Mapping[str, str]
    """The whole environment."""


class Execution:
    """A request under way, which may end without a reply: then the kernel died."""

    def __init__(self, take: Callable[[Message], None]) -> None:
        self.id = secrets.token_hex(12)
        self.reply: Message | None = None
        self.replied = anyio.Event()
        self.idle = anyio.Event()
        """Set with the last output."""
        self.done = anyio.Event()
        """Set when both are. All three are also set when no more will come."""
        self._take = take

    def receive_output(self, message: Message) -> None:
        """Take one message of the iopub channel."""
        if message.kind == "status" and message.content.get("execution_state") == "idle":
            self.idle.set()
            self._settle()
        else:
            self._take(message)

    def receive_reply(self, message: Message) -> None:
        """Take the reply."""
        self.reply = message
        self.replied.set()
        self._take(message)
        self._settle()

    def give_up(self) -> None:
        """Let everybody who waits go on: no more will come."""
        self.replied.set()
        self.idle.set()
        self.done.set()

    def _settle(self) -> None:
        if self.idle.is_set() and self.replied.is_set():
            self.done.set()


class KernelProcess:
    """A kernel that runs one request at a time."""

    def __init__(self, launch: KernelLaunch, folder: Path) -> None:
        """A kernel to be, in a private folder of its own that does not exist yet."""
        self._launch = launch
        self._folder = folder
        self._log = bytearray()
        self._ready = anyio.Event()
        self._current: Execution | None = None

    @property
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it lives."""
        return self._child.exit_status

    async def serve(
        self, context: zmq.asyncio.Context, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        """Start the kernel and read what it says until it ends; cancelling this ends it.

        Raises `OSError` when it cannot be started.
        """
        with ExitStack() as stack:
            self._folder.mkdir(mode=0o700, parents=True)
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._wire = KernelWire(context, self._folder)
            stack.callback(self._wire.close)
            log_reader = self._start(stack)
            task_status.started()
            try:
                await self._read_until_end(log_reader)
            finally:
                self.kill()
                self._ready.set()
                if self._current is not None:
                    self._current.give_up()

    def _start(self, stack: ExitStack) -> int:
        log_reader, log_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        stack.callback(os.close, log_reader)
        connection = str(self._wire.connection_file)
        try:
            self._child = Child.start(
                [self._launch.interpreter, "-c", _LAUNCH, "-f", connection, *_OPTIONS],
                cwd=self._launch.workspace,
                env={**self._launch.variables, "JPY_PARENT_PID": str(os.getpid())},
                stdout=log_writer,
                stderr=log_writer,
            )
        finally:
            os.close(log_writer)
        return log_reader

    async def _read_until_end(self, log_reader: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read_output)
            tasks.start_soon(self._read_replies)
            tasks.start_soon(self._read_log, log_reader)
            tasks.start_soon(self._become_ready)
            await self._child.watch()
            await anyio.sleep(_LAST_OUTPUT_SECONDS)
            tasks.cancel_scope.cancel()

    async def wait_until_ready(self) -> None:
        """Return when cells can run. Raises `ToolFault` with its last words when it cannot."""
        with anyio.move_on_after(START_SECONDS):
            await self._ready.wait()
        if self.exit_status is not None:
            end = describe_end(self.exit_status)
            raise ToolFault(f"The Python kernel did not start: it {end}.{self._last_words()}")
        if not self._ready.is_set():
            self.kill()
            raise ToolFault(
                f"The Python kernel did not start within {START_SECONDS:g} s.{self._last_words()}"
            )

    async def execute(
        self, code: str, take: Callable[[Message], None], *, silent: bool = False
    ) -> Execution:
        """Send a cell; `take` gets its messages."""
        content: dict[str, Any] = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        return await self._request("execute_request", content, take)

    async def wait(self, execution: Execution) -> bool:
        """Return when the execution is over; whether all its output came."""
        await execution.replied.wait()
        with anyio.move_on_after(_LOST_OUTPUT_SECONDS):
            await execution.done.wait()
            return True
        execution.done.set()
        self._wire.reconnect_output()
        with anyio.move_on_after(_LOST_OUTPUT_SECONDS):
            await self._greet()
        return False

    async def wait_until_stopped(self, execution: Execution) -> None:
        """Return when an interrupted execution is over.

        An interrupt may hit the kernel's own code on the way into the cell: then no reply comes.
        """
        await execution.idle.wait()
        with anyio.move_on_after(_LOST_REPLY_SECONDS):
            await execution.done.wait()

    def interrupt(self, *, with_group: bool) -> None:
        """Raise KeyboardInterrupt in the cell; with the group, also in programs that it runs."""
        if with_group:
            self._child.send_signal_to_group(signal.SIGINT)
        else:
            self._child.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, with everything it started."""
        self._child.kill_with_kin()

    async def say_farewell(self) -> None:
        """Ask it to end, so that open files are flushed; gives up after a short time."""
        with anyio.move_on_after(_FAREWELL_SECONDS):
            await self._request("shutdown_request", {"restart": False}, _ignore)
            await self._child.wait()

    async def _request(
        self, kind: str, content: dict[str, Any], take: Callable[[Message], None]
    ) -> Execution:
        execution = Execution(take)
        self._current = execution
        await self._wire.send(execution.id, kind, content)
        if self.exit_status is not None:
            execution.give_up()
        return execution

    async def _become_ready(self) -> None:
        await self._greet()
        self._ready.set()

    async def _greet(self) -> None:
        """Return when an answer and its output have arrived: both channels are up then."""
        is_heard = False
        while not is_heard:
            greeting = await self._request("kernel_info_request", {}, _ignore)
            await greeting.replied.wait()
            with anyio.move_on_after(_GREETING_SECONDS):
                await greeting.done.wait()
                is_heard = True

    async def _read_output(self) -> None:
        while True:
            message = await self._wire.receive_output()
            current = self._current
            if message is not None and current is not None and message.parent_id == current.id:
                current.receive_output(message)

    async def _read_replies(self) -> None:
        while True:
            message = await self._wire.receive_reply()
            current = self._current
            if message is not None and current is not None and message.parent_id == current.id:
                current.receive_reply(message)

    async def _read_log(self, log_reader: int) -> None:
        while True:
            await anyio.wait_readable(log_reader)
            data = os.read(log_reader, 65536)
            if not data:
                return
            self._log += data
            del self._log[:-_LOG_BYTES]

    def _last_words(self) -> str:
        text = self._log.decode("utf-8", "replace").strip()
        return f" It said:\n{text}" if text else ""


def _ignore(message: Message) -> None:
    """Takes a message that nobody waits for."""
