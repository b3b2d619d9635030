"""`sandlot ps`, `logs`, `cancel`, `agents` and `models`: what there is, what happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime import clock
from runtime.cli import exits
from runtime.cli.connection import client_of, connected, controller
from runtime.cli.follow import Follower
from runtime.cli.pictures import PictureFolder, unsaved
from runtime.cli.presenter import presenter_for
from runtime.cli.transcript import Transcript
from runtime.cli.wording import duration, one_line, printable
from runtime.client import Model, NetworkEvent, Operation


def announce(text: str) -> None:
    """Say on the side what goes on."""
    typer.echo(printable(text), err=True)


def show_runs(state_dir: Path | None, *, limit: int, as_json: bool) -> None:
    """Print the latest interactions, newest first."""
    with connected(state_dir, announce) as client:
        operations = client.interactions.operations.list(limit)
    if as_json:
        print_json(operations)
        return
    rows = [_run_row(operation) for operation in operations]
    print_table(("ID", "STATUS", "AGENT", "STARTED", "TOOK", "STEPS", "ENVIRONMENT"), rows)


def _run_row(operation: Operation) -> tuple[str, ...]:
    about = operation.metadata
    progress: dict[str, Any] = about.get("progress") or {}
    return (
        operation.id,
        operation.status,
        str(about.get("agent") or about.get("model") or ""),
        ago(about.get("created")),
        duration(float(progress.get("elapsed_seconds") or 0)),
        str(progress.get("steps", "")),
        str(about.get("environment_id") or ""),
    )


def ago(moment: Any) -> str:
    """How long ago a moment of the wire was; nothing where there is none."""
    try:
        seconds = (clock.now() - datetime.fromisoformat(str(moment))).total_seconds()
    except (ValueError, TypeError):
        return ""
    return f"{duration(max(0.0, round(seconds)))} ago".replace(".0 s", " s")


def show_log(state_dir: Path | None, identifier: str, *, follow: bool, output: Path | None) -> int:
    """Print what happened in an interaction; with `follow` also what still happens."""
    console, transcript = Console(), Transcript()
    pictures = PictureFolder(output) if output else unsaved
    presenter = presenter_for(console, transcript, pictures)
    with controller(state_dir, announce) as endpoint, client_of(endpoint) as client:
        interaction = client.interactions.get(identifier)
        if not follow or interaction.done:
            wire = interaction.model_dump(mode="json", exclude_unset=True)
            for item in [*transcript.steps(wire.get("steps") or []), *transcript.ending(wire)]:
                presenter.show(item)
            presenter.note(f"status: {interaction.status}")
            return exits.COMPLETED
        follower = Follower(identifier, presenter, transcript)
        with presenter:
            ending = anyio.run(lambda: follower.follow(endpoint, cancels=False, timeout=None))
        if ending.interrupted:
            raise KeyboardInterrupt
        presenter.note(f"status: {ending.status}")
        return exits.COMPLETED


def cancel(state_dir: Path | None, identifier: str) -> None:
    """Cancel an interaction and print its status then."""
    with connected(state_dir, announce) as client:
        typer.echo(client.interactions.cancel(identifier).status)


def show_agents(state_dir: Path | None, *, as_json: bool) -> None:
    """Print the agents of the controller."""
    with connected(state_dir, announce) as client:
        agents = client.agents.list()
    if as_json:
        print_json(agents)
        return
    rows = [(agent.id, one_line(agent.description or "", 200)) for agent in agents]
    print_table(("AGENT", "DESCRIPTION"), rows)


def show_agent(state_dir: Path | None, name: str) -> None:
    """Print one agent as JSON."""
    with connected(state_dir, announce) as client:
        print_json(client.agents.get(name))


def show_models(state_dir: Path | None, *, as_json: bool) -> None:
    """Print the models that can be asked for by name."""
    with connected(state_dir, announce) as client:
        models = client.models.list()
    if as_json:
        print_json(models)
        return
    rows = [_model_row(model) for model in models]
    print_table(("MODEL", "ABOUT"), rows)


def _model_row(model: Model) -> tuple[str, str]:
    about = model.model_dump(exclude_none=True)
    default = " (default)" if about.get("default") else ""
    return str(model.id or model.name), f"{about.get('description', '')}{default}"


def show_network(state_dir: Path | None, identifier: str, *, limit: int, as_json: bool) -> None:
    """Print an environment's rules and the latest decisions about it, the newest last."""
    with connected(state_dir, announce) as client:
        environment = client.environments.get(identifier)
        events = client.environments.network_events(identifier, limit)
    events.reverse()
    if as_json:
        print_json(events)
        return
    announce(f"network: {rules(environment.model_dump().get('network'))}")
    if not events:
        announce("Nothing was asked for yet.")
        return
    headings = ("TIME", "VERDICT", "HOST", "METHOD", "OUT", "IN", "CREDENTIAL", "REASON")
    print_table(headings, [_event_row(event) for event in events])


def rules(network: Any) -> str:
    """What an environment may reach, in a line."""
    if not isinstance(network, dict):
        return str(network)
    entries = [dict(entry) for entry in network.get("allowlist") or []]
    shown = [
        f"{entry.get('domain')} (credential {entry['credential']})"
        if entry.get("credential")
        else str(entry.get("domain"))
        for entry in entries
    ]
    return ", ".join(shown) or "an empty allowlist: nothing can be reached"


def _event_row(event: NetworkEvent) -> tuple[str, ...]:
    times = f" ×{event.count}" if event.count > 1 else ""
    return (
        event.time[:19].replace("T", " "),
        event.verdict + times,
        f"{event.host}:{event.port}",
        event.method or event.kind,
        str(event.bytes_out),
        str(event.bytes_in),
        event.credential or "",
        event.reason or "",
    )


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """One record, or several, as JSON."""
    one = isinstance(value, BaseModel)
    rows = [
        row.model_dump(mode="json", exclude_unset=True) for row in ([value] if one else [*value])
    ]
    typer.echo(json.dumps(rows[0] if one else rows, indent=2))


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Aligned columns in a terminal; tabs between the fields elsewhere, so that `cut` works."""
    console = Console()
    if not console.is_terminal:
        for row in (headings, *rows):
            typer.echo("\t".join(one_line(field, 300) for field in row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in {"ID", "STATUS"})
    for row in rows:
        table.add_row(*(Text(one_line(field, 300)) for field in row))
    console.print(table)
