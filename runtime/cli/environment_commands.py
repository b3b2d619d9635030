"""What can be typed after `sandlot environments`, with its help."""

from __future__ import annotations

from typing import Annotated

import typer

from runtime.cli.options import SETTINGS, AsJson, StateDir

environments = typer.Typer(
    help="Environments: workspaces that outlive interactions, and the files in them.", **SETTINGS
)


@environments.command(name="list", epilog="Example: `sandlot environments list`")
def list_all(as_json: AsJson = False, state_dir: StateDir = None) -> None:
    """List the environments, the newest first."""
    from runtime.cli import environments as acts

    acts.show_all(state_dir, as_json=as_json)


@environments.command(name="show", epilog="Example: `sandlot environments show 0198f2…`")
def show(
    env: Annotated[str, typer.Argument(metavar="ENV", help="The id of an environment.")],
    state_dir: StateDir = None,
) -> None:
    """Print one environment as JSON."""
    from runtime.cli import environments as acts

    acts.show(state_dir, env)


@environments.command(name="delete", epilog="Example: `sandlot environments delete 0198f2…`")
def delete(
    envs: Annotated[list[str], typer.Argument(metavar="ENV...", help="Ids of environments.")],
    state_dir: StateDir = None,
) -> None:
    """Delete environments with their sandboxes and all their files; that cannot be undone."""
    from runtime.cli import environments as acts

    acts.delete(state_dir, envs)
