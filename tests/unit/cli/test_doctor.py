from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from runtime.cli.doctor import table_of
from runtime.cli.doctor_checks import (
    GIB,
    Check,
    HostFacts,
    ImageFact,
    KernelCount,
    State,
    examine,
    has_failed,
    version_of,
)
from runtime.sandboxes.docker_connection import DockerFacts, facts_from
from runtime.sandboxes.runtimes import RegisteredRuntime

DOCKER = DockerFacts(
    version="29.6.0",
    api_version="1.52",
    kernel="6.1.0-40-amd64",
    runc="1.4.3",
    containerd="2.2.1",
    storage_driver="overlay2",
    cgroup_version="2",
    root_folder="/var/lib/docker",
    memory_bytes=16 * GIB,
    security_options=("name=seccomp,profile=builtin", "name=cgroupns"),
    runtimes=("kata", "runc", "runsc"),
    ignored_limits=(),
    registered={"runsc": RegisteredRuntime("/usr/bin/runsc", ("--host-uds=open",), "20260105.0")},
)
OLD = {"runsc": RegisteredRuntime("/usr/bin/runsc", ("--host-uds=open",), "20221219.0")}
SHUT = {"runsc": RegisteredRuntime("/usr/bin/runsc", ("--network=none",), "20260105.0")}
HOST = HostFacts(
    python=(3, 11, 2),
    is_root=True,
    in_docker_group=False,
    docker=DOCKER,
    docker_problem="it does not answer",
    loop_problem=None,
    disk_free_bytes=50 * GIB,
    disk_folder="/var/lib/docker",
    image=ImageFact("sandlot/sandbox:x", is_present=True, protocol=1),
    image_problem="",
    has_base_image=True,
    has_apt=True,
    has_mmdebstrap=True,
    extra_certificates=0,
    state_folder="/state",
    state_problem=None,
    config_problem=None,
    protocol=1,
)


def host(**changes: object) -> HostFacts:
    return dataclasses.replace(HOST, **changes)  # pyright: ignore[reportArgumentType]


def docker(**changes: object) -> HostFacts:
    return host(docker=dataclasses.replace(DOCKER, **changes))  # pyright: ignore[reportArgumentType]


def on_gvisor(registered: dict[str, RegisteredRuntime]) -> HostFacts:
    facts = dataclasses.replace(DOCKER, registered=registered)
    return host(docker=facts, runtime="runsc")


def check_named(facts: HostFacts, name: str) -> Check:
    return next(check for check in examine(facts) if check.name == name)


def test_a_good_machine_has_nothing_to_mend() -> None:
    checks = examine(HOST)
    assert {check.state for check in checks} == {State.OK}
    assert not any(check.mend for check in checks)
    assert not has_failed(checks)


AMPLE = KernelCount("fs.inotify.max_user_instances", 2_000_000, 1_000_000)
SCARCE = KernelCount("fs.pipe-user-pages-soft", 16_384, 0)
MISSING_IMAGE = ImageFact("sandlot/sandbox:x")


