"""What is too weak to keep strangers apart: why a strict controller does not start. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.sandboxes.docker_connection import DockerFacts
from runtime.sandboxes.floors import mend_of, open_holes
from runtime.sandboxes.runtimes import is_gvisor, is_strong, obstacle
from runtime.schema.settings import SandboxSettings


def weaknesses(settings: SandboxSettings, docker: DockerFacts) -> list[str]:
    """Each reason with its mend, as a sentence; empty where a strict controller may start."""
    return [*_of_runtime(settings, docker), *_of_daemon(docker), *_of_versions(settings, docker)]


def _of_runtime(settings: SandboxSettings, docker: DockerFacts) -> Iterator[str]:
    name = settings.runtime
    if not is_strong(name):
        yield (
            f"sandbox.runtime is {name}: sandboxes share the host's kernel. Install gVisor, "
            "register it with Docker, and set sandbox.runtime to runsc (docs/security.md)."
        )
    if problem := obstacle(name, docker.registered.get(name)):
        yield problem
    if name not in docker.runtimes:
        known = ", ".join(docker.runtimes) or "none"
        yield (
            f"Docker knows no runtime {name}, only: {known}. Register it in "
            "/etc/docker/daemon.json under `runtimes`."
        )


def _of_daemon(docker: DockerFacts) -> Iterator[str]:
    if not any(option.startswith("name=seccomp") for option in docker.security_options):
        yield "Docker cannot filter system calls. Use a daemon and a kernel with seccomp."
    if docker.ignored_limits:
        yield (
            f"Limits on {', '.join(docker.ignored_limits)} are accepted and not enforced. Switch "
            "the cgroup controllers on in the kernel's command line."
        )


def _of_versions(settings: SandboxSettings, docker: DockerFacts) -> Iterator[str]:
    versions = {"docker": docker.version, "containerd": docker.containerd}
    if not is_strong(settings.runtime):
        versions |= {"runc": docker.runc, "kernel": docker.kernel}
    used = docker.registered.get(settings.runtime)
    if is_gvisor(settings.runtime) and used is not None:
        versions["runsc"] = used.version
    for component, version in versions.items():
        if holes := open_holes(component, version):
            cves = "; ".join(hole.cves for hole in holes)
            yield f"{component} {version} has {cves}: {mend_of(holes)}."
