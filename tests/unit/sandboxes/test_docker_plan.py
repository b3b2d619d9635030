from __future__ import annotations

import copy
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
CONFIG = container_config(SPEC, WORKSPACE, "install", "{}")


def as_docker_reports() -> dict[str, Any]:
    host = copy.deepcopy(CONFIG["HostConfig"])
    host |= {"CapAdd": [f"CAP_{name}" for name in host["CapAdd"]], "Binds": None, "PidMode": ""}
    mounts = [
        {
            "Type": mount["Type"],
            "Source": mount["Source"],
            "Destination": mount["Target"],
            "RW": not mount["ReadOnly"],
        }
        for mount in host["Mounts"]
    ]
    keys = ("Image", "User", "Entrypoint", "WorkingDir")
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
    assert not {"Binds", "Devices", "MaskedPaths", "ReadonlyPaths"} & set(host)
    writable = [mount["Target"] for mount in host["Mounts"] if not mount["ReadOnly"]]
    assert writable == ["/workspace"]


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
