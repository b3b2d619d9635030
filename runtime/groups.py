"""Task groups wrap what goes wrong in them; callers want the error itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collapsed() -> Generator[None]:
    """Raise the one error that a task group wrapped, not the group; more than one stay wrapped."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from error.__cause__
