"""A real controller in a process of its own, on a state folder of its own, with real Docker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from runtime.client import Client, Interaction, NetworkEvent
from runtime.client.discovery import StateFolder, find_key
from runtime.client.discovery import running_controller as running_controller_on
from runtime.schema.steps import as_result

START_SECONDS = 60
AGENT = "antigravity"
INLINE = {"type": "antigravity", "model": "script/inline"}


class RunningController:
    """A controller under test and how to reach it."""

    def __init__(self, process: subprocess.Popen[bytes], folder: StateFolder, client: Client):
        self.process = process
        self.folder = folder
        self.client = client
        found = running_controller_on(folder)
        assert found is not None
        self.url = found.url
        key = find_key(folder, {})
        assert key is not None
        self.api_key = key

    def run(self, prompt: str, environment: Any = "remote", **more: Any) -> Interaction:
        """Run a prompt that is its own script, and wait for it."""
        return self.client.interactions.create(
            agent=AGENT, agent_config=INLINE, input=prompt, environment=environment, **more
        )

    def start(self, prompt: str, environment: Any = "remote") -> Interaction:
        """The same in the background."""
        return self.run(prompt, environment, background=True)

    def wait_for_step(self, interaction_id: str, text: str) -> None:
        """Until the log of a run holds `text`."""
        for event in self.client.interactions.stream(interaction_id):
            if text in str(event):
                return
        raise AssertionError(f"{text!r} never came")

    def wait_for_file(self, run: Interaction, name: str) -> None:
        """Until what a run does has made a file in its workspace."""
        assert run.environment_id is not None
        self.wait_for_step(run.id, "code_execution_call")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = self.client.environments.files.list(run.environment_id, "workspace")
            if name in {entry.name for entry in found}:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name!r} was never made")

    def decisions(self, run: Interaction, *hosts: str) -> list[NetworkEvent]:
        """What became of a run's requests, once those to `hosts` are over and told."""
        assert run.environment_id is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            found = self.client.environments.network_events(run.environment_id)
            if {*hosts} <= {event.host for event in found} or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def containers(self) -> list[Any]:
        """The containers of this controller."""
        label = f"dev.sandlot.install={(self.folder.path / 'install_id').read_text().strip()}"
        client = docker.from_env()
        try:
            return client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
        finally:
            client.close()

    def sandbox_of(self, environment_id: str) -> Any:
        """The container of an environment."""
        (found,) = [
            one
            for one in self.containers()
            if one.labels["dev.sandlot.environment"] == environment_id
        ]
        return found


@contextmanager
def running_controller(
    state_dir: Path, config: str = "", environ: dict[str, str] | None = None
) -> Generator[RunningController]:
    """`sandlot serve` on `state_dir` with the text of a configuration; stopped at the end."""
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / "test-config.yaml"
    path.write_text(config or "{}\n", encoding="utf-8")
    command = [sys.executable, "-m", "runtime.cli", "serve", "--port", "0"]
    options = ["--state-dir", str(state_dir), "--config", str(path)]
    log = (state_dir / "test.log").open("wb")
    env = {**os.environ, **(environ or {})}
    process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=env)
    folder = StateFolder(state_dir)
    try:
        with _connected(process, folder) as client:
            yield RunningController(process, folder, client)
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def _connected(process: subprocess.Popen[bytes], folder: StateFolder) -> Client:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        running = running_controller_on(folder)
        if running is not None and running.pid == process.pid:
            return Client(running.url, find_key(folder, {}))
        time.sleep(0.05)
    raise AssertionError((folder.path / "test.log").read_text(encoding="utf-8"))


def results(interaction: Interaction) -> list[str]:
    """The text of every tool result."""
    return [found[1].text for step in interaction.steps if (found := as_result(step))]


def fence(language: str, *blocks: str) -> str:
    """A prompt of code blocks."""
    return "\n".join(f"```{language}\n{block}\n```" for block in blocks)
