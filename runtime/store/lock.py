"""The state folder belongs to one controller at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from runtime.errors import Conflict

_NAME = "controller.lock"


@contextmanager
def hold(state_dir: Path) -> Generator[bool]:
    """Own `state_dir` for the block; yields whether the last owner ended without letting go.

    Raises `Conflict` when another process owns it. A process that dies lets go by itself.
    """
    path = state_dir / _NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, state_dir)
        unclean = os.fstat(descriptor).st_size > 0
        _write(descriptor, str(os.getpid()).encode())
        yield unclean
        _write(descriptor, b"")
    finally:
        os.close(descriptor)


def _take(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise Conflict(
            f"Another controller (process {owner}) uses the state folder {state_dir}. "
            "Stop it, or choose another folder with --state-dir."
        ) from error


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)
