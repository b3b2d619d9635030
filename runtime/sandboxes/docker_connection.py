"""One blocking conversation with the Docker daemon, and what the daemon says about itself."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import docker
import docker.errors
import requests
import urllib3.exceptions
from docker.utils import kwargs_from_env, parse_host

from runtime.errors import SandboxUnavailable, StorageFull
from runtime.sandboxes.image_plan import is_disk_full
from runtime.sandboxes.runtimes import RegisteredRuntime, gvisor_version, is_gvisor

_UNIX = "http+unix://"
_SILENCE = (
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class DockerFacts:
    """What matters of `docker version` and `docker info`."""

    version: str
    api_version: str
    kernel: str
    runc: str
    storage_driver: str
    cgroup_version: str
    root_folder: str
    memory_bytes: int
    security_options: tuple[str, ...]
    runtimes: tuple[str, ...]
    ignored_limits: tuple[str, ...]
    """The limits that the daemon accepts and the kernel does not enforce."""
    containerd: str = "?"
    registered: Mapping[str, RegisteredRuntime] = field(
        default_factory=dict[str, RegisteredRuntime]
    )
    """How each runtime was registered."""


@contextmanager
def connected(timeout_seconds: int = 120) -> Generator[docker.DockerClient]:
    """A client for a few calls; what the SDK raises inside becomes ours, as in `translated`."""
    with translated():
        _knock()
        client = docker.from_env(timeout=timeout_seconds)
        try:
            yield client
        finally:
            client.close()


def api_client(timeout_seconds: int) -> docker.APIClient:
    """A connection that speaks the newest API both sides know; use it inside `translated`."""
    _knock()
    return docker.APIClient(**kwargs_from_env(), version="auto", timeout=timeout_seconds)


@contextmanager
def translated() -> Generator[None]:
    """Turn what the SDK raises into our errors.

    Raises SandboxUnavailable when the daemon does not answer or refuses, StorageFull when its
    disk is full.
    """
    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        if is_disk_full(text):
            raise StorageFull("The disk of the Docker daemon is full: free some space.") from error
        raise SandboxUnavailable(f"The Docker daemon refused: {text[:300]}") from error
    except _SILENCE as error:
        raise SandboxUnavailable(_why_silent(str(error))) from error


def docker_facts() -> DockerFacts:
    """Ask the daemon about itself. Raises SandboxUnavailable when it does not answer."""
    with connected(timeout_seconds=15) as client:
        version: dict[str, Any] = client.api.version()
        info: dict[str, Any] = client.api.info()
    found, here = facts_from(version, info), os.uname()
    kernel = found.kernel
    if kernel == here.release:
        kernel = kernel_version(here.release, here.version)
    return replace(found, kernel=kernel, registered=_with_versions(found.registered))


def facts_from(version: dict[str, Any], info: dict[str, Any]) -> DockerFacts:
    """Read the answers of `/version` and `/info`."""
    limits = {
        "memory": "MemoryLimit",
        "swap": "SwapLimit",
        "CPU": "CpuCfsQuota",
        "processes": "PidsLimit",
    }
    return DockerFacts(
        version=str(version.get("Version", "?")),
        api_version=str(version.get("ApiVersion", "0")),
        kernel=str(info.get("KernelVersion", "?")),
        runc=_runc_version(version, info),
        storage_driver=str(info.get("Driver", "?")),
        cgroup_version=str(info.get("CgroupVersion", "1")),
        root_folder=str(info.get("DockerRootDir", "/var/lib/docker")),
        memory_bytes=int(info.get("MemTotal", 0)),
        security_options=tuple(info.get("SecurityOptions") or ()),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        containerd=_component(version, "containerd") or "?",
        registered=registered_runtimes(info),
        ignored_limits=tuple(name for name, key in limits.items() if info.get(key) is False),
    )


def registered_runtimes(info: dict[str, Any]) -> dict[str, RegisteredRuntime]:
    """The runtimes of an answer of `/info`, by name."""
    return {
        name: RegisteredRuntime(
            str(found.get("path", "")), tuple(map(str, found.get("runtimeArgs") or ()))
        )
        for name, found in (info.get("Runtimes") or {}).items()
    }


def kernel_version(release: str, version: str) -> str:
    """The version of a kernel: Debian's release `6.1.0-38-amd64` does not tell which 6.1 it is."""
    found = re.search(r"\bDebian (\d+\.\d+\.\d+)-", version)
    return found[1] if found else release


def _with_versions(registered: Mapping[str, RegisteredRuntime]) -> dict[str, RegisteredRuntime]:
    return {
        name: replace(one, version=gvisor_version(one.path))
        if is_gvisor(name) and one.path.startswith("/")
        else one
        for name, one in registered.items()
    }


def _knock() -> None:
    """Raises what `_SILENCE` has where nobody listens; the SDK would leave an open socket."""
    address = str(parse_host(os.environ.get("DOCKER_HOST")))
    if address.startswith(_UNIX):
        try:
            with socket.socket(socket.AF_UNIX) as door:
                door.connect(address.removeprefix(_UNIX))
        except OSError as error:
            raise docker.errors.DockerException(str(error)) from error


def _runc_version(version: dict[str, Any], info: dict[str, Any]) -> str:
    return _component(version, "runc") or str((info.get("RuncCommit") or {}).get("ID", "?"))


def _component(version: dict[str, Any], name: str) -> str | None:
    """The version of a part of Docker; Debian's packages have their own where the commit is."""
    for component in version.get("Components") or ():
        if component.get("Name") == name:
            commit = str((component.get("Details") or {}).get("GitCommit", ""))
            return commit if "+deb" in commit else str(component.get("Version", "?"))
    return None


def _why_silent(text: str) -> str:
    if "Permission denied" in text:
        return (
            "You may not use the Docker daemon: become root, or have an administrator add you to "
            "the group docker."
        )
    where = os.environ.get("DOCKER_HOST")
    if where:
        return f"The Docker daemon at DOCKER_HOST={where} does not answer: start it, or unset that."
    return "The Docker daemon does not answer: start it with `make setup`."
