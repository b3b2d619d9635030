"""`sandlot agents validate`: every mistake of agent files, one per line."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from runtime.cli import exits
from runtime.cli.wording import plural
from runtime.specs.agents import validate_path
from runtime.specs.settings import load_settings


def validate(path: Path, config: Path | None) -> int:
    """Print the mistakes; returns the exit status."""
    settings = load_settings(config, os.environ)
    mistakes = validate_path(path, [Path(folder) for folder in settings.agents], settings)
    for mistake in mistakes:
        typer.echo(str(mistake))
    if mistakes:
        typer.echo(plural(len(mistakes), "mistake"), err=True)
        return exits.FAILED
    typer.echo(f"{path}: no mistakes", err=True)
    return exits.COMPLETED
