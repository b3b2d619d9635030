from __future__ import annotations

from pathlib import Path

import pytest

from runtime.sandboxes.docker_connection import registered_runtimes
from runtime.sandboxes.runtimes import RegisteredRuntime, gvisor_version, is_strong, obstacle

OPEN = [["--host-uds=open"], ["--network=none", "-host-uds=all"], ["--fsgofer-host-uds"]]


@pytest.mark.parametrize("arguments", OPEN)
def test_gvisor_needs_its_door_for_sockets(arguments: list[str]) -> None:
    assert obstacle("runsc", RegisteredRuntime("/usr/bin/runsc", tuple(arguments))) is None
    closed = obstacle("runsc", RegisteredRuntime("/usr/bin/runsc", ("--host-uds=none",)))
    assert closed and "runtimeArgs" in closed


@pytest.mark.parametrize("registered", [None, RegisteredRuntime("io.containerd.runsc.v1")])
def test_what_is_not_told_is_no_obstacle(registered: RegisteredRuntime | None) -> None:
    assert obstacle("runsc", registered) is None


def test_kata_cannot_be_reached_and_says_so() -> None:
    assert "unix socket" in (obstacle("io.containerd.kata.v2") or "")
    assert obstacle("runc") is None
    assert [is_strong(name) for name in ("runc", "runsc-kvm", "gvisor", "kata-qemu")] == [
        False,
        True,
        True,
        True,
    ]


def test_registrations_are_read_from_what_docker_says() -> None:
    info = {"Runtimes": {"runc": {"path": "runc"}, "runsc": {"path": "/r", "runtimeArgs": ["-a"]}}}
    found = registered_runtimes(info)
    assert found == {"runc": RegisteredRuntime("runc"), "runsc": RegisteredRuntime("/r", ("-a",))}
    assert registered_runtimes({}) == {}


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("runsc version release-20250319.0\nspec: 1.1.0", "20250319.0"),
        ("runsc version 0.0~20221219.0", "20221219.0"),
        ("something else", "?"),
    ],
)
def test_gvisor_says_its_version(tmp_path: Path, said: str, version: str) -> None:
    program = tmp_path / "runsc"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    assert gvisor_version(str(program)) == version
    assert gvisor_version(str(tmp_path / "none")) == "?"
