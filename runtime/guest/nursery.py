"""The first process of a sandbox: forks the others under their user ids, and reaps.

It is the only one that keeps rights (to set user ids and to kill), it runs nothing that the model
wrote, and it listens to the supervisor alone. It imports what its children need before it forks
them, so that they share that memory and start at once.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial

from runtime import clock
from runtime.errors import SandboxFault
from runtime.guest.channel import Ends, open_ends
from runtime.guest.children import freeze
from runtime.guest.network import PROXY_PORT
from runtime.guest.roles import RELAY, ROLES, SUPERVISOR, Role, become, is_split, processes_of

SpawnMain = Callable[[Ends], None]
RelayMain = Callable[[socket.socket], None]
_REQUEST_BYTES = 16
_ANSWER_BYTES = 200
_TICK_SECONDS = 1.0
_RELAY_BACKLOG = 256


class Nursery:
    """Spawns service processes when the supervisor asks; ends with the supervisor."""

    def __init__(
        self,
        mains: dict[str, SpawnMain],
        supervisor: Callable[[socket.socket], None],
        relay: RelayMain | None = None,
    ):
        self._mains = mains
        self._supervisor = supervisor
        self._relay = relay
        self._relay_port: socket.socket | None = None
        """Held here, so that nobody can take the port while the relay is started again."""
        self._relay_due = math.inf
        """When it is to be started."""
        self._relay_started = 0.0
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
            readable, _, _ = select.select([ours, wake_read], [], [], _TICK_SECONDS)
            if wake_read in readable:
                wake_read.recv(4096)
            status = self._reap(supervisor)
            if status is not None:
                self._kill_all()
                return status
            if ours in readable:
                self._answer(ours)
            if self._relay_due <= clock.monotonic():
                self._start_relay(ours)

    def _answer(self, control: socket.socket) -> None:
        request = control.recv(_REQUEST_BYTES).decode("ascii").strip()
        if not request:
            return
        verb, _, name = request.partition(" ")
        role = ROLES[name]
        if verb == "serve":
            self._serve_relay(control)
            return
        self._kill(role)
        if verb == "spawn":
            inside, outside = open_ends()
            self._fork(role, lambda: self._mains[name](inside), [control])
            handed = [outside.frames.fileno(), outside.descriptors.fileno()]
            socket.send_fds(control, [b"ok"], handed)
            for end in (inside, outside):
                end.frames.close()
                end.descriptors.close()

    def _serve_relay(self, control: socket.socket) -> None:
        """Start the relay, and again whenever it ends."""
        answer = b"ok"
        try:
            if self._relay_port is None:
                self._relay_port = socket.create_server(
                    ("127.0.0.1", PROXY_PORT), backlog=_RELAY_BACKLOG
                )
                self._start_relay(control)
        except OSError as error:
            answer = f"port {PROXY_PORT}: {error.strerror}".encode("ascii", "replace")
        control.sendall(answer)

    def _start_relay(self, control: socket.socket) -> None:
        port, relay = self._relay_port, self._relay
        if port is None or relay is None:
            return
        self._relay_due = math.inf
        self._relay_started = clock.monotonic()
        try:
            self._fork(RELAY, lambda: relay(port), [control])
        except OSError:  # as many processes as there may be
            self._relay_due = self._relay_started + _TICK_SECONDS

    def _fork(self, role: Role, main: Callable[[], None], close: Sequence[socket.socket]) -> int:
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
            if role is not RELAY and self._relay_port is not None:
                self._relay_port.close()
            become(role)
            main()
            status = 0
        except BaseException:  # noqa: BLE001 - nobody above would tell: the process ends here
            traceback.print_exc()
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
                self._ended(pid)
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
        self._ended(pid)

    def _ended(self, pid: int) -> None:
        if self._children.pop(pid, None) is RELAY:
            self._relay_due = self._relay_started + _TICK_SECONDS

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

    def serve_relay(self) -> None:
        """Open the way to the egress proxy, for good. Raises `SandboxFault`. Blocks shortly."""
        self._control.sendall(f"serve {RELAY.name}".ljust(_REQUEST_BYTES).encode("ascii"))
        answer = self._control.recv(_ANSWER_BYTES).decode("ascii", "replace")
        if answer != "ok":
            raise SandboxFault(f"The sandbox's way to its network cannot be opened: {answer}.")

    def kill(self, role: Role) -> None:
        """Kill every process of `role`."""
        self._control.sendall(f"kill {role.name}".ljust(_REQUEST_BYTES).encode("ascii"))


def _ignore(*_: object) -> None:
    """Only so that the signal wakes `select`."""


def _terminate(pid: int, *_: object) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
