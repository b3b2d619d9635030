"""What the container runtimes are that Docker may know, by the names they are registered under.

Pure, but for `gvisor_version`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN = "?"
_VERSION_SECONDS = 10
_DATE = re.compile(r"\d{8}(?:\.\d+)?")
_SOCKETS = {"fsgofer-host-uds", "host-uds=open", "host-uds=all", "fsgofer-host-uds=true"}


@dataclass(frozen=True, slots=True)
class RegisteredRuntime:
    """How Docker was told of a runtime."""

    path: str
    arguments: tuple[str, ...] = ()
    version: str = UNKNOWN
    """Only of gVisor, where its program is on this machine."""


def is_gvisor(runtime: str) -> bool:
    """Whether it is gVisor: a kernel of its own, in user space."""
    return "runsc" in runtime or "gvisor" in runtime


def is_kata(runtime: str) -> bool:
    """Whether it is Kata Containers: a virtual machine for each container."""
    return "kata" in runtime


def is_strong(runtime: str) -> bool:
    """Whether it puts a kernel of its own between a sandbox and the host's."""
    return is_gvisor(runtime) or is_kata(runtime)


def obstacle(runtime: str, registered: RegisteredRuntime | None = None) -> str | None:
    """Why no sandbox on this runtime would ever reach its controller, and the mend.

    None where one would, as far as is known.
    """
    if is_kata(runtime):
        return (
            f"sandbox.runtime is {runtime}: a sandbox reaches its controller through a unix socket "
            "of the host, and these do not lead into the virtual machines of Kata Containers. Set "
            "sandbox.runtime to runsc."
        )
    # A shim has its arguments in a file that Docker does not tell of.
    if registered is None or not registered.path.startswith("/"):
        return None
    if is_gvisor(runtime) and not _lets_sockets_through(registered.arguments):
        return (
            f"sandbox.runtime is {runtime}, which is registered without --host-uds=open: a sandbox "
            "could not connect to the socket of its controller. Add that to its runtimeArgs in "
            "/etc/docker/daemon.json, and restart the Docker daemon."
        )
    return None


def gvisor_version(path: str) -> str:
    """What the program says of itself, as the date that gVisor's releases are named by."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    found = _DATE.search(said)
    return found[0] if found else UNKNOWN


def _lets_sockets_through(arguments: Sequence[str]) -> bool:
    return any(argument.lstrip("-") in _SOCKETS for argument in arguments)
