from __future__ import annotations

import dataclasses
import re

import pytest

from runtime.sandboxes.docker_connection import DockerFacts, facts_from, kernel_version
from runtime.sandboxes.floors import HOLES, mend_of, open_holes
from runtime.sandboxes.runtimes import RegisteredRuntime
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
    registered={"runsc": RegisteredRuntime("/usr/bin/runsc", ("--host-uds=open",), "20260105.0")},
)
OLD_GVISOR = {"runsc": RegisteredRuntime("/usr/bin/runsc", ("--host-uds=open",), "20240729.0")}
CLOSED_GVISOR = {"runsc": RegisteredRuntime("/usr/bin/runsc", (), "20260105.0")}


@pytest.mark.parametrize(
    ("component", "version", "cves"),
    [
        ("runc", "1.1.11", ["2024-21626", "2025-31133"]),
        ("runc", "1.1.5+ds1-1", ["2024-21626", "2025-31133"]),
        ("runc", "1.1.5+ds1-1+deb12u1", ["2025-31133"]),
        ("runc", "1.1.5+ds1-1+deb11u9", ["2024-21626", "2025-31133"]),
        ("runc", "1.1.5+ds1-1+deb12u1+b6", ["2025-31133"]),
        ("runc", "1.1.12", ["2025-31133"]),
        ("runc", "1.2.8", []),
        ("runc", "1.3.2", ["2025-31133"]),
        ("runc", "v1.3.3", []),
        ("runc", "1.5.0", []),
        ("containerd", "1.6.20~ds1-1+deb12u1", ["2024-40635"]),
        ("containerd", "1.6.20~ds1-1+deb12u3", []),
        ("containerd", "1.7.27", []),
        ("containerd", "v2.0.3", ["2024-40635"]),
        ("containerd", "2.1.0", []),
        ("docker", "20.10.24+dfsg1", ["2026-41567"]),
        ("docker", "29.5.0", ["2026-41567"]),
        ("docker", "29.5.1", []),
        ("runsc", "20221219.0", ["2025-2713"]),
        ("runsc", "20240729.0", ["2025-2713"]),
        ("runsc", "20250319.0", []),
        ("runsc", "?", []),
        ("kernel", "6.1.140", []),
        ("kernel", "6.1.148", ["2026-80521"]),
        ("kernel", "6.6.92", []),
        ("kernel", "6.6.93", ["2026-80521"]),
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
    assert mend_of(open_holes("runc", "1.1.0")) == "update to 1.2.8 or 1.3.3"
    assert mend_of(open_holes("kernel", "6.6.93")) == "update to 7.1.10"


def test_each_hole_names_its_source_and_every_cve_in_full() -> None:
    for hole in HOLES:
        assert "https://" in hole.source
        assert all(re.fullmatch(r"CVE-\d{4}-\d{4,6}", cve) for cve in hole.cves.split(", "))


def test_debians_kernel_tells_its_version_where_its_release_does_not() -> None:
    release = "6.1.0-38-amd64"
    assert kernel_version(release, "#1 SMP PREEMPT_DYNAMIC Debian 6.1.147-1 (2025)") == "6.1.147"
    assert kernel_version("6.18.44-fc", "#1 SMP PREEMPT_DYNAMIC @0") == "6.18.44-fc"


def test_debian_says_its_own_version_where_the_commit_is() -> None:
    parts = [
        {"Name": "runc", "Version": "1.1.5+ds1", "Details": {"GitCommit": "1.1.5+ds1-1+deb12u1"}},
        {"Name": "containerd", "Version": "v2.1.0", "Details": {"GitCommit": "75cb2b7193e4"}},
    ]
    facts = facts_from({"Components": parts}, {})
    assert (facts.runc, facts.containerd) == ("1.1.5+ds1-1+deb12u1", "v2.1.0")


def test_a_strong_runtime_on_new_versions_is_strict_enough() -> None:
    assert weaknesses(SandboxSettings(runtime="runsc"), SAFE) == []


@pytest.mark.parametrize(
    ("runtime", "changes", "said"),
    [
        ("runc", {}, "share the host's kernel"),
        ("runsc", {"runtimes": ("runc",)}, "knows no runtime runsc, only: runc"),
        ("runsc", {"security_options": ()}, "cannot filter system calls"),
        ("runsc", {"ignored_limits": ("memory", "swap")}, "memory, swap"),
        ("runsc", {"version": "20.10.24"}, "CVE-2026-41567"),
        ("runsc", {"registered": OLD_GVISOR}, "CVE-2025-2713"),
        ("runsc", {"registered": CLOSED_GVISOR}, "--host-uds=open"),
        ("kata", {}, "virtual machines"),
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
