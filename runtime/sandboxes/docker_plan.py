"""Decides what a sandbox container is, and checks that Docker made what was decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.sandboxes.port import SandboxSpec
from runtime.sandboxes.runtimes import is_gvisor
from runtime.sandboxes.seccomp_plan import for_gvisor, with_browser_sandbox
from runtime.schema.protocol import SOCKET_DIRECTORY
from runtime.schema.settings import SandboxSettings

LABEL = "dev.sandlot"
ENTRYPOINT = ["/opt/sandlot/bin/python", "-I", "-m", "runtime.guest"]
START_CAPABILITIES = ["KILL", "SETGID", "SETPCAP", "SETUID"]
"""What the first process needs to split user ids; every other process has none."""
TMP_BYTES = 512 * 1024**2
SHARED_MEMORY_BYTES = 256 * 1024**2
_TMP_SHARE, _SHARED_MEMORY_SHARE = 4, 8
"""Of a sandbox's memory, which both are charged to: filling them must not starve the guest."""
TMP_FILES = 100_000
_BYTES_PER_TMP_FILE = 16 * 1024
"""An empty file takes about 1 KiB of the sandbox's memory."""
MESSAGE_QUEUES = 32
_PAGE_BYTES = 4096
_GVISOR_THREADS, _GVISOR_THREADS_EACH = 256, 4


@dataclass(frozen=True, slots=True)
class WorkspaceMount:
    """Where the workspace comes from: a host folder (`bind`) or a Docker volume (`volume`)."""

    kind: str
    source: str


def container_name(sandbox_id: str) -> str:
    """The name of a sandbox's container."""
    return f"sandlot-{sandbox_id}"


def container_config(
    spec: SandboxSpec, workspace: WorkspaceMount, install_id: str, seccomp: str
) -> dict[str, Any]:
    """The body of Docker's create call (API 1.41); `seccomp` is the profile for all processes."""
    if spec.settings.browser_sandbox:
        seccomp = with_browser_sandbox(seccomp)
    if is_gvisor(spec.settings.runtime):
        seccomp = for_gvisor(seccomp)
    return {
        "Image": spec.image,
        "User": "0:0",
        "WorkingDir": "/workspace",
        "Entrypoint": ENTRYPOINT,
        "Cmd": [],
        "Env": ["SANDLOT_SPLIT_USERS=1"],
        "StopSignal": "SIGTERM",
        "StopTimeout": 5,
        "NetworkDisabled": True,
        "Tty": False,
        "OpenStdin": False,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {
            f"{LABEL}.install": install_id,
            f"{LABEL}.sandbox": spec.sandbox_id,
            f"{LABEL}.environment": spec.environment_id,
        },
        "HostConfig": _host_config(spec, workspace, seccomp),
    }


