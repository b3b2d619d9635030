"""The first process of a sandbox: forks the others under their user ids, and reaps.

It is the only one that keeps rights (to set user ids and to kill), it runs nothing that the model
wrote, and it listens to the supervisor alone. It imports what its children need before it forks
them, so that they share that memory and start at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

from runtime.guest.channel import Ends, open_ends
from runtime.guest.children import freeze
from runtime.guest.roles import ROLES, SUPERVISOR, Role, become, is_split, processes_of

SpawnMain = Callable[[Ends], None]
_REQUEST_BYTES = 16


class Nursery:
    """Spawns service processes when the supervisor asks; ends with the supervisor."""

    def __init__(self, mains: dict[str, SpawnMain], supervisor: Callable[[socket.socket], None]):
        self._mains = mains
        self._supervisor = supervisor
        self._children: dict[int, Role] = {}

    def run(self) -> int:
        """Serve until the supervisor ends; returns its exit status."""
        ours, theirs = socket.socketpair()
        wake_read, wake_write = socket.socketpair()
        wake_write.setblocking(False)
        wake_read.setblocking(False)
        gc.collect()
        gc.freeze()
        supervisor = self._fork(SUPERVISOR, lambda: self._supervisor(theirs), [ours])
        theirs.close()
        signal.set_wakeup_fd(wake_write.fileno())
        signal.signal(signal.SIGCHLD, _ignore)
        signal.signal(signal.SIGTERM, partial(_terminate, supervisor))
        while True:
            readable, _, _ = select.select([ours, wake_read], [], [], 1.0)
            if wake_read in readable:
                wake_read.recv(4096)
            status = self._reap(supervisor)
            if status is not None:
                self._kill_all()
                return status
            if ours in readable:
                self._answer(ours)

    def _answer(self, control: socket.socket) -> None:
        request = control.recv(_REQUEST_BYTES).decode("ascii").strip()
        if not request:
            return
        verb, _, name = request.partition(" ")
        role = ROLES[name]
        self._kill(role)
        if verb == "spawn":
            inside, outside = open_ends()
            self._fork(role, lambda: self._mains[name](inside), [control])
            handed = [outside.frames.fileno(), outside.descriptors.fileno()]
            socket.send_fds(control, [b"ok"], handed)
            for end in (inside, outside):
                end.frames.close()
                end.descriptors.close()

    def _fork(self, role: Role, main: Callable[[], None], close: list[socket.socket]) -> int:
        child = os.fork()
        if child:
            self._children[child] = role
            return child
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for inherited in close:
                inherited.close()
            become(role)
            main()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _reap(self, supervisor: int) -> int | None:
        """Collect ended children; the supervisor's exit status when it is among them."""
        ended: int | None = None
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._children.pop(pid, None)
                if pid == supervisor:
                    ended = os.waitstatus_to_exitcode(status)
        return ended

    def _kill(self, role: Role) -> None:
        """Kill every process of `role`, also the ones that it left behind."""
        if is_split():
            freeze(lambda: processes_of(role))
            victims = processes_of(role)
        else:
            victims = [pid for pid, child_role in self._children.items() if child_role is role]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in [*victims, *victims]:  # those whose parents were among them become ours
            self._bury(pid)

    def _bury(self, pid: int) -> None:
        """Reap a killed child before another is started: its place may be the last one."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        self._children.pop(pid, None)

    def _kill_all(self) -> None:
        for role in ROLES.values():
            self._kill(role)


class NurseryClient:
    """The supervisor's line to the nursery."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def spawn(self, role: Role) -> Ends:
        """A fresh process of `role`, after every older one of it was killed. Blocks shortly."""
        self._control.sendall(f"spawn {role.name}".ljust(_REQUEST_BYTES).encode("ascii"))
        _, descriptors, _, _ = socket.recv_fds(self._control, 2, 2)
        frames, passing = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        return Ends(frames, passing)

    def kill(self, role: Role) -> None:
        """Kill every process of `role`."""
        self._control.sendall(f"kill {role.name}".ljust(_REQUEST_BYTES).encode("ascii"))


def _ignore(*_: object) -> None:
    """Only so that the signal wakes `select`."""


def _terminate(pid: int, *_: object) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
