"""Sandboxes as Docker containers. Blocking calls go through one bounded pool of threads.

The archive API (`docker cp`) is never used: bytes travel through the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import docker
import docker.errors

from runtime.errors import SandboxFault, SandboxUnavailable, SandlotError
from runtime.sandboxes.docker_connection import api_client, registered_runtimes, translated
from runtime.sandboxes.docker_plan import (
    LABEL,
    WorkspaceMount,
    container_config,
    container_name,
    mismatches,
)
from runtime.sandboxes.port import Readiness, SandboxSpec, SandboxState
from runtime.sandboxes.runtimes import is_strong, obstacle
from runtime.sandboxes.workspaces import AGENT_UID, LoopWorkspaces, storage_error
from runtime.schema.settings import SandboxSettings

CALL_SECONDS = 60
PARALLEL_CALLS = 8
_VOLUME = "sandlot-"

T = TypeVar("T")


class DockerProvider:
    """The provider on one Docker daemon. `install_id` marks what is ours."""

    guest_uid = 900
    relay_uid = 901

    def __init__(self, install_id: str, workspaces: Path, seccomp: str) -> None:
        self._install_id = install_id
        self._seccomp = seccomp
        self._workspaces = LoopWorkspaces(workspaces) if not LoopWorkspaces.problem() else None
        self._limiter = anyio.CapacityLimiter(PARALLEL_CALLS)
        self._client: docker.APIClient | None = None
        self._good_runtimes: set[str] = set()

    async def readiness(self) -> Readiness:
        """Whether the daemon answers."""
        try:
            version = await self._call(lambda client: client.version())
        except SandboxUnavailable as error:
            return Readiness(False, error.message)
        return Readiness(True, f"Docker {version.get('Version', '?')}")

    async def start(self, spec: SandboxSpec) -> None:
        """Make the workspace and the container, compare, start. Raises as the port says."""
        await self._check_runtime(spec.settings.runtime)
        workspace = await self._workspace(spec.environment_id, spec.settings)
        config = container_config(spec, workspace, self._install_id, self._seccomp)
        try:
            await self._call(partial(_create_and_start, config=config, spec=spec))
        except SandlotError:
            await self._unmount(spec.environment_id)
            raise

    async def _check_runtime(self, runtime: str) -> None:
        """Raise `SandboxUnavailable` where a sandbox could not be reached, instead of waiting."""
        if not is_strong(runtime) or runtime in self._good_runtimes:
            return
        info = await self._call(lambda client: client.info())
        if problem := obstacle(runtime, registered_runtimes(info).get(runtime)):
            raise SandboxUnavailable(problem)
        self._good_runtimes.add(runtime)

    async def state(self, sandbox_id: str) -> SandboxState | None:
        """What Docker says of the container."""
        name = container_name(sandbox_id)
        try:
            found = await self._call(lambda client: client.inspect_container(name))
        except Missing:
            return None
        return _state(found["Config"]["Labels"], found["State"])

    async def remove(self, sandbox_id: str) -> None:
        """Kill and remove the container, and unmount its workspace."""
        name = container_name(sandbox_id)
        try:
            found = await self._call(lambda client: client.inspect_container(name))
        except Missing:
            return
        with suppress(Missing):
            await self._call(lambda client: client.remove_container(name, force=True, v=False))
        environment_id = found["Config"]["Labels"].get(f"{LABEL}.environment", "")
        await self._unmount(environment_id)

    async def _unmount(self, environment_id: str) -> None:
        if self._workspaces is not None and environment_id:
            await self._on_disk(partial(self._workspaces.unmount, environment_id))

    async def list(self) -> list[SandboxState]:
        """Every container with our label, running or not."""
        label = f"{LABEL}.install={self._install_id}"
        found = await self._call(
            lambda client: client.containers(all=True, filters={"label": label})
        )
        return [
            _state(row["Labels"], {"Running": row["State"] == "running"})
            for row in found
            if f"{LABEL}.sandbox" in row["Labels"]
        ]

    async def workspace_bytes(self, environment_ids: Sequence[str]) -> int:
        """What the workspaces of these environments take on the disk, together."""
        if self._workspaces is None:
            return 0
        count = partial(self._workspaces.stored_bytes, environment_ids)
        return await anyio.to_thread.run_sync(count)

    async def workspaces(self) -> list[str]:
        """The environments of image files or volumes."""
        if self._workspaces is not None:
            return await self._on_disk(self._workspaces.kept)
        label = f"{LABEL}.install={self._install_id}"
        found = await self._call(lambda client: client.volumes(filters={"label": label}))
        names = [str(row["Name"]) for row in found["Volumes"] or ()]
        return [name.removeprefix(_VOLUME) for name in names if name.startswith(_VOLUME)]

    async def delete_workspace(self, environment_id: str) -> None:
        """Delete the image file or the volume."""
        if self._workspaces is not None:
            await self._on_disk(partial(self._workspaces.delete, environment_id))
            return
        name = _volume_name(environment_id)
        try:
            await self._call(lambda client: client.remove_volume(name, force=True))
        except Missing:
            return

    async def log_tail(self, sandbox_id: str) -> str:
        """The last 50 lines of the container's log."""
        name = container_name(sandbox_id)
        try:
            raw = await self._call(lambda client: client.logs(name, tail=50))
        except Missing:
            return ""
        return bytes(raw).decode("utf-8", "replace")

    async def aclose(self) -> None:
        """Close the connections to the daemon."""
        if self._client is not None:
            self._client.close()

    async def _workspace(self, environment_id: str, settings: SandboxSettings) -> WorkspaceMount:
        size, inodes = settings.workspace_bytes, settings.workspace_inodes
        if self._workspaces is not None:
            return await self._on_disk(
                partial(self._workspaces.mount, environment_id, size, inodes)
            )
        options = f"size={size},nr_inodes={inodes},uid={AGENT_UID},gid={AGENT_UID},mode=0755"
        name = _volume_name(environment_id)
        await self._call(
            lambda client: client.create_volume(
                name,
                driver="local",
                driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"{options},nosuid,nodev"},
                labels={f"{LABEL}.install": self._install_id},
            )
        )
        return WorkspaceMount("volume", name)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        except OSError as error:
            raise storage_error(error) from error

    async def _call(self, verb: Callable[[docker.APIClient], T]) -> T:
        return await anyio.to_thread.run_sync(
            partial(self._call_blocking, verb), limiter=self._limiter, abandon_on_cancel=False
        )

    def _call_blocking(self, verb: Callable[[docker.APIClient], T]) -> T:
        with translated():
            if self._client is None:
                self._client = api_client(CALL_SECONDS)
            try:
                return verb(self._client)
            except docker.errors.NotFound as error:
                raise Missing(str(error.explanation or error)) from error


