"""Containers of the sandbox image for floors: with a sandbox's limits, or as bare as can be."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors

from bench.failures import NotMeasured
from runtime.cli.compose import SECCOMP
from runtime.sandboxes.docker_plan import WorkspaceMount, container_config, mismatches
from runtime.sandboxes.port import SandboxSpec
from runtime.sandboxes.workspaces import AGENT_UID
from runtime.schema.settings import SandboxSettings

LABEL = "dev.sandlot.bench"
PYTHON = "/opt/sandlot/bin/python"
RUN_SECONDS = 300
_CODE = Path(__file__).parent
_CODE_INSIDE = "/opt/measure/bench"
_LOG_LINES = 30


class Containers:
    """Makes containers and removes every one of them. `folder` is for what they mount."""

    def __init__(self, image: str, folder: Path) -> None:
        self._image = image
        self._folder = folder
        self._mark = secrets.token_hex(4)
        self._client = docker.APIClient(timeout=RUN_SECONDS)

    def close(self) -> None:
        """Remove what is left."""
        filters = {"label": f"{LABEL}={self._mark}"}
        for row in self._client.containers(all=True, filters=filters):
            self._remove(row["Id"])
        self._client.close()

    def bare_run(self) -> float:
        """Seconds of `docker run --rm --network none IMAGE` with a program that does nothing."""
        command = ["docker", "run", "--rm", "--network", "none", "--label", f"{LABEL}={self._mark}"]
        command += ["--entrypoint", "/bin/true", self._image]
        started = time.perf_counter()
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=RUN_SECONDS)
        except FileNotFoundError as error:
            raise NotMeasured("The command `docker` is not there: run `make setup`.") from error
        except subprocess.CalledProcessError as error:
            raise NotMeasured(f"docker run failed: {error.stderr.decode()[-300:]}") from error
        return time.perf_counter() - started

    def plain_start(self, command: Sequence[str]) -> float:
        """Seconds until a program has run in a container as `docker run --network none` makes it.

        Raises `NotMeasured` when the program fails.
        """
        host = {"NetworkMode": "none"}
        config = {"Image": self._image, "Entrypoint": list(command), "HostConfig": host}
        return self._timed({**config, "Labels": {LABEL: self._mark}}, is_compared=False)

    def hardened_start(self, command: Sequence[str]) -> float:
        """The same in a container as a sandbox is, with what was made compared to the plan."""
        return self._timed(self._sandbox_config(command, "0:0"), is_compared=True)

    def _timed(self, config: dict[str, Any], *, is_compared: bool) -> float:
        started = time.perf_counter()
        name: str = self._client.create_container_from_config(config)["Id"]
        try:
            wrong = mismatches(config, self._client.inspect_container(name)) if is_compared else []
            self._client.start(name)
            status = self._client.wait(name, timeout=RUN_SECONDS)["StatusCode"]
            seconds = time.perf_counter() - started
        finally:
            self._remove(name)
        if status or wrong:
            raise NotMeasured(f"A container ended with status {status}; {'; '.join(wrong)}")
        return seconds

    def run_inside(self, module: str, *arguments: str, user: str) -> Any:
        """Run a module of `bench.inside` under a sandbox's limits; what it prints, as JSON.

        Raises `NotMeasured` when it fails.
        """
        with self._running([PYTHON, "-m", f"bench.inside.{module}", *arguments], user) as name:
            status = self._client.wait(name, timeout=RUN_SECONDS)["StatusCode"]
            if status != 0:
                words = self._client.logs(name, tail=_LOG_LINES).decode("utf-8", "replace")
                raise NotMeasured(f"bench.inside.{module} ended with status {status}: {words}")
            printed = self._client.logs(name, stdout=True, stderr=False)
        return json.loads(printed.decode().strip().splitlines()[-1])

    @contextmanager
    def idle(self) -> Generator[str]:
        """A container under a sandbox's limits that sleeps; its id."""
        with self._running(["/usr/bin/sleep", "infinity"], "0:0") as name:
            yield name

    def memory(self, name: str) -> dict[str, int]:
        """What `docker stats` is made of: bytes of memory of a container, by kind."""
        stats = self._client.stats(name, stream=False, one_shot=True)
        return stats["memory_stats"]

    @contextmanager
    def _running(self, command: Sequence[str], user: str) -> Generator[str]:
        name: str = self._client.create_container_from_config(self._config(command, user))["Id"]
        try:
            self._client.start(name)
            yield name
        finally:
            self._remove(name)

    def _config(self, command: Sequence[str], user: str) -> dict[str, Any]:
        """A sandbox's, with the code of `bench.inside` beside."""
        config = self._sandbox_config(command, user)
        config["HostConfig"]["Mounts"].append(
            {"Type": "bind", "Source": str(_CODE), "Target": _CODE_INSIDE, "ReadOnly": True}
        )
        python_path = f"PYTHONPATH={Path(_CODE_INSIDE).parent}"
        config["Env"] += [python_path, "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp"]
        return config

    def _sandbox_config(self, command: Sequence[str], user: str) -> dict[str, Any]:
        sockets, workspace = self._folder / "sockets", self._folder / "workspace"
        for folder in (sockets, workspace):
            folder.mkdir(exist_ok=True)
        os.chown(workspace, AGENT_UID, AGENT_UID)
        spec = SandboxSpec(self._mark, self._mark, self._image, sockets, SandboxSettings())
        seccomp = SECCOMP.read_text(encoding="utf-8")
        mount = WorkspaceMount("bind", str(workspace))
        config = container_config(spec, mount, f"bench-{self._mark}", seccomp)
        config["Labels"][LABEL] = self._mark
        return {**config, "Entrypoint": list(command), "User": user}

    def _remove(self, name: str) -> None:
        try:
            self._client.remove_container(name, force=True)
        except docker.errors.NotFound:
            return
