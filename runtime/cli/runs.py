"""`sandlot run`: from the task to the answer and the files on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import anyio
import typer
from rich.console import Console
from rich.text import Text

from runtime import clock
from runtime.cli import exits
from runtime.cli.connection import client_of, controller
from runtime.cli.follow import Ending, Follower
from runtime.cli.harvest import Harvest, Snapshot, fetch, made, snapshot
from runtime.cli.orders import RunOrder, check_files, create_params, read_task, target_of
from runtime.cli.pictures import PictureFolder
from runtime.cli.places import WORKSPACE
from runtime.cli.presenter import Presenter, QuietPresenter, presenter_for
from runtime.cli.transcript import Transcript
from runtime.cli.wording import duration, one_line, plural, printable, size
from runtime.client import Client, Interaction
from runtime.client.discovery import Endpoint
from runtime.errors import SandlotError

_ANY_TASK = "Show me around."
_LISTED_FILES = 20
_STYLES = {"completed": "bold green", "requires_action": "bold yellow"}


def run(order: RunOrder) -> int:
    """Do the run and show it; returns the exit status."""
    check_files(order.files)
    order = replace(order, task=read_task(order.task))
    console = Console(stderr=order.as_json)
    announce = _announcer(Console(stderr=True))
    with (
        controller(order.state_dir, announce, leave_at_work=order.background) as endpoint,
        client_of(endpoint) as client,
    ):
        return Run(order, console, endpoint, client).execute()


def _announcer(console: Console) -> Any:
    def announce(text: str) -> None:
        console.print(Text(printable(text), style="dim"))

    return announce


class Run:
    """One run of an agent."""

    def __init__(
        self, order: RunOrder, console: Console, endpoint: Endpoint, client: Client
    ) -> None:
        self._order = order
        self._console = console
        self._endpoint = endpoint
        self._client = client
        self._output = order.output or _default_output(order.agent)
        self._started = clock.monotonic()

    def execute(self) -> int:
        """Start it and follow it, unless it shall run in the background."""
        before = self._prepare_environment()
        started = self._client.interactions.create(**create_params(self._order, self._task()))
        if self._order.background:
            return self._hand_over(started)
        transcript = Transcript()
        ending = self._follow(started, transcript)
        if ending.interrupted and ending.status is None:
            raise KeyboardInterrupt
        final = self._client.interactions.get(started.id)
        harvest = self._harvest(final, before) if transcript.step_count else None
        self._conclude(final, transcript, harvest)
        return _exit_status(final, ending)

    def _task(self) -> str:
        if self._order.task is not None:
            return self._order.task
        agent = self._client.agents.get(self._order.agent)
        if _model_of(agent.model_dump()).startswith("script/"):
            return _ANY_TASK
        raise exits.Misuse(
            f'say what to do: sandlot run {self._order.agent} "TASK" (only an agent that plays a '
            "script needs no task)"
        )

    def _prepare_environment(self) -> Snapshot:
        """Files for an environment that exists go there first; returns what is there then."""
        environment = self._order.environment
        if environment is None:
            return {}
        files = self._client.environments.files
        for file in self._order.files:
            files.upload(environment, target_of(file), file, overwrite=True)
        return snapshot(files.list(environment, WORKSPACE, recursive=True))

    def _hand_over(self, started: Interaction) -> int:
        if self._order.as_json:
            typer.echo(json.dumps(_as_json(started), indent=2))
            return exits.COMPLETED
        typer.echo(started.id)
        typer.echo(f"follow it with: sandlot logs {started.id} --follow", err=True)
        return exits.COMPLETED

    def _follow(self, started: Interaction, transcript: Transcript) -> Ending:
        presenter = self._presenter(transcript)
        follower = Follower(started.id, presenter, transcript)
        with presenter:
            return anyio.run(
                lambda: follower.follow(self._endpoint, cancels=True, timeout=self._order.timeout)
            )

    def _presenter(self, transcript: Transcript) -> Presenter:
        if not self._order.show:
            return QuietPresenter(self._console)
        return presenter_for(self._console, transcript, PictureFolder(self._output / "pictures"))

    def _harvest(self, final: Interaction, before: Snapshot) -> Harvest | None:
        environment = final.environment_id
        if not self._order.download or environment is None:
            return None
        try:
            found = self._client.environments.files.list(environment, WORKSPACE, recursive=True)
            since = None if self._order.environment else final.created
            given = [target_of(file) for file in self._order.files]
            new = made(found, before=before, since=since, given=given)
            return fetch(self._client, environment, new, self._output / "files", self._say)
        except SandlotError as fault:
            self._say(f"the files could not be fetched: {fault.message}")
            return None

    def _conclude(
        self, final: Interaction, transcript: Transcript, harvest: Harvest | None
    ) -> None:
        if not self._order.show and not self._order.as_json and final.output_text:
            typer.echo(_for(sys.stdout, final.output_text))
        for error in final.errors if not self._order.show else []:
            self._say(f"error: {one_line(error.message, 1000)}")
        style = _STYLES.get(final.status, "bold red")
        self._say(_summary(final, transcript, clock.monotonic() - self._started), style)
        if final.environment_id:
            self._say(f"environment: {final.environment_id} (sandlot shell {final.environment_id})")
        for line in _harvest_lines(harvest, final.environment_id):
            self._say(line)
        if self._order.as_json:
            typer.echo(json.dumps(_as_json(final), indent=2))

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style=style), soft_wrap=True)


def _for(stream: IO[str], text: str) -> str:
    """The text as it is for a program that reads it, harmless for a terminal."""
    return printable(text) if stream.isatty() else text


def _default_output(agent: str) -> Path:
    moment = clock.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in agent)
    return Path("output") / f"{name}-{moment}"


def _model_of(agent: dict[str, Any]) -> str:
    config = agent.get("agent_config") or {}
    return str(agent.get("model") or config.get("model") or "")


def _as_json(interaction: Interaction) -> dict[str, Any]:
    wire = interaction.model_dump(mode="json", exclude_unset=True)
    return {**wire, "output_text": interaction.output_text}


def _exit_status(final: Interaction, ending: Ending) -> int:
    if ending.interrupted:
        return exits.INTERRUPTED
    return exits.FAILED if ending.timed_out else exits.of_status(final.status)


def _summary(final: Interaction, transcript: Transcript, seconds: float) -> str:
    parts = [final.status, plural(transcript.step_count, "step"), duration(seconds)]
    if final.usage is not None:
        usage = final.usage
        parts.append(
            f"{usage.total_tokens:,} tokens "
            f"({usage.total_input_tokens:,} in, {usage.total_output_tokens:,} out)"
        )
    return " · ".join(parts)


def _harvest_lines(harvest: Harvest | None, environment: str | None) -> list[str]:
    if harvest is None:
        return []
    listed = harvest.files[:_LISTED_FILES]
    lines = [f"  {one_line(str(path), 200)} ({size(count)})" for path, count in listed]
    if len(harvest.files) > _LISTED_FILES:
        lines.append(f"  and {len(harvest.files) - _LISTED_FILES} more")
    if harvest.files:
        lines.insert(0, f"files: {plural(len(harvest.files), 'file')} in {harvest.folder}")
    if harvest.left:
        lines.append(
            f"{plural(len(harvest.left), 'file')} left in the environment: "
            f"sandlot cp {environment}:{WORKSPACE} DEST"
        )
    return lines
