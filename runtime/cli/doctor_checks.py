"""What a machine must have for Sandlot, decided from facts. Pure: finds out nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from runtime.sandboxes.docker_connection import DockerFacts
from runtime.sandboxes.floors import mend_of, open_holes, version_of
from runtime.sandboxes.runtimes import is_gvisor, is_strong, obstacle

GIB = 1024**3
MIN_PYTHON = (3, 11)
MIN_DOCKER_API = (1, 41)
IMAGE_DISK_BYTES = 10 * GIB
LEAST_DISK_BYTES = 2 * GIB
GOOD_MEMORY_BYTES = 4 * GIB
LEAST_MEMORY_BYTES = 1 * GIB


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    name: str
    state: State
    found: str
    mend: str = ""
    """What to do, in one line; empty where there is nothing to do."""


@dataclass(frozen=True, slots=True)
class ImageFact:
    """What is known of the sandbox image: the configured one, else the one of this checkout."""

    name: str
    is_configured: bool = False
    is_present: bool = False
    protocol: int | None = None


@dataclass(frozen=True, slots=True)
class KernelCount:
    """Something of which the kernel gives a user id only so much; sandboxes share their ids."""

    name: str
    """Of the setting."""
    value: int
    wanted: int
    """From here on a sandbox's own memory is used up before; 0 is for what 0 leaves without end."""

    @property
    def is_enough(self) -> bool:
        """Whether one sandbox cannot take what others need."""
        return self.value == 0 if self.wanted == 0 else self.value >= self.wanted


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Everything the checks look at."""

    python: tuple[int, int, int]
    is_root: bool
    in_docker_group: bool
    docker: DockerFacts | None
    docker_problem: str
    """Why `docker` is None."""
    loop_problem: str | None
    disk_free_bytes: int
    disk_folder: str
    image: ImageFact | None
    image_problem: str
    """Why `image` is None."""
    has_base_image: bool
    has_apt: bool
    has_mmdebstrap: bool
    extra_certificates: int
    state_folder: str
    state_problem: str | None
    config_problem: str | None
    protocol: int
    """The guest protocol that this controller speaks."""
    runtime: str = "runc"
    """What sandboxes are configured to run on."""
    shared_counts: tuple[KernelCount, ...] = ()
    """What the kernel counts for all sandboxes together."""
    weaknesses: tuple[str, ...] = ()
    """Why a controller with `sandbox.strict` does not start; none where that is not set."""


def examine(facts: HostFacts) -> list[Check]:
    """All checks, in the order in which a person would mend them."""
    checks = [check(facts) for check in _HOST_CHECKS]
    if facts.docker is not None:
        checks += [check(facts.docker) for check in _DOCKER_CHECKS]
    checks += [*_isolation(facts), *_neighbours(facts), *_strict(facts)]
    return [*checks, *_image(facts), *_base(facts)]


def has_failed(checks: list[Check]) -> bool:
    """Whether Sandlot cannot work here."""
    return any(check.state is State.FAIL for check in checks)


def _python(facts: HostFacts) -> Check:
    found = ".".join(map(str, facts.python))
    if facts.python[:2] >= MIN_PYTHON:
        return Check("Python", State.OK, found)
    return Check("Python", State.FAIL, found, "install Python 3.11 or newer")


def _rights(facts: HostFacts) -> Check:
    if facts.is_root:
        return Check("rights", State.OK, "root")
    if facts.in_docker_group:
        return Check("rights", State.OK, "in the group docker")
    if facts.docker is not None:
        return Check("rights", State.OK, "may use the Docker daemon")
    mend = "become root, or have an administrator run `usermod -aG docker <you>`"
    return Check("rights", State.FAIL, "neither root nor in the group docker", mend)


def _state_folder(facts: HostFacts) -> Check:
    if facts.state_problem is None:
        return Check("state folder", State.OK, facts.state_folder)
    found = f"{facts.state_folder}: {facts.state_problem}"
    return Check("state folder", State.FAIL, found, "set SANDLOT_STATE_DIR to a folder of yours")


def _configuration(facts: HostFacts) -> Check:
    if facts.config_problem is None:
        return Check("configuration", State.OK, "can be read")
    return Check("configuration", State.FAIL, facts.config_problem, "correct the file")


def _disk(facts: HostFacts) -> Check:
    found = f"{facts.disk_free_bytes / GIB:.1f} GB free on the disk of {facts.disk_folder}"
    has_image = facts.image is not None and facts.image.is_present
    wanted = LEAST_DISK_BYTES if has_image else IMAGE_DISK_BYTES
    if facts.disk_free_bytes >= wanted:
        return Check("disk", State.OK, found)
    state = State.FAIL if facts.disk_free_bytes < LEAST_DISK_BYTES else State.WARN
    return Check("disk", state, found, f"free {wanted // GIB} GB; `docker system prune` may help")


def _apt(facts: HostFacts) -> Check:
    if facts.has_apt:
        return Check("apt", State.OK, "there, for `make setup`")
    mend = "install what is missing with this system's own package manager"
    return Check("apt", State.WARN, "not here: `make setup` cannot install packages", mend)


def _certificates(facts: HostFacts) -> Check:
    count = facts.extra_certificates
    found = f"{count} beside the usual ones, used to build the image" if count else "the usual ones"
    return Check("CA certificates", State.OK, found)


def _workspaces(facts: HostFacts) -> Check:
    if facts.loop_problem is None:
        return Check("workspaces", State.OK, "on disk, capped in size (loop devices)")
    found = f"in memory, lost when a sandbox stops: {facts.loop_problem}"
    mend = "run as root with loop devices (`modprobe loop`) and e2fsprogs"
    return Check("workspaces", State.WARN, found, mend)


def _daemon(facts: HostFacts) -> Check:
    if facts.docker is None:
        return Check("Docker daemon", State.FAIL, "cannot be used", facts.docker_problem)
    return Check("Docker daemon", State.OK, f"{facts.docker.version} answers")


def _docker_api(docker: DockerFacts) -> Check:
    found = docker.api_version
    if version_of(found) >= MIN_DOCKER_API:
        return Check("Docker API", State.OK, found)
    return Check("Docker API", State.FAIL, found, "install Docker 20.10 or newer (API 1.41)")


def _floor(name: str, component: str, version: str) -> Check:
    """Whether a part is below a version that is known to be safe, and why."""
    holes = open_holes(component, version)
    if not version_of(version):
        return Check(name, State.WARN, "its version is not told", "look it up, and update it")
    if not holes:
        return Check(name, State.OK, version)
    found = "; ".join(f"{hole.effect} ({hole.cves})" for hole in holes)
    return Check(name, State.WARN, f"{version}: {found}", mend_of(holes))


def _docker_floor(docker: DockerFacts) -> Check:
    return _floor("Docker's patches", "docker", docker.version)


def _containerd_floor(docker: DockerFacts) -> Check:
    return _floor("containerd's patches", "containerd", docker.containerd)


def _runc_floor(docker: DockerFacts) -> Check:
    return _floor("runc's patches", "runc", docker.runc)


def _kernel_floor(docker: DockerFacts) -> Check:
    return _floor("kernel", "kernel", docker.kernel)


def _storage(docker: DockerFacts) -> Check:
    driver = docker.storage_driver
    if driver in {"overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs"}:
        return Check("storage driver", State.OK, driver)
    mend = "use overlay2: every start copies the whole image otherwise"
    return Check("storage driver", State.WARN, driver, mend)


def _cgroups(docker: DockerFacts) -> Check:
    name = f"version {docker.cgroup_version}"
    ignored = [limit for limit in docker.ignored_limits if limit != "swap"]
    if ignored:
        found = f"{name} without limits on {', '.join(ignored)}"
        mend = "switch the controllers on in the kernel's command line (cgroup_enable=memory)"
        return Check("cgroups", State.FAIL, found, mend)
    if "swap" in docker.ignored_limits:
        mend = "boot with swapaccount=1, or switch swap off"
        return Check("cgroups", State.WARN, f"{name} without a limit on swap", mend)
    return Check("cgroups", State.OK, name)


def _seccomp(docker: DockerFacts) -> Check:
    if any(option.startswith("name=seccomp") for option in docker.security_options):
        return Check("seccomp", State.OK, "supported")
    mend = "use a kernel with CONFIG_SECCOMP_FILTER and a Docker that is built with it"
    return Check("seccomp", State.FAIL, "the daemon cannot filter system calls", mend)


def _isolation(facts: HostFacts) -> Iterator[Check]:
    """What stands between a sandbox and the host, as it is configured."""
    docker, name, title = facts.docker, facts.runtime, "isolation"
    if docker is None:
        return
    used = docker.registered.get(name)
    if problem := obstacle(name, used):
        yield Check(title, State.FAIL, problem, "see docs/security.md")
    elif name not in docker.runtimes:
        found = f"Docker knows no runtime {name}, which sandbox.runtime is"
        yield Check(title, State.FAIL, found, f"register {name} in /etc/docker/daemon.json")
    elif is_strong(name):
        yield Check(title, State.OK, name)
    elif "runsc" in docker.runtimes:
        yield Check(title, State.OK, f"{name}; gVisor (runsc) is there for those who are strangers")
    else:
        yield Check(title, State.OK, f"{name}; install gVisor for tenants who are strangers")
    if used is not None and is_gvisor(name):
        yield _floor("gVisor's patches", "runsc", used.version)


def _neighbours(facts: HostFacts) -> Iterator[Check]:
    """What one sandbox can use up for the others, where all share the host's kernel."""
    if facts.docker is None or is_strong(facts.runtime) or not facts.shared_counts:
        return
    short = [count for count in facts.shared_counts if not count.is_enough]
    if not short:
        yield Check("neighbours", State.OK, "what sandboxes share in the kernel is ample")
        return
    found = ", ".join(f"{count.name}={count.value}" for count in short)
    mend = "sysctl -w " + " ".join(f"{count.name}={count.wanted}" for count in short)
    yield Check("neighbours", State.WARN, f"one sandbox can use up for all: {found}", mend)