class Missing(SandboxUnavailable):
    """Docker has no such container, volume or image."""


def _create_and_start(
    client: docker.APIClient, *, config: dict[str, Any], spec: SandboxSpec
) -> None:
    name = container_name(spec.sandbox_id)
    try:
        created = client.create_container_from_config(config, name)
    except docker.errors.ImageNotFound as error:
        raise SandboxUnavailable(
            f"The sandbox image {spec.image} is not there. Build it: `sandlot image build`."
        ) from error
    container: str = created["Id"]
    wrong = mismatches(config, client.inspect_container(container))
    if wrong:
        client.remove_container(container, force=True)
        raise SandboxFault(f"Docker made another container than asked for: {'; '.join(wrong)}.")
    try:
        client.start(container)
    except docker.errors.APIError:
        client.remove_container(container, force=True)
        raise


def _state(labels: dict[str, str], state: dict[str, Any]) -> SandboxState:
    return SandboxState(
        sandbox_id=labels.get(f"{LABEL}.sandbox", ""),
        environment_id=labels.get(f"{LABEL}.environment", ""),
        running=bool(state.get("Running")),
        exit_code=state.get("ExitCode"),
        out_of_memory=bool(state.get("OOMKilled")),
    )


def _volume_name(environment_id: str) -> str:
    return f"{_VOLUME}{environment_id}"
