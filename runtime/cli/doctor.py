"""`sandlot doctor`: what is fine on this machine, what is not, and the mend."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.cli.doctor_checks import Check, State, examine, has_failed
from runtime.cli.doctor_facts import gather

_COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red"}


def doctor(config: Path | None, *, as_json: bool) -> None:
    """Check this machine: what is fine, what is not, and how to mend it."""
    checks = examine(gather(config))
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        Console().print(table_of(checks))
    if has_failed(checks):
        raise typer.Exit(1)


def table_of(checks: list[Check]) -> Table:
    """The checks as a table for a person."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("check", "state", "found", "mend"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "state")
    for check in checks:
        state = Text(check.state, style=_COLOURS[check.state])
        table.add_row(Text(check.name), state, Text(check.found), Text(check.mend))
    return table
