"""Terminals and commands that a person starts in a sandbox, beside what the agent does."""

from __future__ import annotations

import json
import os
import socket
import termios
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from runtime.errors import InvalidRequest
from runtime.guest.children import Child
from runtime.guest.dialogue import Dialogue, HungUp, Line, write_all
from runtime.guest.paths import Paths
from runtime.guest.service import Started
from runtime.schema.conversation import Piece, PieceKind, status_piece

_END_OF_INPUT = b"\x04"
_NOT_FOUND, _NOT_RUNNABLE = 127, 126
_MAX_SIZE = 10_000


class Terminals:
    """Starts terminals and commands in the workspace."""

    def __init__(self, paths: Paths, variables: Mapping[str, str]) -> None:
        """`variables` is the whole environment of what is started."""
        self._paths = paths
        self._variables = dict(variables)

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Add environment variables for what is started from now on."""
        self._variables.update(variables)

    async def terminal(
        self, arguments: dict[str, Any], connection: socket.socket, started: Started
    ) -> None:
        """`{rows, cols, argv, term}`: a terminal that runs a shell, or `argv`."""
        argv = _argv(arguments.get("argv") or ["bash", "-i"])
        size = int(arguments.get("rows") or 24), int(arguments.get("cols") or 80)
        term = str(arguments.get("term") or "xterm-256color")
        await started({})
        with ExitStack() as stack:
            ends = _TerminalEnds(stack)
            ends.resize(*size)
            child = ends.start(argv, self._paths.workspace, {**self._variables, "TERM": term})
            await Dialogue(Line(connection), child, ends).run()

    async def execute(
        self, arguments: dict[str, Any], connection: socket.socket, started: Started
    ) -> None:
        """`{argv, cwd}`: a command whose output and errors come apart. Raises `ToolFault`."""
        argv = _argv(arguments.get("argv"))
        cwd = self._paths.locate_folder(str(arguments.get("cwd") or "."))
        await started({})
        line = Line(connection)
        with ExitStack() as stack:
            ends = _PipeEnds(stack)
            try:
                child = ends.start(argv, cwd, self._variables)
            except OSError as error:
                await _refuse(line, argv[0], error)
            else:
                await Dialogue(line, child, ends).run()


class _TerminalEnds:
    """The pseudo-terminal of a program."""

    def __init__(self, stack: ExitStack) -> None:
        self._ours, self._theirs = os.openpty()
        stack.callback(os.close, self._ours)
        os.set_blocking(self._ours, False)

    @property
    def outputs(self) -> Mapping[int, PieceKind]:
        """All that the terminal shows."""
        return {self._ours: PieceKind.OUTPUT}

    def start(self, argv: list[str], cwd: Path, variables: Mapping[str, str]) -> Child:
        """Start a program whose controlling terminal this is; once. Raises `OSError`."""
        try:
            return Child.start(
                ["setsid", "--ctty", *argv],
                cwd=cwd,
                env=variables,
                stdin=self._theirs,
                stdout=self._theirs,
                stderr=self._theirs,
                new_session=False,  # setsid makes the one that gets the terminal
            )
        finally:
            os.close(self._theirs)

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal a size; the program is told by a signal."""
        if 0 < rows <= _MAX_SIZE and 0 < columns <= _MAX_SIZE:
            termios.tcsetwinsize(self._ours, (rows, columns))

    async def take(self, piece: Piece) -> None:
        """Keys, a new size, or the end of the keys. Raises `OSError`."""
        match piece.kind:
            case PieceKind.INPUT:
                await write_all(self._ours, piece.data)
            case PieceKind.END:
                await write_all(self._ours, _END_OF_INPUT)
            case PieceKind.SIZE:
                self.resize(*_read_size(piece.data))
            case _:
                pass


class _PipeEnds:
    """The three pipes of a program."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        (stdin, self._input), (self._output, stdout), (self._errors, stderr) = pipes
        self._theirs = (stdin, stdout, stderr)
        for ours in (self._output, self._errors):
            stack.callback(os.close, ours)
            os.set_blocking(ours, False)
        os.set_blocking(self._input, False)
        self._closing_input = stack.enter_context(ExitStack())
        self._closing_input.callback(os.close, self._input)

    @property
    def outputs(self) -> Mapping[int, PieceKind]:
        """Output and errors."""
        return {self._output: PieceKind.OUTPUT, self._errors: PieceKind.ERRORS}

    def start(self, argv: list[str], cwd: Path, variables: Mapping[str, str]) -> Child:
        """Start a program on the pipes; once. Raises `OSError`."""
        stdin, stdout, stderr = self._theirs
        try:
            return Child.start(
                argv, cwd=cwd, env=variables, stdin=stdin, stdout=stdout, stderr=stderr
            )
        finally:
            for descriptor in self._theirs:
                os.close(descriptor)

    async def take(self, piece: Piece) -> None:
        """Input, or its end. Raises `OSError`."""
        match piece.kind:
            case PieceKind.INPUT if self._input >= 0:
                await write_all(self._input, piece.data)
            case PieceKind.END:
                self._closing_input.close()
                self._input = -1
            case _:
                pass


async def _refuse(line: Line, program: str, error: OSError) -> None:
    status = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE
    complaint = f"{program}: {error.strerror}\n".encode("utf-8", "replace")
    try:
        await line.send(Piece(PieceKind.ERRORS, complaint))
        await line.send(status_piece(status))
    except HungUp:
        return


def _argv(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise InvalidRequest("argv must be a list of strings: the program and its arguments.")
    if any("\0" in word for word in value):
        raise InvalidRequest("argv holds a NUL character.")
    return value


def _read_size(data: bytes) -> tuple[int, int]:
    """Rows and columns; zeros, which are no size, for what cannot be read."""
    try:
        rows, columns = json.loads(data)
        return int(rows), int(columns)
    except (ValueError, TypeError):
        return 0, 0
