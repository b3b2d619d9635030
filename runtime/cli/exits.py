"""The exit statuses of `sandlot`, the same for every command."""

from __future__ import annotations

from runtime.client.faults import ControllerUnreachable
from runtime.errors import InvalidRequest, SandlotError

COMPLETED = 0
FAILED = 1
"""A run that failed or is incomplete, and every other error."""
USAGE = 2
UNREACHABLE = 3
"""The controller cannot be reached or started."""
REQUIRES_ACTION = 4
"""The run waits for the result of a function of the caller."""
INTERRUPTED = 130


class Misuse(InvalidRequest):
    """The command line asks for something that makes no sense."""


def of_status(status: str) -> int:
    """The exit status for the status that an interaction ended with."""
    return {"completed": COMPLETED, "requires_action": REQUIRES_ACTION}.get(status, FAILED)


def of_fault(fault: SandlotError) -> int:
    """The exit status for an error that ended a command."""
    if isinstance(fault, Misuse):
        return USAGE
    return UNREACHABLE if isinstance(fault, ControllerUnreachable) else FAILED
