"""Where mistakes end: in a line of the log, not in the work beside them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import structlog

from runtime.errors import SandlotError

log = structlog.get_logger(__name__)


@contextmanager
def contained(what: str, **where: object) -> Generator[None]:
    """Log an error that leaves the block, as `what`, and go on behind it.

    For work that nobody waits for, at the edge of a task: an error that leaves a task ends the
    task group that it is in, and with that the whole controller.
    """
    try:
        yield
    except SandlotError as error:
        log.warning(what, **where, code=error.code, error=error.message)
    except Exception:
        log.exception(what, **where)
