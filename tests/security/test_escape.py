"""Escape and privilege: what code in a sandbox tries against the kernel, the host, the guest.

Each case asks twice: the attempt fails in a sandbox, and succeeds where little holds it.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.security.conftest import IS_GVISOR
from tests.security.docker_proxy import lying_docker
from tests.support.sandlot import RunningController, fence, results, running_controller

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.usefixtures("unharmed")]
Found = dict[str, Any]
DONE, EPERM, ENOSYS = "done", 1, 38
FIRMWARE = Path("/sys/firmware")
NOT_THERE = "No such file or directory"


def test_e01_a_process_has_no_rights(seen: Found, weak: Found) -> None:
    capabilities = {key: value for key, value in seen["status"].items() if key.startswith("Cap")}
    if IS_GVISOR:  # shows no ambient ones
        assert capabilities.pop("CapAmb") is None
    assert set(capabilities.values()) == {"0" * 16}
    assert (seen["no_new_privileges"], seen["status"]["Seccomp"]) == (1, "2")
    assert seen["uid"] == 1000 and seen["set_uid"] == []
    assert weak["uid"] == 0 and weak["status"]["CapEff"] != "0" * 16
    assert weak["no_new_privileges"] == 0


def test_e02_no_socket_of_an_engine_is_there(seen: Found, weak: Found) -> None:
    assert seen["engine_sockets"] == []
    assert weak["engine_sockets"]


@pytest.mark.parametrize("what", ["mount_tmpfs", "mount_bind", "umount"])
def test_e03_nothing_is_mounted(seen: Found, weak: Found, what: str) -> None:
    assert (seen[what], weak[what]) == ("Operation not permitted", DONE)


def test_e04_no_namespace_is_made(seen: Found, weak: Found) -> None:
    made = {"unshare": EPERM, "clone": EPERM, "clone3": ENOSYS, "setns": EPERM, "chroot": EPERM}
    assert seen["namespaces"] == made
    assert weak["namespaces"]["unshare"] == weak["namespaces"]["clone"] == 0
    assert not {EPERM, ENOSYS} & set(weak["namespaces"].values())


def test_e06_nothing_of_the_kernel_is_written(seen: Found, weak: Found) -> None:
    assert DONE not in seen["writable"].values()
    assert DONE not in seen["groups"].values() and (seen["groups"] or IS_GVISOR)
    assert set(weak["writable"].values()) <= {DONE, NOT_THERE}
    assert weak["writable"]["/proc/sys/kernel/core_pattern"] == DONE
    assert weak["writable"]["/etc/passwd"] == weak["writable"]["/usr/bin/env"] == DONE
    assert set(weak["groups"].values()) == {DONE}


def test_e07_nothing_of_the_kernel_is_read(seen: Found, weak: Found) -> None:
    assert DONE not in seen["readable"].values()
    assert set(weak["readable"].values()) <= {DONE, NOT_THERE}, "what the host's kernel has"
    assert weak["readable"]["/proc/timer_list"] == DONE
    assert seen["firmware"] == [] and seen["dmesg"] == "refused"
    assert weak["firmware"] == sorted(one.name for one in FIRMWARE.iterdir())
    assert weak["dmesg"] == DONE


def test_e08_there_are_no_devices(seen: Found, weak: Found) -> None:
    assert seen["devices"] == [] and seen["mknod"] == "Operation not permitted"
    assert weak["devices"] == ["fuse"] and weak["mknod"] == DONE


def test_e09_the_kernel_is_not_offered(seen: Found, weak: Found) -> None:
    assert {name for name, error in seen["calls"].items() if error != EPERM} == set()
    assert {name for name, error in weak["calls"].items() if error == EPERM} == set()


def test_e10_sockets_are_ordinary(seen: Found, weak: Found) -> None:
    assert set(seen["sockets"].values()) == {"Operation not permitted"}
    assert set(seen["ordinary_sockets"].values()) == {DONE}, "what programs need is there"
    assert [weak["sockets"][name] for name in ("vsock", "packet", "netfilter", "raw", "ping")] == [
        DONE
    ] * 5
    assert "Operation not permitted" not in weak["sockets"].values()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only there are calls of two kinds")
def test_e10_calls_of_32_bit_programs_are_not_there(seen: Found, weak: Found) -> None:
    assert (seen["old_call"] != 0, weak["old_call"]) == (True, 0)


@pytest.mark.parametrize(
    "what",
    ["environments_of_others", "memory_of_others", "maps_of_others", "signalled"],
)
def test_e12_other_processes_are_out_of_reach(seen: Found, weak: Found, what: str) -> None:
    assert {0, 900, 1001} <= set(seen["roles"]), "supervisor and browser run beside it"
    assert len(seen[what]) >= 3 and DONE not in seen[what].values()
    assert set(weak[what].values()) == {DONE}


def test_e12_the_line_of_the_supervisor_is_out_of_reach(seen: Found, weak: Found) -> None:
    assert all(found == [] for found in seen["descriptors_of_others"].values())
    for what in ("gateway", "write_guest", "replace_socket"):
        assert seen[what] != DONE and weak[what] == DONE
    assert all(found for found in weak["descriptors_of_others"].values())


def test_e12_killing_everything_ends_only_what_is_the_agents(unharmed: RunningController) -> None:
    kill = "import os, signal\nprint('killing')\nos.kill(-1, signal.SIGKILL)"
    run = unharmed.run(fence("python", kill, "print('alive')"))
    assert run.status == "completed" and "alive" in results(run)[-1]


FIELDS = ("image", "volumes", "devices", "privileged", "user", "cap_add", "Binds", "hostConfig")


@pytest.mark.parametrize("field", FIELDS)
def test_e13_callers_say_nothing_to_docker(http: httpx2.Client, field: str) -> None:
    body = {
        "agent": "antigravity",
        "agent_config": {"type": "antigravity", "model": "script/inline"},
        "input": "x",
        "environment": {"type": "remote", field: ["/:/host"]},
    }
    answer = http.post("/v1/interactions", json=body)
    assert answer.status_code == 400 and field in answer.text
    plain = http.post("/v1/interactions", json={**body, "environment": "remote"})
    assert plain.status_code == 200, "only the field was wrong"


def test_e16_a_container_with_more_than_was_asked_for_is_removed(
    image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lied")
    with lying_docker(folder / "docker.sock") as address:
        environ = {"DOCKER_HOST": address}
        with running_controller(folder / "s", f"sandbox: {{image: {image}}}", environ) as it:
            run = it.run(fence("bash", "true"))
            assert run.status == "failed" and run.errors[0].code == "sandbox_failed"
            assert "/host" in run.errors[0].message
            assert it.containers() == []
