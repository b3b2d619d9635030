"""Takes user namespaces away from a process for good, with all that it will ever start.

The container leaves them open for Chromium's own sandbox. What the model writes must not have
them: they open parts of the kernel that only root reaches otherwise.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from dataclasses import dataclass

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_MODE_FILTER = 2
_NEW_NAMESPACES = 0x7E020000
_FOREIGN_CALLS = 0x40000000
"""Calls of the x32 architecture are numbered from here; never less than any of a native one."""

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE3_ANSWER = 0x00050000 | errno.ENOSYS


@dataclass(frozen=True, slots=True)
class _Machine:
    architecture: int
    clone: int
    clone3: int
    refused: tuple[int, ...]
    """unshare, chroot, setns"""


LIBC = ctypes.CDLL(None, use_errno=True)
"""Loaded before any process is forked, so that they share it."""

_MACHINES = {
    "x86_64": _Machine(0xC000003E, 56, 435, (272, 161, 308)),
    "aarch64": _Machine(0xC00000B7, 220, 435, (97, 51, 268)),
}


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("if_true", ctypes.c_ubyte),
        ("if_false", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("first", ctypes.POINTER(_Instruction)))


def forbid_namespaces() -> None:
    """Refuse new namespaces to this process and its descendants.

    Raises `OSError` where the kernel takes no such filter, `NotImplementedError` on a machine of
    an unknown kind: a process that must be confined must not go on then.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise NotImplementedError(f"no filter of system calls for {platform.machine()}")
    steps = _steps(machine)
    filled = (_Instruction * len(steps))(*steps)
    program = _Program(len(steps), ctypes.cast(filled, ctypes.POINTER(_Instruction)))
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if LIBC.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "seccomp")


def can_have_namespaces() -> bool:
    """Whether this process may make a user namespace; tried in a child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if LIBC.unshare(0x10000000) == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _steps(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """The filter: foreign architectures, the refused, clone3, clone with flags; else allowed."""
    refused = [(_IF_EQUAL, 0, 1, number) for number in machine.refused]
    tests = [step for test in refused for step in (test, (_RETURN, 0, 0, _REFUSE))]
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 0, 1, _FOREIGN_CALLS),
        (_RETURN, 0, 0, _REFUSE),
        *tests,
        (_IF_EQUAL, 0, 1, machine.clone3),
        (_RETURN, 0, 0, _CLONE3_ANSWER),
        (_IF_EQUAL, 0, 3, machine.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