@pytest.mark.parametrize(
    ("facts", "name", "state"),
    [
        (host(python=(3, 10, 9)), "Python", State.FAIL),
        (host(python=(4, 0, 0)), "Python", State.OK),
        (host(is_root=False, docker=None), "rights", State.FAIL),
        (host(is_root=False, in_docker_group=True), "rights", State.OK),
        (host(is_root=False), "rights", State.OK),
        (host(state_problem="cannot be written"), "state folder", State.FAIL),
        (host(config_problem="sandlot.yaml:1:1: x"), "configuration", State.FAIL),
        (host(disk_free_bytes=3 * GIB), "disk", State.OK),
        (host(disk_free_bytes=3 * GIB, image=MISSING_IMAGE), "disk", State.WARN),
        (host(disk_free_bytes=1 * GIB), "disk", State.FAIL),
        (host(has_apt=False), "apt", State.WARN),
        (host(extra_certificates=2), "CA certificates", State.OK),
        (host(loop_problem="not root"), "workspaces", State.WARN),
        (host(docker=None), "Docker daemon", State.FAIL),
        (docker(api_version="1.40"), "Docker API", State.FAIL),
        (docker(api_version="1.41"), "Docker API", State.OK),
        (docker(storage_driver="vfs"), "storage driver", State.WARN),
        (docker(cgroup_version="1"), "cgroups", State.OK),
        (docker(ignored_limits=("swap",)), "cgroups", State.WARN),
        (docker(ignored_limits=("memory", "swap")), "cgroups", State.FAIL),
        (docker(security_options=()), "seccomp", State.FAIL),
        (docker(memory_bytes=2 * GIB), "memory", State.WARN),
        (docker(memory_bytes=GIB // 2), "memory", State.FAIL),
        (docker(runtimes=("runc",)), "isolation", State.OK),
        (host(runtime="runsc"), "isolation", State.OK),
        (host(runtime="runsc"), "gVisor's patches", State.OK),
        (on_gvisor(OLD), "gVisor's patches", State.WARN),
        (on_gvisor(SHUT), "isolation", State.FAIL),
        (host(runtime="runsc-kvm"), "isolation", State.FAIL),
        (host(runtime="kata"), "isolation", State.FAIL),
        (host(shared_counts=(AMPLE,)), "neighbours", State.OK),
        (host(shared_counts=(AMPLE, SCARCE)), "neighbours", State.WARN),
        (host(weaknesses=("runc shares the kernel",)), "sandbox.strict", State.FAIL),
        (docker(version="20.10.24+dfsg1"), "Docker's patches", State.WARN),
        (docker(version="29.5.1"), "Docker's patches", State.OK),
        (docker(runc="1.1.11"), "runc's patches", State.WARN),
        (docker(runc="1.2.8"), "runc's patches", State.OK),
        (docker(runc="1.3.2"), "runc's patches", State.WARN),
        (docker(runc="1.4.0"), "runc's patches", State.OK),
        (docker(runc="?"), "runc's patches", State.WARN),
        (docker(kernel="6.9.12"), "kernel", State.OK),
        (docker(kernel="6.12.0-1-cloud"), "kernel", State.WARN),
        (docker(kernel="7.1.9"), "kernel", State.WARN),
        (docker(kernel="7.1.10"), "kernel", State.OK),
        (host(image=MISSING_IMAGE), "sandbox image", State.WARN),
        (host(image=None, image_problem="no folder"), "sandbox image", State.FAIL),
        (host(protocol=2), "sandbox image", State.FAIL),
        (host(image=ImageFact("x", is_present=True)), "sandbox image", State.FAIL),
        (host(image=ImageFact("x", is_configured=True)), "sandbox image", State.FAIL),
        (host(image=MISSING_IMAGE), "base image", State.OK),
        (host(image=MISSING_IMAGE, has_base_image=False), "base image", State.OK),
        (
            host(image=MISSING_IMAGE, has_base_image=False, has_mmdebstrap=False),
            "base image",
            State.WARN,
        ),
    ],
)
def test_each_fact_has_its_verdict(facts: HostFacts, name: str, state: State) -> None:
    check = check_named(facts, name)
    assert check.state is state
    assert check.found
    assert bool(check.mend) or state is State.OK or name == "sandbox image"
    assert has_failed(examine(facts)) is any(c.state is State.FAIL for c in examine(facts))


def test_without_a_daemon_nothing_is_said_about_it() -> None:
    names = {check.name for check in examine(host(docker=None, image=None))}
    assert names.isdisjoint({"Docker API", "kernel", "sandbox image", "base image"})


def test_a_mend_and_what_is_found_fit_on_one_line() -> None:
    for facts in (host(docker=None), docker(version="1", runc="1", kernel="6.12", runtimes=())):
        assert not any("\n" in check.mend + check.found for check in examine(facts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.1.5+ds1-1+deb12u1", (1, 1, 5)),
        ("v2.0", (2, 0)),
        ("6.18.44-fc", (6, 18, 44)),
        ("?", ()),
        ("", ()),
    ],
)
def test_versions_are_their_leading_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert version_of(text) == expected


def test_the_answers_of_a_daemon_become_facts() -> None:
    version = {
        "Version": "20.10.24+dfsg1",
        "ApiVersion": "1.41",
        "Components": [{"Name": "Engine", "Version": "x"}, {"Name": "runc", "Version": "1.1.5"}],
    }
    info = {
        "KernelVersion": "6.1.0",
        "Driver": "overlay2",
        "CgroupVersion": "2",
        "SwapLimit": False,
        "MemoryLimit": True,
        "SecurityOptions": None,
        "Runtimes": {"runsc": {}, "runc": {}},
        "MemTotal": 5,
    }
    facts = facts_from(version, info)
    assert facts.runc == "1.1.5"
    assert facts.ignored_limits == ("swap",)
    assert facts.runtimes == ("runc", "runsc")
    assert facts.security_options == ()
    assert facts.root_folder == "/var/lib/docker"


def test_a_daemon_that_says_little_is_no_accident() -> None:
    assert facts_from({}, {"RuncCommit": {"ID": "v1.2.3"}}).runc == "v1.2.3"


def test_the_table_shows_text_as_it_is() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table_of([Check("a", State.FAIL, "[bold]x[/bold]", "do [this]")]))
    shown = console.export_text()
    assert "[bold]x[/bold]" in shown
    assert "do [this]" in shown


def test_kata_is_not_to_be_registered_but_replaced() -> None:
    facts = dataclasses.replace(DOCKER, runtimes=("runc",))

    (found,) = [
        check for check in examine(host(docker=facts, runtime="kata")) if check.name == "isolation"
    ]

    assert "Set sandbox.runtime to runsc" in found.found
    assert "register" not in found.mend


def test_what_one_sandbox_can_use_up_is_told_with_its_mend() -> None:
    facts = host(shared_counts=(AMPLE, SCARCE))
    check = check_named(facts, "neighbours")
    assert check.found.endswith("for all: fs.pipe-user-pages-soft=16384")
    assert check.mend == "sysctl -w fs.pipe-user-pages-soft=0"
    strong = dataclasses.replace(facts, runtime="runsc")
    assert "neighbours" not in {check.name for check in examine(strong)}