def _host_config(spec: SandboxSpec, workspace: WorkspaceMount, seccomp: str) -> dict[str, Any]:
    limits = spec.settings
    tmp = min(TMP_BYTES, limits.memory_bytes // _TMP_SHARE)
    shared = min(SHARED_MEMORY_BYTES, limits.memory_bytes // _SHARED_MEMORY_SHARE)
    inodes = min(TMP_FILES, limits.memory_bytes // _BYTES_PER_TMP_FILE)
    return {
        "Runtime": limits.runtime,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": START_CAPABILITIES,
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
        "ReadonlyRootfs": True,
        "Tmpfs": {
            "/tmp": f"rw,exec,nosuid,nodev,size={tmp},nr_inodes={inodes},mode=1777",
            "/run": "rw,nosuid,nodev,noexec,size=16m,nr_inodes=4k,mode=0755",
            # What Docker makes for /dev/shm by itself has a size, but no limit on files.
            "/dev/shm": f"rw,nosuid,nodev,noexec,size={shared},nr_inodes=16k",
        },
        "Mounts": _mounts(spec, workspace),
        "NetworkMode": "none",
        "PublishAllPorts": False,
        "PortBindings": {},
        "Dns": [],
        "ExtraHosts": [],
        "Links": [],
        "Binds": [],
        "Devices": [],
        "DeviceRequests": [],
        "DeviceCgroupRules": [],
        "GroupAdd": [],
        "Sysctls": _kernel_settings(limits),
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ShmSize": shared,
        "Init": False,
        "PidsLimit": _host_threads(limits),
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "OomKillDisable": False,
        "OomScoreAdj": 500,
        "NanoCpus": int(limits.cpus * 1e9),
        "CpuShares": 512,
        "Ulimits": _ulimits(limits),
        "LogConfig": {"Type": "local", "Config": {"max-size": "5m", "max-file": "2"}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
    }


def _mounts(spec: SandboxSpec, workspace: WorkspaceMount) -> list[dict[str, Any]]:
    sockets: dict[str, Any] = {
        "Type": "bind",
        "Source": str(spec.socket_directory),
        "Target": SOCKET_DIRECTORY,
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate"},
    }
    files: dict[str, Any] = {
        "Type": workspace.kind,
        "Source": workspace.source,
        "Target": "/workspace",
        "ReadOnly": False,
    }
    if workspace.kind == "bind":
        files["BindOptions"] = {"Propagation": "rprivate"}
    return [sockets, files]


def _host_threads(settings: SandboxSettings) -> int:
    """How many threads of the host: those of gVisor's kernel are more than those that it runs."""
    if not is_gvisor(settings.runtime):
        return settings.pids
    return settings.pids * _GVISOR_THREADS_EACH + _GVISOR_THREADS


def _kernel_settings(settings: SandboxSettings) -> dict[str, str]:
    """Bounds of memory that belongs to no process, so that killing one would free none of it.

    gVisor has such things in its own process, and does not know these settings.
    """
    if is_gvisor(settings.runtime):
        return {}
    return {
        "kernel.shm_rmid_forced": "1",
        "kernel.shmall": str(settings.memory_bytes // _SHARED_MEMORY_SHARE // _PAGE_BYTES),
        "kernel.msgmni": str(MESSAGE_QUEUES),
    }


def _ulimits(settings: SandboxSettings) -> list[dict[str, Any]]:
    limits = {
        "nofile": settings.open_files,
        "core": 0,
        "memlock": 65536,
        "fsize": settings.file_size_bytes,
        "msgqueue": 0,
    }
    if is_gvisor(settings.runtime):
        # Only there are a user's processes counted for each sandbox, not for the whole host.
        limits["nproc"] = settings.pids
    return [{"Name": name, "Soft": value, "Hard": value} for name, value in limits.items()]


_COMPARED = (
    "Privileged",
    "ReadonlyRootfs",
    "NetworkMode",
    "PublishAllPorts",
    "IpcMode",
    "CgroupnsMode",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "CpuShares",
    "PidsLimit",
    "OomKillDisable",
    "OomScoreAdj",
    "Runtime",
    "ShmSize",
    "Tmpfs",
    "LogConfig",
)
_MUST_BE_EMPTY = (
    "Binds",
    "Devices",
    "DeviceRequests",
    "DeviceCgroupRules",
    "PortBindings",
    "Links",
    "ExtraHosts",
    "VolumesFrom",
    "GroupAdd",
    "Dns",
)
_SHARED_NAMESPACES = ("PidMode", "UTSMode", "UsernsMode")
_MASKED = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}
_READ_ONLY = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"}
_SAME_CONFIG = ("Image", "User", "Entrypoint", "WorkingDir", "NetworkDisabled", "Tty", "OpenStdin")


def mismatches(config: dict[str, Any], inspected: dict[str, Any]) -> list[str]:
    """What Docker reports that differs from what was asked for; empty when all is as asked."""
    asked: dict[str, Any] = config["HostConfig"]
    made: dict[str, Any] = inspected["HostConfig"]
    found = [
        f"{key} is {made.get(key)!r}, not {asked[key]!r}"
        for key in _COMPARED
        if made.get(key) != asked[key]
    ]
    found += [f"{key} is {made[key]!r}, not empty" for key in _MUST_BE_EMPTY if made.get(key)]
    found += [f"{key} is {made[key]!r}, not private" for key in _SHARED_NAMESPACES if made.get(key)]
    found += _set_mismatches(asked, made)
    found += _mount_mismatches(asked["Mounts"], inspected.get("Mounts", []))
    container: dict[str, Any] = inspected["Config"]
    for key in _SAME_CONFIG:
        if (container.get(key) or False) != (config[key] or False):
            found.append(f"{key} is {container.get(key)!r}, not {config[key]!r}")
    return found


def _set_mismatches(asked: dict[str, Any], made: dict[str, Any]) -> list[str]:
    found: list[str] = []
    if {_bare(cap) for cap in made.get("CapDrop") or []} != {"ALL"}:
        found.append(f"CapDrop is {made.get('CapDrop')!r}")
    if {_bare(cap) for cap in made.get("CapAdd") or []} != set(asked["CapAdd"]):
        found.append(f"CapAdd is {made.get('CapAdd')!r}")
    if set(made.get("SecurityOpt") or []) != set(asked["SecurityOpt"]):
        found.append("SecurityOpt is not what was asked for")
    for key, wanted in (("MaskedPaths", _MASKED), ("ReadonlyPaths", _READ_ONLY)):
        if missing := wanted - set(made.get(key) or []):
            found.append(f"{key} lacks {sorted(missing)!r}")
    if (made.get("Sysctls") or {}) != asked["Sysctls"]:
        found.append(f"Sysctls are {made.get('Sysctls')!r}")
    asked_limits = {(one["Name"], one["Soft"], one["Hard"]) for one in asked["Ulimits"]}
    made_limits = {(one["Name"], one["Soft"], one["Hard"]) for one in made.get("Ulimits") or []}
    if asked_limits != made_limits:
        found.append(f"Ulimits are {sorted(made_limits)!r}")
    return found


def _mount_mismatches(asked: list[dict[str, Any]], made: list[dict[str, Any]]) -> list[str]:
    expected = {(mount["Target"], mount["Type"], not mount["ReadOnly"]) for mount in asked}
    sources = {mount["Target"]: mount["Source"] for mount in asked}
    reported = {(mount["Destination"], mount["Type"], bool(mount["RW"])) for mount in made}
    found = [f"unexpected or missing mount {entry!r}" for entry in sorted(expected ^ reported)]
    for mount in made:
        actual = mount.get("Name") if mount["Type"] == "volume" else mount["Source"]
        wanted = sources.get(mount["Destination"])
        if wanted is not None and actual != wanted:
            found.append(f"{mount['Destination']} is mounted from {actual!r}, not {wanted!r}")
    return found


def _bare(capability: str) -> str:
    return capability.removeprefix("CAP_")
