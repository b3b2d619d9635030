"""The entry point of `sandlot`, and the last stop of every error."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from runtime.cli.commands import app
from runtime.errors import SandlotError


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
    if isinstance(problem, SandlotError):
        return problem.message
    place = f"{problem.filename}: " if problem.filename else ""
    return f"{place}{problem.strerror or problem}"


def _wants_trace() -> bool:
    return "--debug" in sys.argv[1:] or bool(os.environ.get("SANDLOT_DEBUG"))
