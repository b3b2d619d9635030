"""What a provider of sandboxes is, the same for Docker and every other back end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from runtime.schema.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """All that decides what a sandbox is. It says nothing of who will use it: bind comes later."""

    sandbox_id: str
    environment_id: str
    image: str
    socket_directory: Path
    """On the host; mounted at `runtime.schema.protocol.SOCKET_DIRECTORY`."""
    settings: SandboxSettings = field(default_factory=SandboxSettings)


@dataclass(frozen=True, slots=True)
class SandboxState:
    """What a provider knows of a sandbox."""

    sandbox_id: str
    environment_id: str
    running: bool
    exit_code: int | None = None
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether sandboxes can be started now, and if not, why."""

    ready: bool
    detail: str


class SandboxProvider(Protocol):
    """Starts and ends sandboxes. Every verb may be repeated without harm."""

    guest_uid: int
    """The user id under which the supervisor of a sandbox will dial."""
    relay_uid: int
    """The user id under which a sandbox's way to the egress proxy will dial."""

    async def readiness(self) -> Readiness:
        """Whether a sandbox could be started now; never raises."""
        ...

    async def start(self, spec: SandboxSpec) -> None:
        """Make the workspace where it is missing, and start the sandbox.

        Raises `SandboxUnavailable` when the back end or the image is not there, `StorageFull`,
        `SandboxFault` when what was made is not what was asked for.
        """
        ...

    async def state(self, sandbox_id: str) -> SandboxState | None:
        """What became of a sandbox; None when there is none of this id."""
        ...

    async def remove(self, sandbox_id: str) -> None:
        """End a sandbox at once; its workspace stays."""
        ...

    async def list(self) -> list[SandboxState]:
        """Every sandbox of this installation."""
        ...

    async def delete_workspace(self, environment_id: str) -> None:
        """Delete what an environment kept. Its sandbox must have been removed."""
        ...

    async def workspaces(self) -> list[str]:
        """The environments that kept something, or whose workspace was begun."""
        ...

    async def workspace_bytes(self, environment_ids: Sequence[str]) -> int:
        """What the workspaces of these environments take on the disk, together."""
        ...

    async def log_tail(self, sandbox_id: str) -> str:
        """The last lines that a sandbox's own processes printed; for diagnosis."""
        ...
