"""Child processes of the hands: started in sessions of their own, awaited, ended with their kin.

Knows `/proc` and signals, and nothing of what the children are for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import anyio

_POLL_SECONDS = 0.05
_KILL_ROUNDS = 5
_FREEZE_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """What `/proc` says of one process; `started` is in clock ticks since boot."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    is_zombie: bool


class Child:
    """One child process, leader of its own session and process group."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid
        self._ended = anyio.Event()

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
        new_session: bool = True,
    ) -> Child:
        """Start a program. Raises `OSError` when it, or the folder, is missing."""
        popen = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=new_session,
        )
        return cls(popen)

    @property
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    async def wait(self) -> int:
        """Return the exit status once the child has ended and `watch` has seen it."""
        await self._ended.wait()
        return self._popen.wait()

    async def watch(self) -> None:
        """Reap the child when it ends; runs in a task of the owner, once per child.

        Cancelling this kills the child with its kin: nobody would reap it later.
        """
        try:
            await self._wait_for_end()
        finally:
            if self._popen.poll() is None:
                self.kill_with_kin()
            self._ended.set()

    async def _wait_for_end(self) -> None:
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:  # not there before Linux 5.3, nor in every sandboxing runtime
            while self._popen.poll() is None:  # noqa: ASYNC110 - nothing there to wait for
                await anyio.sleep(_POLL_SECONDS)
            return
        try:
            while self._popen.poll() is None:
                await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the child itself, if it still runs."""
        if self._popen.poll() is None:
            os.kill(self.pid, number)

    def send_signal_to_group(self, number: signal.Signals) -> None:
        """Signal the child and what it started without giving it a group of its own."""
        if self._popen.poll() is None:
            signal_group(self.pid, number)

    def kill_with_kin(self) -> None:
        """Kill the child, its descendants, and all else in its session. Reaps the child."""
        kill_kin(self.pid)
        self._popen.kill()
        self._popen.wait()


def describe_end(exit_status: int) -> str:
    """`ended with status 3`, or `was killed by SIGTERM`."""
    if exit_status >= 0:
        return f"ended with status {exit_status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-exit_status).name}"
    return f"was killed by signal {-exit_status}"


def signal_process(pid: int, number: signal.Signals) -> None:
    """Signal one process; one that is gone, or not ours, is left alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a process group; one that is gone, or not ours, is left alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def kill_kin(pid: int) -> None:
    """Kill a process, its descendants, and everything in the session that it leads or led.

    They are stopped first: what forks faster than it is killed would never end otherwise.
    """
    for _ in range(_KILL_ROUNDS):
        freeze(lambda: [entry.pid for entry in kin(pid) if not entry.is_zombie])
        victims = [entry.pid for entry in kin(pid) if not entry.is_zombie]
        for victim in victims:
            signal_process(victim, signal.SIGKILL)
        if not victims:
            break


def freeze(find: Callable[[], Iterable[int]]) -> None:
    """Stop the processes that `find` gives, again and again until it finds no others.

    Stopped ones keep their places under the limit on processes, so even a fork bomb ends here.
    """
    stopped: set[int] = set()
    for _ in range(_FREEZE_ROUNDS):
        fresh = set(find()) - stopped
        if not fresh:
            return
        for each in fresh:
            signal_process(each, signal.SIGSTOP)
        stopped |= fresh


def children_of(pid: int, except_groups: Set[int]) -> list[ProcessEntry]:
    """The children of a process outside of these groups, in the order of their starts."""
    children = [
        entry
        for entry in all_processes()
        if entry.parent == pid and entry.group not in except_groups
    ]
    return sorted(children, key=lambda entry: (entry.started, entry.pid))


def kin(pid: int) -> list[ProcessEntry]:
    """The process, its descendants, and everything in the session that it leads.

    Of a process that was reaped only the session is left: its id may be another's by now.
    """
    entries = all_processes()
    family = {entry.pid for entry in entries if entry.pid == pid}
    size = 0
    while size != len(family):
        size = len(family)
        family |= {entry.pid for entry in entries if entry.parent in family}
    return [entry for entry in entries if entry.pid in family or entry.session == pid]


def all_processes() -> list[ProcessEntry]:
    """Every process that can be seen."""
    found = (_read_entry(path) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [entry for entry in found if entry is not None]


def _read_entry(path: Path) -> ProcessEntry | None:
    try:
        text = (path / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessEntry(
        pid=int(path.name),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        is_zombie=fields[0] in ("Z", "X"),
    )
