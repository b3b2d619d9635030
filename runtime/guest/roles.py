"""The processes of a guest, their user ids, and giving up the rights that are not theirs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runtime.guest.confinement import LIBC, forbid_namespaces

_PR_CAPBSET_DROP = 24
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_LAST_CAPABILITY = 63
_SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of process. `oom_score` makes the kernel kill hands before the supervisor."""

    name: str
    uid: int
    oom_score: int


SUPERVISOR = Role("supervisor", 900, 500)
HANDS = Role("hands", 1000, 800)
BROWSER = Role("browser", 1001, 900)
RELAY = Role("relay", 901, 700)
"""The way to the egress proxy, whose socket nobody else may use."""
ROLES = {role.name: role for role in (SUPERVISOR, HANDS, BROWSER, RELAY)}


def become(role: Role) -> None:
    """Turn this process into `role` for good: its user id, no groups, no capability left.

    Only the browser may make namespaces, for the sandbox that Chromium puts pages into.

    Started without root (the process provider, tests) it keeps the user id it has.
    """
    _raise_oom_score(role.oom_score)
    if os.geteuid() == 0 and is_split():
        if role is not BROWSER:
            forbid_namespaces()
        for capability in range(_LAST_CAPABILITY + 1):
            LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(role.uid, role.uid, role.uid)
        os.setresuid(role.uid, role.uid, role.uid)
    LIBC.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if role is SUPERVISOR:
        LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o022)


def is_split() -> bool:
    """Whether roles get user ids of their own; only inside a sandbox container."""
    return os.environ.get("SANDLOT_SPLIT_USERS") == "1"


def processes_of(role: Role) -> list[int]:
    """The ids of all processes that run as `role`."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid == role.uid:
                found.append(int(entry.name))
        except FileNotFoundError:
            continue
    return found


def _raise_oom_score(score: int) -> None:
    # A text file would take a megabyte more, of pages that the processes share until then.
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"%d" % score)
        finally:
            os.close(descriptor)
    except OSError:
        return  # lowering it is not allowed everywhere; the order of killing is then the kernel's
