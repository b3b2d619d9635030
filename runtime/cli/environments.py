"""`sandlot environments`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from runtime.cli.connection import connected
from runtime.cli.listings import ago, announce, print_json, print_table, rules
from runtime.client import Environment


def show_all(state_dir: Path | None, *, as_json: bool) -> None:
    """Print the environments, the newest first."""
    with connected(state_dir, announce) as client:
        found = client.environments.list()
    if as_json:
        print_json(found)
        return
    headings = ("ID", "STATUS", "MADE", "USED", "NETWORK")
    print_table(headings, [_row(environment) for environment in found])


def _row(environment: Environment) -> tuple[str, ...]:
    shown = environment.model_dump()
    return (
        environment.id,
        environment.status or "",
        ago(environment.created),
        ago(shown.get("last_accessed")),
        rules(shown.get("network")),
    )


def show(state_dir: Path | None, identifier: str) -> None:
    """Print one environment as JSON."""
    with connected(state_dir, announce) as client:
        print_json(client.environments.get(identifier))


def delete(state_dir: Path | None, identifiers: Sequence[str]) -> None:
    """Delete environments, each with all its files; ends at the first that cannot be deleted."""
    with connected(state_dir, announce) as client:
        for identifier in identifiers:
            client.environments.delete(identifier)
            typer.echo(f"{identifier} is deleted")
