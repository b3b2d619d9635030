"""The filter against a real kernel, in processes of their own: it cannot be taken back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.guest.confinement import can_have_namespaces

PROBE = """
import ctypes, errno, json, os, threading
{confine}
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {{"x86_64": (272, 161, 56, 435), "aarch64": (97, 51, 220, 435)}}[os.uname().machine]
def answer(number, *arguments):
    child = os.fork()
    if child == 0:
        failed = libc.syscall(number, *arguments, 0, 0, 0) == -1
        os._exit(ctypes.get_errno() if failed else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
unshare, chroot, clone, clone3 = NUMBERS
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
print(json.dumps([answer(unshare, 0x10000000), answer(chroot, b"/"), answer(clone3, 0, 0)]))
"""
CONFINE = "from runtime.guest.confinement import forbid_namespaces; forbid_namespaces()"


def probe(confine: str) -> str:
    command = [sys.executable, "-c", PROBE.format(confine=confine)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_namespaces_are_refused_to_the_process_and_its_children() -> None:
    assert probe(CONFINE) == "[1, 1, 38]", "EPERM, EPERM, ENOSYS"


def test_the_probe_finds_what_is_open_without_it() -> None:
    if not can_have_namespaces():
        pytest.skip("this host gives no user namespaces to anybody")
    assert not probe("").startswith("[1,")


def test_whether_namespaces_can_be_had_is_found_out() -> None:
    code = f"{CONFINE}; from runtime.guest.confinement import can_have_namespaces as can"
    command = [sys.executable, "-c", f"{code}; print(can())"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.strip() == "False"
