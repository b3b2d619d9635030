"""What the seccomp profile says; that it holds is tested on the image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.sandboxes.seccomp_plan import for_gvisor

PROFILE: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "sandbox-image/seccomp.json").read_text("utf-8")
)
RULES: list[dict[str, Any]] = PROFILE["syscalls"]
ALWAYS = {
    name
    for rule in RULES
    if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
    for name in rule["names"]
}

DENIED = """
acct add_key bpf chroot clock_settime create_module delete_module fanotify_init finit_module
fsconfig fsmount fsopen fspick get_kernel_syms init_module io_uring_enter io_uring_register
io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl listmount lookup_dcookie
migrate_pages modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl
open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise
process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot request_key
set_mempolicy setdomainname sethostname setns settimeofday socketcall statmount stime swapoff
swapon sysfs syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old
"""


def test_what_is_not_listed_is_refused() -> None:
    assert PROFILE["defaultAction"] == "SCMP_ACT_ERRNO"


def test_there_is_no_way_in_through_another_architecture() -> None:
    assert [entry["subArchitectures"] for entry in PROFILE["archMap"]] == [[], []]
    names = {entry["architecture"] for entry in PROFILE["archMap"]}
    assert names == {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"}


@pytest.mark.parametrize("name", DENIED.split())
def test_what_opens_the_kernel_is_not_listed(name: str) -> None:
    assert not [rule for rule in RULES if name in rule["names"]]


@pytest.mark.parametrize("name", ["clone", "personality", "socket", "socketpair"])
def test_what_depends_on_its_arguments_is_never_allowed_as_a_whole(name: str) -> None:
    assert name not in ALWAYS


def test_clone3_says_that_it_does_not_exist() -> None:
    (rule,) = [rule for rule in RULES if "clone3" in rule["names"]]
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_clone_makes_no_namespace() -> None:
    new_ns, new_cgroup, new_uts, new_ipc = 0x00020000, 0x02000000, 0x04000000, 0x08000000
    new_user, new_pid, new_net = 0x10000000, 0x20000000, 0x40000000
    (rule,) = [rule for rule in RULES if "clone" in rule["names"]]
    (argument,) = rule["args"]
    every = new_ns | new_cgroup | new_uts | new_ipc | new_user | new_pid | new_net
    assert (argument["index"], argument["value"], argument["valueTwo"]) == (0, every, 0)
    assert argument["op"] == "SCMP_CMP_MASKED_EQ"


def test_sockets_are_local_or_of_the_internet() -> None:
    rules = [
        [(one["index"], one["value"], one["valueTwo"], one["op"]) for one in rule["args"]]
        for rule in RULES
        if rule["names"] == ["socket"]
    ]
    equal, masked = "SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"
    stream, datagram, tcp, udp = 1, 2, 6, 17
    internet = [
        [(0, family, 0, equal), (1, 15, kind, masked), (2, protocol, 0, equal)]
        for family in (2, 10)
        for kind, protocol in ((stream, 0), (stream, tcp), (datagram, 0), (datagram, udp))
    ]
    unix, netlink_route = [(0, 1, 0, equal)], [(0, 16, 0, equal), (2, 0, 0, equal)]
    assert rules == [unix, *internet, netlink_route]


def test_gvisor_answers_clone3_itself_and_knows_pselect_by_its_name() -> None:
    read = json.loads(for_gvisor(json.dumps(PROFILE)))
    rules = {name: rule for rule in read["syscalls"] for name in rule["names"]}
    assert rules["clone3"]["action"] == rules["pselect"]["action"] == "SCMP_ACT_ALLOW"
    assert [rule for rule in read["syscalls"] if "clone3" in rule["names"]] == [rules["clone3"]]
    others = [rule for rule in RULES if rule["names"] != ["clone3"]]
    assert read["syscalls"][: len(others)] == others and read["defaultAction"] == "SCMP_ACT_ERRNO"