def _strict(facts: HostFacts) -> Iterator[Check]:
    """What keeps a strict controller from starting."""
    for reason in facts.weaknesses:
        yield Check("sandbox.strict", State.FAIL, reason, "see docs/security.md")


def _memory(docker: DockerFacts) -> Check:
    found = f"{docker.memory_bytes / GIB:.1f} GB"
    if docker.memory_bytes >= GOOD_MEMORY_BYTES:
        return Check("memory", State.OK, found)
    state = State.FAIL if docker.memory_bytes < LEAST_MEMORY_BYTES else State.WARN
    return Check("memory", state, found, "use a machine with 4 GB or more")


_HOST_CHECKS: tuple[Callable[[HostFacts], Check], ...] = (
    _python,
    _rights,
    _state_folder,
    _configuration,
    _disk,
    _apt,
    _certificates,
    _workspaces,
    _daemon,
)
_DOCKER_CHECKS: tuple[Callable[[DockerFacts], Check], ...] = (
    _docker_api,
    _storage,
    _cgroups,
    _seccomp,
    _memory,
    _docker_floor,
    _containerd_floor,
    _runc_floor,
    _kernel_floor,
)


def _image(facts: HostFacts) -> Iterator[Check]:
    name, image = "sandbox image", facts.image
    if facts.docker is None:
        return
    if image is None:
        yield Check(name, State.FAIL, facts.image_problem)
    elif image.is_present and image.protocol == facts.protocol:
        yield Check(name, State.OK, f"{image.name}, protocol {image.protocol}")
    elif image.is_present:
        spoken = "none" if image.protocol is None else image.protocol
        found = f"{image.name} speaks guest protocol {spoken}, this controller {facts.protocol}"
        mend = "take sandbox.image out of sandlot.yaml" if image.is_configured else "`make image`"
        yield Check(name, State.FAIL, found, mend)
    elif image.is_configured:
        mend = "pull it, or take sandbox.image out of sandlot.yaml"
        yield Check(name, State.FAIL, f"{image.name} is not here", mend)
    else:
        yield Check(name, State.WARN, f"{image.name} is not built yet", "run `make image`")


def _base(facts: HostFacts) -> Iterator[Check]:
    """Only of interest as long as there is something to build."""
    if facts.image is None or facts.image.is_present or facts.image.is_configured:
        return
    if facts.has_base_image:
        yield Check("base image", State.OK, "here")
    elif facts.has_mmdebstrap:
        yield Check("base image", State.OK, "pulled, or else bootstrapped by mmdebstrap")
    else:
        found = "not here; without mmdebstrap it must come from a registry"
        yield Check("base image", State.WARN, found, "apt-get install mmdebstrap")
