from __future__ import annotations

import dataclasses

import pytest

from runtime.sandboxes.docker_connection import DockerFacts, facts_from
from runtime.sandboxes.floors import mend_of, open_holes
from runtime.sandboxes.strictness import weaknesses
from runtime.schema.settings import SandboxSettings

SAFE = DockerFacts(
    version="29.6.0",
    api_version="1.52",
    kernel="7.2.0",
    runc="1.4.3",
    storage_driver="overlay2",
    cgroup_version="2",
    root_folder="/",
    memory_bytes=1 << 34,
    security_options=("name=seccomp,profile=builtin",),
    runtimes=("kata", "runc", "runsc"),
    ignored_limits=(),
    containerd="2.2.1",
)


@pytest.mark.parametrize(
    ("component", "version", "cves"),
    [
        ("runc", "1.1.11", ["2024-21626", "2025-31133"]),
        ("runc", "1.1.5+ds1-1", ["2024-21626", "2025-31133"]),
        ("runc", "1.1.5+ds1-1+deb12u1", ["2025-31133"]),
        ("runc", "1.1.5+ds1-1+deb11u9", ["2024-21626", "2025-31133"]),
        ("runc", "1.1.12", ["2025-31133"]),
        ("runc", "1.2.8", []),
        ("runc", "1.3.2", ["2025-31133", "2026-41579"]),
        ("runc", "1.3.3", ["2026-41579"]),
        ("runc", "v1.3.6", []),
        ("runc", "1.4.2", ["2026-41579"]),
        ("runc", "1.5.0", []),
        ("containerd", "1.6.20~ds1-1+deb12u1", ["2024-40635"]),
        ("containerd", "1.6.20~ds1-1+deb12u3", []),
        ("containerd", "1.7.27", []),
        ("containerd", "v2.0.3", ["2024-40635"]),
        ("containerd", "2.1.0", []),
        ("docker", "20.10.24+dfsg1", ["2026-41567"]),
        ("docker", "29.5.2", []),
        ("kernel", "6.9.12", []),
        ("kernel", "6.12.0-1-cloud", ["2026-80521"]),
        ("kernel", "7.1.9", ["2026-80521"]),
        ("kernel", "7.1.10", []),
    ],
)
def test_holes_by_version(component: str, version: str, cves: list[str]) -> None:
    found = [
        hole.cves.split(",")[0].removeprefix("CVE-") for hole in open_holes(component, version)
    ]
    assert found == cves


def test_the_mend_has_no_hole_of_its_own() -> None:
    assert mend_of(open_holes("runc", "1.1.0")) == "update to 1.2.8 or 1.3.6 or 1.4.3"


def test_debian_says_its_own_version_where_the_commit_is() -> None:
    parts = [
        {"Name": "runc", "Version": "1.1.5+ds1", "Details": {"GitCommit": "1.1.5+ds1-1+deb12u1"}},
        {"Name": "containerd", "Version": "v2.1.0", "Details": {"GitCommit": "75cb2b7193e4"}},
    ]
    facts = facts_from({"Components": parts}, {})
    assert (facts.runc, facts.containerd) == ("1.1.5+ds1-1+deb12u1", "v2.1.0")


@pytest.mark.parametrize("runtime", ["runsc", "kata"])
def test_a_strong_runtime_on_new_versions_is_strict_enough(runtime: str) -> None:
    assert weaknesses(SandboxSettings(runtime=runtime), SAFE) == []


@pytest.mark.parametrize(
    ("runtime", "changes", "said"),
    [
        ("runc", {}, "share the host's kernel"),
        ("runsc", {"runtimes": ("runc",)}, "knows no runtime runsc, only: runc"),
        ("runsc", {"security_options": ()}, "cannot filter system calls"),
        ("runsc", {"ignored_limits": ("memory", "swap")}, "memory, swap"),
        ("runsc", {"version": "20.10.24"}, "CVE-2026-41567"),
        ("runsc", {"containerd": "1.7.0"}, "CVE-2024-40635"),
        ("runc", {"runc": "1.1.11"}, "CVE-2024-21626"),
        ("runc", {"kernel": "6.12.1"}, "CVE-2026-80521"),
    ],
)
def test_each_weakness_is_named(runtime: str, changes: dict[str, object], said: str) -> None:
    facts = dataclasses.replace(SAFE, **changes)  # pyright: ignore[reportArgumentType]
    found = weaknesses(SandboxSettings(runtime=runtime), facts)
    assert len([reason for reason in found if said in reason]) == 1


def test_the_hosts_kernel_counts_less_behind_another() -> None:
    facts = dataclasses.replace(SAFE, kernel="6.12.1", runc="1.1.11")
    assert weaknesses(SandboxSettings(runtime="runsc"), facts) == []
