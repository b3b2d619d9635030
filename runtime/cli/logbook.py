"""The log of a controller: one line per entry on standard error, for a person or for a machine."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict

from runtime.cli.wording import printable


class Outlet:
    """A file for entries whose loss stops nothing: a disk that is full, a pipe without a reader.

    Whoever logs is in the middle of something, often of mending what went wrong.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write, if that is possible."""
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._file.write(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError, ValueError):
            self._file.flush()


def open_logbook() -> None:
    """Send every log entry to standard error: coloured in a terminal, JSON elsewhere.

    `$SANDLOT_LOG` is the lowest level that counts: `debug`, `info` (the default), `warning`.
    """
    level = _level(os.environ.get("SANDLOT_LOG", "info"))
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if is_terminal else [structlog.processors.format_exc_info]),
            *([_harmless] if is_terminal else []),
            _renderer(is_terminal),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Outlet(sys.stderr))),
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)


def _harmless(_logger: Any, _method: str, entry: EventDict) -> EventDict:
    """Entries repeat what sandboxes print: none of it may steer the terminal. JSON has no need."""
    return {
        name: printable(value) if isinstance(value, str) else value for name, value in entry.items()
    }


def _renderer(is_terminal: bool) -> structlog.typing.Processor:
    if not is_terminal:
        return structlog.processors.JSONRenderer()
    # The default shows local variables of each frame, and those hold prompts and keys.
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _level(name: str) -> int:
    return {"debug": logging.DEBUG, "warning": logging.WARNING, "error": logging.ERROR}.get(
        name.lower(), logging.INFO
    )
