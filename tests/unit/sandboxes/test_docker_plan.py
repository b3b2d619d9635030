from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.sandboxes.docker_plan import WorkspaceMount, container_config, mismatches
from runtime.sandboxes.port import SandboxSpec
from runtime.schema.settings import SandboxSettings

SPEC = SandboxSpec(
    sandbox_id="sbx_1",
    environment_id="env_1",
    image="sandlot/sandbox:1",
    socket_directory=Path("/state/s/1"),
    settings=SandboxSettings(memory_bytes=1 << 30, cpus=1.5, pids=100),
)
WORKSPACE = WorkspaceMount("bind", "/state/w/env_1")
PROFILE = (Path(__file__).parents[3] / "sandbox-image/seccomp.json").read_text("utf-8")
CONFIG = container_config(SPEC, WORKSPACE, "install", PROFILE)
MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/acpi"]
READ_ONLY = ["/proc/bus", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def as_docker_reports() -> dict[str, Any]:
    host = copy.deepcopy(CONFIG["HostConfig"])
    host |= {"CapAdd": [f"CAP_{name}" for name in host["CapAdd"]], "Binds": None}
    host |= {"MaskedPaths": MASKED, "ReadonlyPaths": READ_ONLY}
    mounts = [
        {
            "Type": mount["Type"],
            "Source": mount["Source"],
            "Destination": mount["Target"],
            "RW": not mount["ReadOnly"],
        }
        for mount in host["Mounts"]
    ]
    keys = ("Image", "User", "Entrypoint", "WorkingDir", "NetworkDisabled", "Tty", "OpenStdin")
    return {"HostConfig": host, "Mounts": mounts, "Config": {key: CONFIG[key] for key in keys}}


def test_the_profile() -> None:
    host = CONFIG["HostConfig"]
    assert host["NetworkMode"] == "none" and CONFIG["NetworkDisabled"]
    assert host["ReadonlyRootfs"] and not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert set(host["CapAdd"]) == {"KILL", "SETGID", "SETPCAP", "SETUID"}
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert host["NanoCpus"] == 1_500_000_000 and host["PidsLimit"] == 100
    assert not {"MaskedPaths", "ReadonlyPaths"} & set(host), "the daemon's own are the right ones"
    writable = [mount["Target"] for mount in host["Mounts"] if not mount["ReadOnly"]]
    assert writable == ["/workspace"]


HOST_TABLE = {
    "Privileged": False,
    "CapDrop": ["ALL"],
    "ReadonlyRootfs": True,
    "NetworkMode": "none",
    "PublishAllPorts": False,
    "PortBindings": {},
    "Dns": [],
    "ExtraHosts": [],
    "Links": [],
    "Binds": [],
    "IpcMode": "private",
    "PidMode": "",
    "UTSMode": "",
    "UsernsMode": "",
    "CgroupnsMode": "private",
    "ShmSize": 134217728,
    "OomKillDisable": False,
    "OomScoreAdj": 500,
    "CpuShares": 512,
    "Devices": [],
    "DeviceRequests": [],
    "DeviceCgroupRules": [],
    "GroupAdd": [],
    "Sysctls": {
        "kernel.shm_rmid_forced": "1",
        "kernel.shmall": "32768",
        "kernel.msgmni": "32",
    },
    "LogConfig": {"Type": "local", "Config": {"max-size": "5m", "max-file": "2"}},
    "RestartPolicy": {"Name": "no"},
    "AutoRemove": False,
}


@pytest.mark.parametrize("key", HOST_TABLE)
def test_the_host_config_is_the_hardened_profile(key: str) -> None:
    assert CONFIG["HostConfig"][key] == HOST_TABLE[key]


@pytest.mark.parametrize("key", ["NetworkDisabled", "Tty", "OpenStdin", "Healthcheck"])
def test_nothing_reaches_in_and_nothing_runs_beside_the_guest(key: str) -> None:
    wanted = {"NetworkDisabled": True, "Healthcheck": {"Test": ["NONE"]}}
    assert CONFIG[key] == wanted.get(key, False)


@pytest.mark.parametrize("path", ["/tmp", "/run", "/dev/shm"])
def test_what_lies_in_memory_is_capped_in_bytes_and_files(path: str) -> None:
    options = CONFIG["HostConfig"]["Tmpfs"][path].split(",")
    assert {"nosuid", "nodev"} <= set(options)
    assert any(option.startswith("size=") for option in options)
    assert any(option.startswith("nr_inodes=") for option in options)


@pytest.mark.parametrize("memory", [256 << 20, 1 << 30, 4 << 30, 64 << 30])
def test_what_lies_in_memory_leaves_most_of_it(memory: int) -> None:
    settings = SPEC.settings.model_copy(update={"memory_bytes": memory})
    spec = SandboxSpec("sbx_1", "env_1", SPEC.image, SPEC.socket_directory, settings)
    host = container_config(spec, WORKSPACE, "install", PROFILE)["HostConfig"]
    sizes = [
        int(option.removeprefix("size="))
        for path in ("/tmp", "/dev/shm")
        for option in host["Tmpfs"][path].split(",")
        if option.startswith("size=")
    ]
    assert sum(sizes) <= memory * 3 // 8 and sizes[0] <= 512 << 20 and sizes[1] <= 256 << 20
    (files,) = [
        int(option.removeprefix("nr_inodes="))
        for option in host["Tmpfs"]["/tmp"].split(",")
        if option.startswith("nr_inodes=")
    ]
    assert files * 1024 <= memory // 16 and files <= 100_000
    assert int(host["Sysctls"]["kernel.shmall"]) * 4096 == memory // 8


def test_limits_of_a_process() -> None:
    limits = {one["Name"]: (one["Soft"], one["Hard"]) for one in CONFIG["HostConfig"]["Ulimits"]}
    assert limits["core"] == limits["msgqueue"] == (0, 0)
    assert limits["nofile"] == (4096, 4096) and limits["memlock"] == (65536, 65536)
    assert limits["fsize"] == (SPEC.settings.file_size_bytes,) * 2
    assert "nproc" not in limits, "it counts all sandboxes together: they share user ids"


def profile_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    (text,) = [
        option.removeprefix("seccomp=")
        for option in config["HostConfig"]["SecurityOpt"]
        if option.startswith("seccomp=")
    ]
    return json.loads(text)["syscalls"]


def test_only_the_browser_sandbox_opens_namespaces() -> None:
    opened = {name for rule in profile_of(CONFIG) for name in rule["names"]}
    settings = SPEC.settings.model_copy(update={"browser_sandbox": False})
    closed_spec = SandboxSpec("sbx_1", "env_1", SPEC.image, SPEC.socket_directory, settings)
    closed = profile_of(container_config(closed_spec, WORKSPACE, "install", PROFILE))
    assert closed == json.loads(PROFILE)["syscalls"]
    assert opened - {name for rule in closed for name in rule["names"]} == {"chroot", "unshare"}


def test_the_browser_gets_no_namespace_but_user_pid_and_net() -> None:
    masks = {
        rule["names"][0]: rule["args"][0]["value"]
        for rule in profile_of(CONFIG)
        if rule["names"] in (["clone"], ["unshare"])
    }
    mounts, cgroup, host_name, ipc, user = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000
    assert masks == {"clone": mounts | cgroup | host_name | ipc, "unshare": 0xFFFFFFFF ^ user}


def test_no_variable_of_a_user_is_in_the_container_config() -> None:
    assert CONFIG["Env"] == ["SANDLOT_SPLIT_USERS=1"]


def test_what_docker_reports_of_a_good_container_matches() -> None:
    assert mismatches(CONFIG, as_docker_reports()) == []


def extra_mount(report: dict[str, Any]) -> None:
    report["Mounts"].append({"Type": "bind", "Source": "/", "Destination": "/host", "RW": True})


def other_source(report: dict[str, Any]) -> None:
    report["Mounts"][1]["Source"] = "/etc"


def writable_sockets(report: dict[str, Any]) -> None:
    report["Mounts"][0]["RW"] = True


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report["HostConfig"].update(Privileged=True),
        lambda report: report["HostConfig"].update(NetworkMode="bridge"),
        lambda report: report["HostConfig"].update(ReadonlyRootfs=False),
        lambda report: report["HostConfig"].update(PidMode="host"),
        lambda report: report["HostConfig"].update(Binds=["/:/host"]),
        lambda report: report["HostConfig"].update(Devices=[{"PathOnHost": "/dev/kvm"}]),
        lambda report: report["HostConfig"].update(CapAdd=["CAP_SYS_ADMIN"]),
        lambda report: report["HostConfig"].update(CapDrop=None),
        lambda report: report["HostConfig"].update(SecurityOpt=["seccomp=unconfined"]),
        lambda report: report["HostConfig"].update(Memory=0),
        lambda report: report["HostConfig"].update(Ulimits=None),
        lambda report: report["HostConfig"].update(Tmpfs=None),
        lambda report: report["HostConfig"].update(MaskedPaths=[]),
        lambda report: report["HostConfig"].update(ReadonlyPaths=None),
        lambda report: report["HostConfig"].update(CgroupnsMode="host"),
        lambda report: report["HostConfig"].update(IpcMode="shareable"),
        lambda report: report["HostConfig"].update(LogConfig={"Type": "json-file"}),
        lambda report: report["HostConfig"].update(OomScoreAdj=0),
        lambda report: report["Config"].update(NetworkDisabled=False),
        lambda report: report["Config"].update(Image="other"),
        lambda report: report["Config"].update(Entrypoint=["/bin/sh"]),
        extra_mount,
        other_source,
        writable_sockets,
    ],
)
def test_any_difference_is_found(spoil: Callable[[dict[str, Any]], None]) -> None:
    report = as_docker_reports()
    spoil(report)
    assert mismatches(CONFIG, report)


def test_gvisor_counts_processes_itself_and_gets_threads_of_the_host_for_its_kernel() -> None:
    settings = SPEC.settings.model_copy(update={"runtime": "runsc"})
    spec = SandboxSpec("sbx_1", "env_1", SPEC.image, SPEC.socket_directory, settings)
    config = container_config(spec, WORKSPACE, "install", PROFILE)
    limits = {one["Name"]: (one["Soft"], one["Hard"]) for one in config["HostConfig"]["Ulimits"]}
    assert limits["nproc"] == (100, 100)
    assert config["HostConfig"]["PidsLimit"] > 3 * 100
    names = {name for rule in profile_of(config) for name in rule["names"]}
    assert "pselect" in names
    same = {key for key in config["HostConfig"] if key not in ("Ulimits", "PidsLimit", "Runtime")}
    same -= {"SecurityOpt", "Sysctls"}
    assert config["HostConfig"]["Sysctls"] == {}
    for key in same:
        assert config["HostConfig"][key] == CONFIG["HostConfig"][key], key
