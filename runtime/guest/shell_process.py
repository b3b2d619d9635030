"""One life of the shell: an interactive bash on a pseudo-terminal, told what to do over a pipe.

Bash is interactive because only then does an interrupt end a whole command, loops and all, and
leave the shell with its state. The terminal is nobody's controlling terminal, so programs that
would ask on `/dev/tty` fail at once, and nobody is hung up on when a shell ends. After every
command bash prints a marker with the command's number, in the same stream as all output: what was
printed before has arrived when the marker arrives.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.guest.children import (
    Child,
    children_of,
    kill_kin,
    signal_group,
)

_TERMINAL_FD = 197
"""What bash knows the terminal by, whatever a command does to its own output."""

_INIT = r"""
exec {fd}>&1; set -m +o history +H
{{ . {restored}; }} >/dev/null 2>&1
PS1= PS2= PROMPT_COMMAND= HISTFILE= __sandlot_state={state}
__sandlot_mark() {{
    builtin printf '\e]sandlot;%s;%s;%s;' {nonce} "$__sandlot_number" "$__sandlot_status"
    builtin jobs -p; builtin printf ';%s\a' "$PWD"
}} >&{fd} 2>/dev/null
__sandlot_again() {{ return "$__sandlot_last"; }}
__sandlot_keep() {{
    builtin declare -p; builtin declare -f; builtin alias -p; builtin printf 'cd -- %q\n' "$PWD"
}} >"$__sandlot_state" 2>/dev/null
trap __sandlot_keep EXIT
__sandlot_number=0 __sandlot_status=0 __sandlot_last=0
__sandlot_mark
"""
_RUN = (
    "{{ set +ex; }} 2>/dev/null; PROMPT_COMMAND=__sandlot_mark "
    "__sandlot_last=$__sandlot_status __sandlot_status=130 __sandlot_number={number}; "
    "IFS= read -r -d '' __sandlot_code <{command}; __sandlot_again; "
    'eval "$__sandlot_code" </dev/null >&{fd} 2>&{fd} {fd}>&-; '
    "{{ __sandlot_status=$?; set +ex; PROMPT_COMMAND=__sandlot_mark; }} 2>/dev/null\n"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What bash says when a command is over; `jobs` are the process groups in the background."""

    number: int
    status: int
    jobs: frozenset[int]
    cwd: str


class ShellProcess:
    """A bash that runs one command at a time."""

    def __init__(self, folder: Path, terminal: int) -> None:
        """`folder` is private to the shell; `terminal` is the side of the pty for programs."""
        self._folder = folder
        self._terminal = terminal
        self._nonce = secrets.token_hex(8)
        self.mark_start = b"\x1b]sandlot;" + self._nonce.encode()
        self._mark = re.compile(self.mark_start + rb";(\d+);(\d+);([\d\s]*);([^\a]*)\a")
        self._state = folder / "state"

    @property
    def pid(self) -> int:
        """The process id, which is also its session's."""
        return self._child.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it lives."""
        return self._child.exit_status

    @property
    def has_left_state(self) -> bool:
        """Whether it ended by itself, leaving variables and functions for the next shell."""
        return self._state.exists()

    def start(self, cwd: Path, variables: Mapping[str, str]) -> None:
        """Start bash with that environment. Raises `OSError`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        restored = self._folder / "restored"
        restored.unlink(missing_ok=True)
        if self._state.exists():
            self._state.rename(restored)
        reader, self._writer = os.pipe2(os.O_CLOEXEC)
        try:
            self._child = Child.start(
                ["bash", "--norc", "--noprofile", "--noediting", "-i"],
                cwd=cwd,
                env=variables,
                stdin=reader,
                stdout=self._terminal,
                stderr=self._terminal,
            )
        except OSError:
            os.close(self._writer)
            raise
        finally:
            os.close(reader)
        state, previous = shlex.quote(str(self._state)), shlex.quote(str(restored))
        self._tell(_INIT.format(nonce=self._nonce, fd=_TERMINAL_FD, state=state, restored=previous))

    def find_mark(self, output: bytes | bytearray) -> tuple[int, Mark, int] | None:
        """The first mark in `output`, between its start and its end."""
        found = self._mark.search(output)
        if found is None:
            return None
        number, status, jobs, cwd = found.groups()
        mark = Mark(int(number), int(status), frozenset(map(int, jobs.split())), os.fsdecode(cwd))
        return found.start(), mark, found.end()

    def run(self, number: int, code: str) -> None:
        """Begin a command; its mark will carry `number`. Raises `OSError`."""
        command = self._folder / "command"
        command.write_text(code, encoding="utf-8", errors="surrogateescape")
        quoted = shlex.quote(str(command))
        self._tell(_RUN.format(number=number, command=quoted, fd=_TERMINAL_FD))

    async def watch(self) -> None:
        """Return when it has ended; runs in a task of the owner."""
        try:
            await self._child.watch()
        finally:
            os.close(self._writer)

    def interrupt(self, jobs: frozenset[int]) -> None:
        """Interrupt the program that runs, and the shell, which then drops the command.

        `jobs` are the groups that run in the background and are none of the command's.
        """
        for running in children_of(self._child.pid, jobs)[-1:]:
            signal_group(running.group, signal.SIGINT)
        self._child.send_signal(signal.SIGINT)

    def kill_running(self, jobs: frozenset[int]) -> None:
        """Kill all that the command started, with everything below it."""
        for running in children_of(self._child.pid, jobs):
            signal_group(running.group, signal.SIGKILL)
            kill_kin(running.pid)

    def kill(self) -> None:
        """Kill the shell alone: what runs in its background goes on."""
        self._child.send_signal(signal.SIGKILL)

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it ended just now, as `watch` will see
            os.write(self._writer, line.encode())
