"""The entry point of `sandlot`, and the last stop of every error."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from runtime.cli.commands import app
from runtime.errors import SandlotError, Unauthenticated


def main() -> None:
    """Run the command line and leave with its exit status."""
    try:
        app(prog_name="sandlot")
    except SandlotError as fault:
        from runtime.cli import exits

        sys.exit(_explain(fault, exits.of_fault(fault)))
    except BrokenPipeError:
        # Whoever read our output has had enough of it.
        sys.stdout = None
        sys.exit(1)
    except OSError as problem:
        sys.exit(_explain(problem, 1))


def _explain(problem: SandlotError | OSError, status: int) -> int:
    if _wants_trace():
        traceback.print_exception(problem)
    from runtime.cli.wording import printable

    # It may repeat what a sandbox or a stranger said.
    typer.echo(printable(f"sandlot: {_sentence(problem)}"), err=True)
    return status


def _sentence(problem: SandlotError | OSError) -> str:
    if isinstance(problem, Unauthenticated):
        return f"{problem.message} {_key_that_was_sent()}"
    if isinstance(problem, SandlotError):
        return problem.message
    place = f"{problem.filename}: " if problem.filename else ""
    return f"{place}{problem.strerror or problem}"


def _key_that_was_sent() -> str:
    from runtime.client.discovery import KEY_VARIABLE

    if os.environ.get(KEY_VARIABLE):
        return f"This command sent the one in ${KEY_VARIABLE}."
    return f"${KEY_VARIABLE} is not set: this command looked for one in the state folder."


def _wants_trace() -> bool:
    return "--debug" in sys.argv[1:] or bool(os.environ.get("SANDLOT_DEBUG"))
